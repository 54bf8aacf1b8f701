"""Every network that is trained learns the same from a batch and from its micro-batches."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("transformers")

from tiny_clips import vision  # noqa: E402
from torch.nn.modules.batchnorm import _BatchNorm  # noqa: E402

from segkit.training.losses import Criterion  # noqa: E402
from segkit.training.module import Training  # noqa: E402
from segkit.training.settings import Settings, terms_of  # noqa: E402
from segkit_plugins.segmenter.autoencoder import Autoencoder  # noqa: E402
from segkit_plugins.segmenter.clip_decoder import ClipDecoder  # noqa: E402
from segkit_plugins.segmenter.lite0_decoder import Lite0Decoder  # noqa: E402
from segkit_plugins.segmenter.point_clip import PointClip  # noqa: E402
from segkit_plugins.segmenter.unet import Unet  # noqa: E402

IMAGES, SIZE = 7, 64

NETWORKS = {
    "unet": (Unet, {"width": 2}),
    "unet with all": (Unet, {"width": 2, "attention": True, "pyramid": True}),
    "lite0-decoder": (Lite0Decoder, {}),
    "lite0-decoder frozen": (Lite0Decoder, {"frozen": True, "skips": True}),
    "autoencoder": (Autoencoder, {}),
    "autoencoder ssim": (Autoencoder, {"reconstruction": "ssim"}),
    "autoencoder boundary": (Autoencoder, {"reconstruction": "boundary"}),
    "clip-decoder": (ClipDecoder, {"bottom": 32, "levels": 2}),
    "clip-decoder frozen": (ClipDecoder, {"bottom": 32, "levels": 2, "frozen": True}),
    "point-clip": (PointClip, {"levels": 2}),
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    vision(folder)
    return folder


def batch_of(step):
    """What a loader gives: images that are alike in no statistic, half of the last one void."""
    generator = torch.Generator().manual_seed(0)
    levels = torch.arange(1, IMAGES + 1).view(-1, 1, 1, 1) * 30
    pixels = (torch.rand(IMAGES, 3, SIZE, SIZE, generator=generator) * levels).byte()
    shape = (IMAGES, 2, SIZE, SIZE) if step.clicks else (IMAGES, SIZE, SIZE)
    target = torch.randint(0, 2, shape, generator=generator, dtype=torch.uint8)
    target[-1, ..., : SIZE // 2] = 255
    if not step.clicks:
        return [pixels, target]
    return [pixels, target, torch.rand(IMAGES, 2, 2, generator=generator) * SIZE]


def learnt(step, stage, network, batch, images):
    """The loss and the gradients of a batch that is computed so many images at a time."""
    stages = SimpleNamespace(
        step=step,
        network=network,
        settings=Settings(),
        criterion=Criterion(terms_of("cross-entropy+dice"), None, 2.0, each=step.clicks),
        state=SimpleNamespace(micro_batches={stage: images}),
    )
    network.zero_grad()

    def learn(loss, logits, examples):
        loss.backward()
        return loss.detach()

    loss = sum(Training(stages, stage, [0])._each(batch, learn))
    return loss, [p.grad.clone() for p in network.parameters() if p.grad is not None]


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_of_micro_batches_add_up(name, clip):
    """Batch normalisation is held still; what else a network or its loss does is a mean."""
    made_of, options = NETWORKS[name]
    if "model" in made_of.model_fields:
        options = {**options, "model": str(clip)}
    step = made_of(**options)
    batch = batch_of(step)
    for stage in step.stages:
        network = step.network(2)
        step.begin(network, stage)
        for module in network.train().modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        loss, gradients = learnt(step, stage, network, batch, IMAGES)
        assert loss > 0
        assert any(gradient.any() for gradient in gradients)
        for images in (1, 3):
            part, parts = learnt(step, stage, network, batch, images)
            torch.testing.assert_close(part, loss)
            for found, wanted in zip(parts, gradients, strict=True):
                torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-5)
