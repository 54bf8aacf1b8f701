"""Tiny models of the hub with random weights: class maps, detectors, SAMs and CLIPs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import tiny_clips
import tiny_sams
import torch
import transformers

NAMES = ["wall", "person, individual", "sofa", "bed ", "television receiver, tv", "van"]
DETECTED = {0: "cat", 1: "dog", 2: "tv"}

Parts: TypeAlias = "tuple[Any, Any]"
"""A network and its image processor."""


def dpt(names: Sequence[str] = NAMES) -> Parts:
    config = transformers.DPTConfig(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=37,
        image_size=64,
        patch_size=16,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=16,
        is_hybrid=False,
        id2label=dict(enumerate(names)),
    )
    processor = transformers.DPTImageProcessor(size={"height": 64, "width": 64})
    return transformers.DPTForSemanticSegmentation(config), processor


def segformer(names: Sequence[str] = NAMES) -> Parts:
    config = transformers.SegformerConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 16, 16],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
        id2label=dict(enumerate(names)),
    )
    processor = transformers.SegformerImageProcessor(size={"height": 96, "width": 96})
    return transformers.SegformerForSemanticSegmentation(config), processor


def beit(names: Sequence[str] = NAMES) -> Parts:
    config = transformers.BeitConfig(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=37,
        image_size=64,
        patch_size=16,
        out_indices=[1, 2, 3, 4],
        pool_scales=[1, 2],
        auxiliary_channels=16,
        id2label=dict(enumerate(names)),
    )
    size = {"height": 64, "width": 64}
    processor = transformers.BeitImageProcessor(size=size, do_center_crop=False)
    return transformers.BeitForSemanticSegmentation(config), processor


def mask2former(names: Sequence[str] = NAMES) -> Parts:
    backbone = transformers.SwinConfig(
        image_size=64,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=2,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = transformers.Mask2FormerConfig(
        backbone_config=backbone,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=16,
        dim_feedforward=16,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=5,
        id2label=dict(enumerate(names)),
    )
    processor = transformers.Mask2FormerImageProcessor(
        size={"shortest_edge": 64, "longest_edge": 128}, num_labels=len(names)
    )
    return transformers.Mask2FormerForUniversalSegmentation(config), processor


def yolos() -> Parts:
    config = transformers.YolosConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=[64, 96],
        patch_size=16,
        num_detection_tokens=12,
        id2label=DETECTED,
    )
    processor = transformers.YolosImageProcessor(size={"shortest_edge": 64, "longest_edge": 512})
    return transformers.YolosForObjectDetection(config), processor


def detr() -> Parts:
    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], out_features=["stage2"]
    )
    config = transformers.DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=backbone,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_queries=12,
        id2label=DETECTED,
    )
    processor = transformers.DetrImageProcessor(size={"shortest_edge": 64, "longest_edge": 512})
    return transformers.DetrForObjectDetection(config), processor


def dinov2() -> tuple[Any, ...]:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    return (transformers.Dinov2Model(transformers.Dinov2Config(**sizes, image_size=56)),)


def dinov3() -> tuple[Any, ...]:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.DINOv3ViTConfig(**sizes, intermediate_size=64, num_register_tokens=4)
    return (transformers.DINOv3ViTModel(config),)


def word_pieces() -> Any:
    """BERT's tokenizer of few words; what ends a phrase has the number that the model expects."""
    words = [f"[unused{i}]" for i in range(1100)]
    words[0], words[100], words[101], words[102], words[1012], words[1029] = (
        *("[PAD]", "[UNK]", "[CLS]", "[SEP]", ".", "?"),
    )
    own = "zebra red car person cat dog ##s blue elk fox bird object"
    words[1030:1042] = own.split()
    return transformers.BertTokenizer(vocab={word: i for i, word in enumerate(words)})


def grounding_dino() -> tuple[Any, ...]:
    words = word_pieces()
    backbone = transformers.SwinConfig(
        image_size=64,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=2,
        out_features=["stage2", "stage3", "stage4"],
    )
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.GroundingDinoConfig(
        backbone_config=backbone,
        text_config=transformers.BertConfig(
            vocab_size=len(words), intermediate_size=16, max_position_embeddings=64, **text
        ),
        d_model=64,
        num_queries=20,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        max_text_len=24,
    )
    processor = transformers.GroundingDinoImageProcessor(
        size={"shortest_edge": 64, "longest_edge": 128}
    )
    network = transformers.GroundingDinoForObjectDetection(config)
    for parameter in network.parameters():  # the boxes and the classes of random ones are all alike
        parameter.data += 0.1 * torch.randn_like(parameter)
    return network, processor, words


def save(make: Callable[..., tuple[Any, ...]], folder: Path, *given: Any) -> None:
    """A folder as on the hub."""
    torch.manual_seed(1)
    for part in make(*given):
        part.save_pretrained(folder)


MODELS: dict[str, Callable[[Path], Any]] = {
    **{make.__name__: partial(save, make) for make in (dpt, segformer, beit, mask2former)},
    **{make.__name__: partial(save, make) for make in (detr, yolos)},
    **{kind: partial(tiny_sams.save, kind) for kind in tiny_sams.KINDS},
    "clip": tiny_clips.whole,
    "clip-vision": tiny_clips.vision,
}
"""Name to what saves it into a folder."""
