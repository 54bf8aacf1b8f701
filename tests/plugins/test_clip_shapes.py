"""Shapes of clip-decoder and point-clip on ViT-B/32's exact configuration, with random weights."""

from __future__ import annotations

import pytest

from segkit_plugins.segmenter.clip_decoder import ClipDecoder
from segkit_plugins.segmenter.point_clip import PointClip

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The library's default is ViT-B/32; saved in half precision, 176 MB."""
    where = tmp_path_factory.mktemp("base")
    torch.manual_seed(2)
    config = transformers.CLIPVisionConfig()
    sizes = (config.hidden_size, config.num_hidden_layers, config.image_size, config.patch_size)
    assert sizes == (768, 12, 224, 32)
    transformers.CLIPVisionModel(config).half().save_pretrained(where)
    return str(where)


def stepped(step, network, *given):
    """The shapes that the parts make in one step of training, which moves all parts."""
    found = {}

    def note(name):
        def hook(module, inputs, made):
            made = getattr(made, "last_hidden_state", made)
            found.setdefault(name, []).append(tuple(made.shape[1:]))

        return hook

    parts = {
        "tokens with the class": network.tokens.vision.encoder,
        "tokens": network.tokens,
        "decoder in": getattr(network, "project", torch.nn.Identity()),
        **{f"level {i}": level for i, level in enumerate(network.decoder.levels)},
        "classes": network.head,
        "answer": network,
    }
    hooks = [part.register_forward_hook(note(name)) for name, part in parts.items()]
    logits = network(*given)
    for hook in hooks:
        hook.remove()
    target = (given[0][:, 0] > 0.5).long().repeat_interleave(len(logits) // len(given[0]), 0)
    loss = torch.nn.functional.cross_entropy(logits, target)
    loss.backward()
    still = {n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()}
    # what the class token becomes is not read, and adding to all keys changes no attention
    assert {n for n in still if "post_layernorm" not in n and "k_proj.bias" not in n} == set()
    before = network.tokens.vision.embeddings.patch_embedding.weight.detach().clone()
    torch.optim.SGD(network.parameters(), lr=step.train_rate).step()
    assert not torch.equal(network.tokens.vision.embeddings.patch_embedding.weight, before)
    assert 87e6 < sum(p.numel() for p in network.tokens.parameters()) < 88e6
    return found


def test_every_shape_of_clip_decoder_is_the_reports(folder):
    step = ClipDecoder(model=folder)
    pixels = torch.rand(1, 3, step.train_size, step.train_size)
    assert stepped(step, step.network(3), pixels) == {
        "tokens with the class": [(50, 768)],
        "tokens": [(768, 7, 7)],
        "decoder in": [(1024, 7, 7)],
        "level 0": [(512, 14, 14)],
        "level 1": [(256, 28, 28)],
        "level 2": [(128, 56, 56)],
        "level 3": [(64, 112, 112)],
        "classes": [(3, 112, 112)],
        "answer": [(3, 224, 224)],
    }


@pytest.mark.slow
def test_every_shape_of_point_clip_is_the_reports(folder):
    step = PointClip(model=folder)
    network = step.network(2)
    pixels = torch.rand(1, 3, step.train_size, step.train_size)
    joined = []
    network.decoder.register_forward_pre_hook(lambda module, given: joined.append(given[0].shape))
    assert stepped(step, network, pixels, torch.tensor([[20.0, 200.0], [100.0, 7.0]])) == {
        "tokens with the class": [(50, 768), (50, 768)],  # the picture, then both clicks
        "tokens": [(768, 7, 7), (768, 7, 7)],
        "level 0": [(768, 14, 14)],
        "level 1": [(384, 28, 28)],
        "level 2": [(192, 56, 56)],
        "level 3": [(96, 112, 112)],
        "classes": [(2, 112, 112)],
        "answer": [(2, 224, 224)],
    }
    assert joined == [(2, 1536, 7, 7)]
