"""The quick encoder and decoder make what segment-anything's own make."""

from __future__ import annotations

import pytest

SIDE, GRID, DIM = 128, 8, 64


@pytest.fixture(scope="module")
def sam():
    import torch
    from segkit_plugins.segmenter.sam.authors.modeling import (
        MaskDecoder,
        PromptEncoder,
        Sam,
        TwoWayTransformer,
    )

    torch.manual_seed(0)
    transformer = TwoWayTransformer(depth=2, embedding_dim=DIM, num_heads=8, mlp_dim=128)
    network = Sam(
        torch.nn.Identity(),
        PromptEncoder(DIM, (GRID, GRID), (SIDE, SIDE), 16),
        MaskDecoder(transformer_dim=DIM, transformer=transformer),
    )
    for weight in network.parameters():  # norms and biases that do something
        if weight.dim() == 1:
            torch.nn.init.normal_(weight, 0.5, 0.3)
    return network.eval().requires_grad_(False)


def asked(case, count=5):
    """Points, boxes and masks of `count` prompts, as SAM's prompt encoder takes them."""
    import torch

    torch.manual_seed(1)
    several = 14 if case == "many points" else 1
    points = (torch.rand(count, several, 2) * SIDE, (torch.rand(count, several) > 0.3).int())
    corner = torch.rand(count, 2) * SIDE / 2
    boxes = torch.cat([corner, corner + SIDE / 3], dim=1)
    masks = torch.randn(count, 1, 4 * GRID, 4 * GRID)
    return {
        "point": (points, None, None),
        "many points": (points, None, None),
        "box": (None, boxes, None),
        "box and point": (points, boxes, None),
        "mask": (None, None, masks),
        "mask and point": (points, None, masks),
    }[case]


CASES = ["point", "many points", "box", "box and point", "mask", "mask and point"]


def both(sam, case, dtype, which=(0, 1, 2, 3)):
    """Logits and quality of the ordinary decoder and of the quick one."""
    import torch

    from segkit_plugins.segmenter.sam.decoding import decoder_of

    torch.manual_seed(2)
    embedding = torch.randn(1, DIM, GRID, GRID)
    prompts = asked(case)
    quick = decoder_of(sam, dtype)
    with torch.inference_mode():
        sparse, dense = sam.prompt_encoder(*prompts)
        logits, quality = sam.mask_decoder.predict_masks(
            embedding, sam.prompt_encoder.get_dense_pe(), sparse, dense
        )
        seen = quick.see(embedding)
        answers, places = quick.attend(seen, *quick.ask(*prompts))
        drawn = quick.draw(seen, answers, places, list(which))
        return (logits[:, list(which)], quality), (drawn, quick.quality(answers))


@pytest.mark.parametrize("case", CASES)
def test_it_is_exact_but_for_rounding(sam, case):
    import torch

    (logits, quality), (drawn, expected) = both(sam, case, torch.float32)
    assert logits.std() > 0.1
    assert (drawn - logits).abs().max() < 1e-4 * logits.abs().max()
    assert (quality - expected).abs().max() < 1e-4


@pytest.mark.parametrize("case", CASES)
def test_bfloat16_draws_nearly_the_same(sam, case):
    import torch

    (logits, _), (drawn, _) = both(sam, case, torch.bfloat16)
    assert drawn.dtype == torch.float32
    one, other = logits > 0, drawn > 0
    assert (one & other).sum() / (one | other).sum() > 0.98


def test_only_the_masks_asked_for_are_drawn(sam):
    import torch

    (logits, _), (drawn, _) = both(sam, "point", torch.float32, which=(2,))
    assert drawn.shape == (5, 1, 4 * GRID, 4 * GRID)
    assert (drawn - logits).abs().max() < 1e-4 * logits.abs().max()


def test_a_decoder_of_another_make_is_left_as_it_is():
    from segkit_plugins.segmenter.sam.decoding import OwnDecoder, decoder_of
    from segkit_plugins.segmenter.sam.nano import build

    assert isinstance(decoder_of(build(), None), OwnDecoder)


@pytest.mark.parametrize("piece", [1 << 24, 200, 60])  # all at once, some heads, rows of one head
def test_attention_piece_by_piece_is_attention(piece, monkeypatch):
    import torch
    from segkit_plugins.segmenter.sam.authors.modeling.image_encoder import ImageEncoderViT

    from segkit_plugins.segmenter.sam import encoding

    torch.manual_seed(0)
    encoder = ImageEncoderViT(
        img_size=48,
        patch_size=16,
        embed_dim=32,
        depth=2,
        num_heads=4,
        use_rel_pos=True,
        window_size=2,
        global_attn_indexes=(1,),
    )
    for name, weight in encoder.named_parameters():
        if "rel_pos" in name or name == "pos_embed":
            torch.nn.init.normal_(weight)
    monkeypatch.setattr(encoding, "PIECE", piece)
    with torch.inference_mode():
        pixels = torch.randn(1, 3, 48, 48)
        wanted = encoder(pixels)
        encoding.quicken(encoder, torch.float32)
        assert type(encoder.blocks[1].attn) is encoding.QuickAttention
        assert (encoder(pixels) - wanted).abs().max() < 1e-5
