"""The training loop: learning, repeating, stopping, and what is written."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from train_toys import Clicked, Linear, Squares, curve, quick  # noqa: E402

from segkit import Prompt, Prompts, SegkitError, UsageError  # noqa: E402
from segkit.errors import PluginError  # noqa: E402
from segkit.plugins.trainable import trained_bytes  # noqa: E402
from segkit.training.module import figures  # noqa: E402
from segkit.training.progress import Watcher  # noqa: E402


class Notes(Watcher):
    def __init__(self):
        self.notes, self.rows, self.stages = [], [], []

    def note(self, text):
        self.notes.append(text)

    def epoch(self, row):
        self.rows.append(row)

    def begins(self, stage, epochs, examples, epoch):
        self.stages.append((stage, epochs, examples, epoch))


def weights(path):
    from safetensors.numpy import load_file

    return load_file(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "net.safetensors"
    return quick(path, data=[Squares(count=24)], epochs=25, patience=25, draws=True)


def test_it_learns_and_the_segmenter_takes_the_file(trained):
    assert trained.best["miou"] > 0.85
    assert trained.rows[-1]["train_loss"] < trained.rows[0]["train_loss"] / 2
    step = Linear(weights=trained.path)
    step.open("cpu")
    image, truth = Squares(count=99)[60]
    labels = step(image)
    assert labels.classes == {1: "red", 2: "blue"}
    known = truth.labels.ids != 255
    assert (labels.ids == truth.labels.ids)[known].mean() > 0.9
    moved = step(image, {7: "blue"})
    assert moved.classes == {7: "blue", 8: "red"}
    assert np.array_equal(moved.ids == 8, labels.ids == 1)
    several = [{"image": Squares(count=99)[i][0], "classes": None} for i in range(60, 63)]
    for given, found in zip(several, step.batch(several), strict=True):
        assert (step(**given).ids == found.ids).mean() > 0.999


def test_what_stands_beside_the_weights(trained):
    path = trained.path
    assert {p.name for p in path.parent.iterdir()} == {
        f"net.{end}" for end in ("safetensors", "csv", "png", "svg", "md", "toml")
    }
    assert [int(row["epoch"]) for row in curve(path)] == list(range(1, len(trained.rows) + 1))
    card = path.with_suffix(".md").read_text()
    assert f"{trained.parameters:,}" in card
    assert "22 images trained, 2 validated" in card
    assert f"| mean IoU | {trained.best['miou']:.3f} |" in card
    assert "`squares`: count 24" in card
    held = [line for line in card.splitlines() if line.startswith("- validated on: ")]
    assert held == [f"- validated on: {', '.join(trained.held)}"]
    assert len(trained.held) == trained.validating == 2
    import PIL.Image

    picture = np.asarray(PIL.Image.open(path.with_suffix(".png")).convert("L"))
    assert picture.std() > 10


def test_two_runs_of_one_seed_agree(tmp_path):
    one, two = (quick(tmp_path / f"{name}.safetensors") for name in "ab")
    other = quick(tmp_path / "c.safetensors", seed=1)
    assert curve(one.path) == curve(two.path) != curve(other.path)
    assert one.path.read_bytes() == two.path.read_bytes()
    changed = quick(tmp_path / "d.safetensors", workers=1)  # a process of its own
    assert curve(changed.path) == curve(one.path)


@pytest.mark.parametrize(("kind", "epochs"), [("float32", 1), ("bfloat16", 25)])
def test_precision(kind, epochs, tmp_path):
    """`trained` has learned in float32."""
    seen = set()

    class Watched(Linear):
        name = "watched"

        def network(self, classes):
            made = super().network(classes)
            made.register_forward_hook(lambda module, given, found: seen.add(found.dtype))
            return made

    data = [Squares(count=24)]
    how = {"epochs": epochs, "patience": 25, "precision": kind}
    done = quick(tmp_path / "x.safetensors", Watched(), data=data, **how)
    assert seen == {getattr(torch, kind)}
    assert done.best["miou"] > 0.85 or epochs == 1
    kinds = {value.dtype.name for value in weights(done.path).values()}
    assert kinds == {"float32", "int64"}  # the latter counts the batches
    if kind == "bfloat16":
        step = Watched(weights=done.path)
        step.open("cpu")
        step(data[0][0][0])
        assert torch.float32 in seen  # at work nothing is rounded


def test_weights_of_an_earlier_training_are_where_the_next_begins(trained, tmp_path):
    watch = Notes()
    more = {"data": [Squares(count=24)], "epochs": 1, "initial": trained.path}
    done = quick(tmp_path / "x.safetensors", watch=watch, **more)
    assert watch.notes == [f"begins with 9 of its 9 tensors from {trained.path}"]
    assert done.best["miou"] > 0.8 > trained.rows[0]["miou"]
    # Of another number of classes, the last layer begins anew.
    less = quick(tmp_path / "y.safetensors", watch=watch, classes=("red",), rate=1e-9, **more)
    assert watch.notes[1] == (
        f"begins with 7 of its 9 tensors from {trained.path}; new are 4.weight and others"
    )
    assert np.allclose(weights(less.path)["0.weight"], weights(trained.path)["0.weight"])
    (tmp_path / "z.txt").write_text("none")
    for path, sentence in {
        tmp_path / "gone": "not found",
        tmp_path / "z.txt": "cannot be read as safetensors",
    }.items():
        with pytest.raises(UsageError, match=sentence):
            quick(tmp_path / "z.safetensors", initial=path)
    for other, why in (
        (Clicked(), "it is of the segmenter linear;"),
        (Linear(channels=5), "it has --linear.channels 4, not 5;"),  # counters and a bias would fit
    ):
        with pytest.raises(UsageError) as error:
            quick(tmp_path / "z.safetensors", other, initial=trained.path)
        assert f"has nothing that fits this network: {why}" in str(error.value)
    quick(tmp_path / "z.safetensors", watch=watch, classes=("blue", "red"), rate=1e-9, **more)
    assert watch.notes[-1] == (
        "its outputs were for red, blue, and now learn blue, red, in this order; --train.classes "
        "changes it"
    )


def test_the_best_epoch_is_kept_and_training_stops_early(tmp_path):
    watch = Notes()
    done = quick(tmp_path / "x.safetensors", epochs=30, patience=2, delta=10.0, watch=watch)
    assert len(done.rows) == 3  # the first counts, the next two are no better by 10
    losses = [row["validation_loss"] for row in done.rows]
    assert done.best["validation_loss"] == min(losses)
    assert watch.stages == [("segment", 30, 16, 0)]
    assert watch.rows == done.rows


def test_minutes_end_the_training(tmp_path):
    done = quick(tmp_path / "x.safetensors", epochs=1000, patience=1000, minutes=0.02)
    assert 1 <= len(done.rows) < 1000
    assert done.best["miou"] is not None


def test_an_epoch_of_few_steps_is_told(tmp_path):
    watch = Notes()
    quick(tmp_path / "x.safetensors", watch=watch, epochs=1, batch=64)
    assert watch.notes == [
        "an epoch has 1 step of --train.batch 64; with so few images a smaller batch and a larger "
        "--train.patience learn more"
    ]


def test_a_class_that_no_image_shows_is_named(tmp_path):
    watch = Notes()
    done = quick(tmp_path / "x.safetensors", data=[Squares(only=1)], watch=watch, epochs=1)
    assert watch.notes == [
        "no image shows blue; the network has an output for it, which it learns not to use"
    ]
    assert done.best["classes"][2] is None or done.best["classes"][2] == 0
    assert "in no image: blue" in done.path.with_suffix(".md").read_text()
    quick(
        tmp_path / "y.safetensors",
        data=[Squares(only=1)],
        class_weights=("balanced",),
        loss="dice+focal",
        epochs=1,
    )


def test_images_that_cannot_be_read_are_named(tmp_path):
    watch = Notes()
    done = quick(tmp_path / "x.safetensors", data=[Squares(broken=(1,))], watch=watch, epochs=1)
    assert watch.notes == ["left out: 's1' is damaged; copy it again"]
    assert "left out: 's1' is damaged" in done.path.with_suffix(".md").read_text()


@pytest.mark.parametrize("bad_at", [1, 5])
def test_a_loss_that_is_no_number_stops_with_a_sentence(bad_at, tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(SegkitError) as error:
        quick(path, Linear(bad_at=bad_at), balance=False)
    steps = 3  # of 4 images each
    step, epoch = (bad_at - 1) % steps + 1, (bad_at - 1) // steps + 1
    kept = "no weights are kept yet" if epoch == 1 else f"{path} holds the best weights so far"
    assert f"in step {step} of epoch {epoch} of stage 'segment'; {kept}" in str(error.value)
    assert "lower --train.rate, such as 0.002" in str(error.value)
    assert path.exists() == (epoch > 1)


@pytest.mark.parametrize("where", ["network", "begin", "loss", "settings"])
@pytest.mark.parametrize("error", [ValueError("no way"), SystemExit(0), GeneratorExit("no more")])
def test_a_network_that_fails_is_told(tmp_path, where, error):
    class Failing(Linear):
        name = "failing"

    def fail(self, *given):
        raise error

    setattr(Failing, where, fail)
    with pytest.raises(PluginError) as told:
        quick(tmp_path / "x.safetensors", Failing())
    assert str(told.value) == (
        f"training segmenter 'failing' stopped: {type(error).__name__}: {error}; "
        "no weights are kept yet"
    )


def test_stages_follow_each_other(tmp_path):
    class Two(Linear):
        name = "two"
        stages = ("first", "second")

        def begin(self, network, stage):
            network[0].requires_grad_(stage == "first")

        def loss(self, network, stage, examples, criterion):
            loss, logits = super().loss(network, stage, examples, criterion)
            return loss, None if stage == "first" else logits

    watch = Notes()
    done = quick(tmp_path / "x.safetensors", Two(), watch=watch)
    assert [(stage, epoch) for stage, _, _, epoch in watch.stages] == [("first", 0), ("second", 0)]
    assert [row["stage"] for row in done.rows] == ["first"] * 3 + ["second"] * 3
    assert done.rows[0]["miou"] is None
    assert done.best["stage"] == "second"
    assert not (tmp_path / "x-first.safetensors").exists()


def test_clicks_are_learnt(tmp_path):
    data = [Squares(count=24)]
    done = quick(tmp_path / "x.safetensors", Clicked(), data, epochs=30, patience=30)
    assert done.best["miou"] > 0.8
    step = Clicked(weights=done.path)
    step.open("cpu")
    image, truth = Squares(count=99)[80]
    rows, columns = np.nonzero(truth.labels.ids == truth.labels.ids[truth.labels.ids < 255].max())
    on = (float(columns.mean()), float(rows.mean()))
    masks = step(image, Prompts((Prompt(points=[on]),)))
    wanted = np.isin(truth.labels.ids, (1, 2, 255))
    both = (masks.masks[0] & wanted).sum() / (masks.masks[0] | wanted).sum()
    assert both > 0.7
    with pytest.raises(UsageError, match="clicked learns what lies under a click, not classes"):
        quick(tmp_path / "y.safetensors", Clicked(), class_weights=("red=2",))


@pytest.mark.parametrize(("made_of", "each"), [(Clicked, True), (Linear, False)])
def test_dice_is_of_each_mask_where_clicks_are_learnt(made_of, each, tmp_path):
    seen = set()

    class Watched(made_of):
        name = "watched"

        def loss(self, network, stage, examples, criterion):
            seen.add(criterion.each)
            return super().loss(network, stage, examples, criterion)

    quick(tmp_path / "x.safetensors", Watched(), epochs=1)
    assert seen == {each}


def test_what_float16_does_not_hold_is_written_as_it_is():
    from safetensors.torch import load

    class Half(Linear):
        name = "half"
        half = True

    given = {
        "weight": torch.full((2, 2), 0.1),
        "large.weight": torch.full((2, 2), 1e5),
        "norm.running_var": torch.tensor([1e5, 0.1]),
        "norm.num_batches_tracked": torch.tensor(7),
    }
    found = load(trained_bytes(Half(), given, ["red"], 32))
    assert {key: value.dtype for key, value in found.items()} == {
        "weight": torch.float16,
        "large.weight": torch.float32,
        "norm.running_var": torch.float32,
        "norm.num_batches_tracked": torch.int64,
    }
    for key, value in given.items():
        torch.testing.assert_close(found[key].to(value.dtype), value, rtol=1e-3, atol=0)


def test_figures_by_their_definition():
    confusion = torch.tensor([[50, 10, 0], [5, 25, 0], [0, 0, 0]])
    found = figures(confusion)
    assert found["classes"] == [50 / 65, 25 / 40, None]
    assert found["miou"] == pytest.approx((50 / 65 + 25 / 40) / 2)
    assert found["dice"] == pytest.approx((100 / 115 + 50 / 65) / 2)
    assert found["accuracy"] == pytest.approx(75 / 90)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"class_weights": ("cat=2",)}, "there is no class 'cat'; there is background, red, blue"),
    ],
)
def test_settings_that_do_not_fit_the_data(settings, sentence, tmp_path):
    with pytest.raises(UsageError, match=sentence):
        quick(tmp_path / "x.safetensors", **settings)


def test_weight_files_that_do_not_fit(trained, tmp_path):
    from safetensors.numpy import save_file

    def sentence(step):
        with pytest.raises(UsageError) as error:
            step.open("cpu")
        return str(error.value)

    class Other(Linear):
        name = "other"

    found = sentence(Other(weights=trained.path))
    assert "are of the segmenter linear, not of other; use them by --segmenter linear" in found
    assert "needs --linear.weights FILE; to make one: segkit train linear" in sentence(Linear())
    assert "were not found; check the path" in sentence(Linear(weights=tmp_path / "no"))
    (tmp_path / "cut").write_bytes(trained.path.read_bytes()[:-100])
    assert "cannot be read as safetensors" in sentence(Linear(weights=tmp_path / "cut"))
    save_file({"x": np.zeros(3, np.float32)}, tmp_path / "foreign")
    assert "are not of segkit train" in sentence(Linear(weights=tmp_path / "foreign"))
    with pytest.raises(PluginError, match="linear is not open"):
        Linear(weights=trained.path)(Squares()[0][0])
