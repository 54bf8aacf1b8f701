"""Which classifiers Grad-CAM takes: files, names, normalisation, and what it refuses."""

from __future__ import annotations

import hashlib
import threading
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from gradcams import gradcam, noise, opened, why

from segkit import SegkitWarning, UsageError

# ---- models -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scripts(resnet, tmp_path_factory):
    """The ResNet as TorchScript, scripted and traced."""
    network, _ = resnet
    folder = tmp_path_factory.mktemp("scripts")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(network).save(str(folder / "scripted.pt"))
        torch.jit.trace(network, torch.rand(1, 3, 64, 64)).save(str(folder / "traced.pt"))
    return folder


@pytest.mark.parametrize("kind", ["scripted", "traced"])
@pytest.mark.parametrize("layer", ["", "layer4.1", "layer3.0.conv1"])
def test_a_torchscript_file_gives_the_same_maps(own, scripts, kind, layer):
    image = noise(50, 70)
    options = {"size": 64, "target": "top:2"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nobody asked for Torch's advice on formats
        step = opened(model=str(scripts / f"{kind}.pt"), layer=layer, **options)
    assert step.weight_files() == {"torchscript": scripts / f"{kind}.pt"}
    wanted = opened(**own, layer=layer, **options)
    for _ in range(2):
        pairs = zip(step(image=image), wanted(image=image), strict=True)
        for found, other in pairs:
            assert found.name == other.name
            assert np.abs(found.values - other.values).max() < 1e-4


def test_a_layer_of_a_torchscript_file_that_cannot_be_reached_is_told(tmp_path, scripts):
    class Branching(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Conv2d(3, 4, 3)
            self.second = torch.nn.Conv2d(4, 5, 3)

        def forward(self, x):
            x = self.first(x)
            if x.sum() > -1e9:
                x = self.second(x)
            return x.mean(dim=[2, 3])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Branching()).save(str(tmp_path / "b.pt"))
    model = {"model": str(tmp_path / "b.pt"), "size": 32}
    assert why(**model, layer="second") == (
        "--gradcam.layer second: the TorchScript program does not call it in plain sequence; "
        "--gradcam.layer list shows them"
    )
    assert why(**model, layer="list").splitlines()[1:] == ["  first (4 channels, 30×30) (default)"]
    assert opened(**model)(image=noise(9, 9))[0].values.shape == (9, 9)
    assert "there is none of that name; did you mean 'layer4'?" in why(
        model=str(scripts / "traced.pt"), layer="layer44", size=64
    )


def test_safetensors_timm_and_wrapped_weights_give_the_same_maps(resnet, own, tmp_path):
    from safetensors.torch import save_file

    network, path = resnet
    image = noise(40, 60)
    (wanted,) = opened(**own)(image=image)
    save_file(network.state_dict(), tmp_path / "r.safetensors")
    wrapped = {f"module.{k}": v for k, v in network.state_dict().items()}
    torch.save({"state_dict": wrapped, "epoch": 3}, tmp_path / "w.pth")
    cases = [("torchvision", tmp_path / "r.safetensors"), ("torchvision", tmp_path / "w.pth")]
    try:
        import timm  # noqa: F401

        cases.append(("timm", path))
    except ImportError:
        pass
    for family, checkpoint in cases:
        step = opened(model=f"{family}:resnet18", checkpoint=str(checkpoint))
        assert step.weight_files() == {f"{family}:resnet18": checkpoint}
        assert np.abs(step(image=image)[0].values - wanted.values).max() < 1e-4


def test_an_efficientnet_lite0_of_ones_own(tmp_path):
    from efficientnet_lite_pytorch import EfficientNet

    torch.manual_seed(0)
    network = EfficientNet.from_name("efficientnet-lite0", num_classes=3)
    torch.save(network.state_dict(), tmp_path / "own.pth")
    step = opened(checkpoint=str(tmp_path / "own.pth"), class_names=("a", "b", "c"), target="b")
    (found,) = step(image=noise(30, 30))
    assert found.name == "b"


def test_weights_in_torchs_cache_are_used_without_asking(monkeypatch, tmp_path):
    from torchvision.models import ResNet18_Weights, resnet18

    file = Path(ResNet18_Weights.DEFAULT.url).name
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert gradcam(model="torchvision:resnet18").weight_files() == {}
    path = tmp_path / "hub/checkpoints" / file
    path.parent.mkdir(parents=True)
    torch.save(resnet18().state_dict(), path)
    step = opened(model="torchvision:resnet18")
    assert step.weight_files() == {"torchvision:resnet18": path}
    assert step._classifier.names[285] == "Egyptian cat"


class Sender(BaseHTTPRequestHandler):
    """Sends CONTENT; from `/long` for ever, from `/moved` by way of an unsafe place."""

    content = b"weights" * 1000

    def do_GET(self):
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", f"http://0.0.0.0:{self.server.server_port}/w.pth")
            self.end_headers()
            return
        if self.path.startswith("/gone"):
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(self.content)
            if not self.path.startswith("/long"):
                break

    def log_message(self, *_):
        pass


@pytest.fixture
def sender():
    server = ThreadingHTTPServer(("0.0.0.0", 0), Sender)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_download_is_checked_and_bounded_and_its_failure_told(sender, tmp_path, monkeypatch):
    from segkit_plugins.saliency._networks import ClassifierOptions, _download

    for name in ("SEGKIT_OFFLINE", "HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    digest = hashlib.sha256(Sender.content).hexdigest()
    options = ClassifierOptions("gradcam", model="torchvision:resnet18")
    good = tmp_path / "cache" / f"resnet18-{digest[:8]}.pth"
    with pytest.warns(SegkitWarning, match=f"--gradcam.sha256 {digest} keeps to these ones"):
        _download(options, f"{sender}/w.pth", good, 7000)
    assert good.read_bytes() == Sender.content

    def why(path, digits=digest[:8], most=7000, **more):
        chosen = ClassifierOptions("gradcam", model="torchvision:resnet18", **more)
        place = tmp_path / "other" / f"resnet18-{digits}.pth"
        with pytest.raises(UsageError) as error:
            _download(chosen, f"{sender}{path}" if path[0] == "/" else path, place, most)
        assert str(error.value).endswith("; try again, or give --gradcam.checkpoint FILE")
        assert not place.parent.exists() or not any(place.parent.iterdir())
        return str(error.value)

    assert why("/w.pth", "0123abcd").startswith("the weights of torchvision:resnet18 could not be")
    assert "its SHA-256 is not 0123abcd" in why("/w.pth", "0123abcd")
    wrong = digest[:8] + "0" * 56  # begins right
    assert f"its SHA-256 is not {wrong}" in why("/w.pth", sha256=wrong)
    assert "404 Not Found" in why("/gone")
    assert "sends more than the 7,000 bytes that" in why("/long")
    assert "sends more than the 6,999 bytes that" in why("/w.pth", most=6999)
    assert "for only https is safe on its way" in why("http://weights.example/w.pth")
    assert "for only https is safe on its way" in why("ftp://weights.example/w.pth")
    assert "for only https is safe on its way" in why("/moved")
    assert "its SHA-256 or its size is not known" in why("/w.pth", digits="")


def test_weights_of_another_hash_than_asked_for_are_not_used(tmp_path):
    from torchvision.models import resnet18

    path = tmp_path / "mine.pth"
    torch.save(resnet18(num_classes=3).state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    model = {"model": "torchvision:resnet18", "checkpoint": path}
    opened(**model, sha256=digest)
    with pytest.raises(UsageError) as error:
        opened(**model, sha256="0" * 64)
    assert str(error.value) == (
        f"--gradcam.sha256 is {'0' * 64}, but {path} has {digest}; give the weights that are "
        "meant, or drop the option if you trust these"
    )
    with pytest.raises(UsageError, match=r"--gradcam\.sha256"):
        opened(**model, sha256="12ab")


def test_timms_weights_come_from_the_hub_by_revision(tmp_path, monkeypatch):
    timm = pytest.importorskip("timm", reason="needs timm")
    from huggingface_hub import constants
    from safetensors.torch import save_file

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = tmp_path / "models--timm--resnet18.a1_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text(commit)
    (folder / "snapshots" / commit).mkdir(parents=True)
    path = folder / "snapshots" / commit / "model.safetensors"
    save_file(timm.create_model("resnet18").state_dict(), path)
    for name in ("resnet18.a1_in1k", f"resnet18.a1_in1k@{commit}"):
        step = opened(model=f"timm:{name}", pretrained=True)
        assert step.weight_files() == {f"timm:{name}": path}
    with pytest.raises(UsageError, match=r"--gradcam\.sha256 is 000"):
        opened(model="timm:resnet18.a1_in1k", pretrained=True, sha256="0" * 64)
    with pytest.raises(UsageError, match="could not be fetched from the Hugging Face hub"):
        opened(model=f"timm:resnet18.a1_in1k@{'f' * 40}", pretrained=True)


def test_normalisation_and_size_can_be_given(own):
    image = noise(32, 32)
    step = opened(**own, mean=(0.5, 0.4, 0.3), std=(0.2, 0.1, 0.3), size=32)
    found = step._classifier.prepared(image.pixels).permute(1, 2, 0).numpy()
    wanted = (image.pixels / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.1, 0.3]
    assert np.abs(found - wanted).max() < 1e-5
    assert opened(model="shapes")._classifier.size == 256
    assert opened(**own)._classifier.size == 224


def test_pictures_are_resized_as_torchvision_resizes_them(own, photos):
    from PIL import Image as Picture
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as T

    classifier = opened(**own)._classifier
    for photo in photos.values():
        picture = T.resize(Picture.fromarray(photo.pixels), [224, 224], InterpolationMode.BILINEAR)
        wanted = T.normalize(T.to_tensor(picture), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        found = classifier.prepared(photo.pixels)
        assert (found - wanted).abs().max() < 1.01 / 255 / 0.224  # a grey level of rounding
        assert (found - wanted).abs().mean() < 0.1 / 255


def test_names_come_from_a_file_or_one_by_one(own, tmp_path):
    names = [f"thing {i}" for i in range(7)]
    (tmp_path / "names.txt").write_text("\n".join(names) + "\n")
    for given in ((str(tmp_path / "names.txt"),), tuple(names)):
        (found,) = opened(**own, class_names=given, target="thing 4")(image=noise(9, 9))
        assert found.name == "thing 4"


# ---- what cannot work ---------------------------------------------------------------------------


class RunsCode:
    """A pickle that would run code when opened."""

    def __reduce__(self):
        return (print, ("this must never be printed",))


def test_an_unknown_model_is_told():
    assert why(model="torchvision:resnet81") == (
        "--gradcam.model torchvision:resnet81: there is no such model; did you mean 'resnet18'?"
    )
    assert why(model="efficientnet-lit0") == (
        "--gradcam.model efficientnet-lit0: there is no such model; did you mean "
        "'efficientnet-lite0'?"
    )
    assert "or the path of a TorchScript file" in why(model="/no/such/file.pt")
    pytest.importorskip("timm")
    assert "there is no such model; did you mean 'resnet18'?" in why(model="timm:resnet1888")


def test_missing_and_unfit_weights_are_told(own, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert why(model="torchvision:resnet18") == (
        "--gradcam.model torchvision:resnet18 needs its weights, and segkit downloads nothing by "
        "itself; give --gradcam.checkpoint FILE, or allow it with --gradcam.pretrained"
    )
    assert "are not of torchvision's resnet34: it lacks" in why(
        model="torchvision:resnet34", checkpoint=own["checkpoint"]
    )
    assert "were not found; check the path" in why(
        model="torchvision:resnet18", checkpoint=str(tmp_path / "gone.pth")
    )
    assert why(model="shapes", checkpoint=own["checkpoint"]) == (
        "--gradcam.checkpoint goes with torchvision:NAME, timm:NAME or efficientnet-lite0, but "
        "the model is shapes; drop it or change the model"
    )


def test_dangerous_and_damaged_files_are_refused(tmp_path, own, capsys):
    torch.save({"x": RunsCode()}, tmp_path / "evil.pth")
    for model in ("torchvision:resnet18", "efficientnet-lite0"):
        assert "were refused, for opening them could run code" in why(
            model=model, checkpoint=str(tmp_path / "evil.pth")
        )
    (tmp_path / "no.pt").write_text("hello")
    for file in (tmp_path / "no.pt", tmp_path / "evil.pth", own["checkpoint"]):
        text = why(model=str(file))
        assert "cannot be read as TorchScript" in text
        assert text.endswith(
            "for a state_dict give --gradcam.model torchvision:NAME --gradcam.checkpoint FILE"
        )
    whole = Path(own["checkpoint"]).read_bytes()
    (tmp_path / "half.pth").write_bytes(whole[: len(whole) // 2])
    assert "truncated or no weight file" in why(
        model="torchvision:resnet18", checkpoint=str(tmp_path / "half.pth")
    )
    assert "must never be printed" not in capsys.readouterr().out


def test_names_that_do_not_match_are_told(own, tmp_path):
    assert why(**own, class_names=("a", "b")) == (
        "--gradcam.class-names: 2 names were given, but torchvision:resnet18 has 7 outputs; give "
        "one name for each"
    )
    assert "gone.txt cannot be read as a file of names (" in why(
        **own, class_names=(str(tmp_path / "gone.txt"),)
    )


def test_a_network_that_is_no_classifier_is_told(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3))).save(tmp_path / "c.pt")
    assert why(model=str(tmp_path / "c.pt"), size=32) == (
        f"--gradcam.model {tmp_path / 'c.pt'} should give class scores (images, classes), but "
        "gives (1, 4, 30, 30); choose a classifier"
    )


def test_targets_that_the_model_lacks_are_told(own):
    assert why(target="egyptian kat") == (
        "--gradcam.target egyptian kat: efficientnet-lite0 has 1001 classes and none of that "
        "name; did you mean 'Egyptian cat' or 'Persian cat'?"
    )
    assert "did you mean 'tiger cat'" in why(target="tiger kat")
    assert why(**own, target="7") == (
        "--gradcam.target 7: torchvision:resnet18 has 7 classes and none of that name; it has "
        "numbers 0 to 6 and names such as 'class-0'"
    )
    assert why(**own, target="top:8") == (
        "--gradcam.target top:8: torchvision:resnet18 has only 7 classes; ask for fewer"
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"target": "top:none"}, "Invalid value for --gradcam.target: after top: comes how many"),
        ({"target": "top:0"}, "such as top:3, not 'top:0'"),
        ({"mean": (0.5,)}, "Invalid value for --gradcam.mean: give three numbers"),
        ({"std": (0.5, 0.5, 0)}, "Invalid value for --gradcam.std: deviations should be greater"),
        ({"size": 0}, "Invalid value for --gradcam.size: Input should be greater than 0"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_loaded(options, sentence):
    with pytest.raises(UsageError) as error:
        gradcam(**options)
    assert sentence in str(error.value)
