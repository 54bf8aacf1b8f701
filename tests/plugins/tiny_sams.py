"""Small models of the SAM family with random weights, as transformers saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers as t

SIDE = 128
"""Of the models' square input, in pixels."""

SIDE_OF_14 = 112
"""The same where patches are 14 pixels wide."""

DECODER = {"hidden_size": 32, "mlp_dim": 64, "num_attention_heads": 2, "iou_head_hidden_dim": 32}
NECK = {"fpn_hidden_size": 32, "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]]}


def whole(config: Any, vision: Any, patch: int = 16, side: int = SIDE, **decoder: int) -> Any:
    """The configuration of a whole model around an image encoder's."""
    prompts = {"hidden_size": 32, "image_size": side, "patch_size": patch, "mask_input_channels": 8}
    return config(
        vision_config=vision,
        prompt_encoder_config={**prompts, "image_embedding_size": side // patch},
        mask_decoder_config={**DECODER, **decoder},
    )


def padded(config: Any, **decoder: int) -> Any:
    """SAM, or SAM-HQ."""
    vision = {
        "hidden_size": 32,
        "output_channels": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "mlp_dim": 64,
        "image_size": SIDE,
        "patch_size": 16,
        "window_size": 3,
        "global_attn_indexes": [1],
        "num_pos_feats": 16,
        "initializer_range": 0.02,
    }
    return whole(config, vision, **decoder)


def sam2() -> Any:
    backbone = t.Sam2HieraDetConfig(
        hidden_size=12,
        embed_dim_per_stage=[12, 24, 48, 96],
        num_attention_heads_per_stage=[1, 2, 4, 8],
        blocks_per_stage=[1, 1, 2, 1],
        image_size=[SIDE, SIDE],
        window_size_per_stage=[8, 4, 4, 4],
        global_attention_blocks=[3],
        window_positional_embedding_background_size=[4, 4],
    )
    return whole(
        t.Sam2Config,
        t.Sam2VisionConfig(
            backbone_config=backbone, backbone_channel_list=[96, 48, 24, 12], **NECK
        ),
    )


def sam3() -> Any:
    backbone = t.Sam3ViTConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE_OF_14,
        patch_size=14,
        window_size=4,
        global_attn_indexes=[1],
        pretrain_image_size=SIDE_OF_14,
    )
    vision = t.Sam3VisionConfig(backbone_config=backbone, **NECK)
    return whole(t.Sam3TrackerConfig, vision, patch=14, side=SIDE_OF_14)


def sam3_with_texts(folder: Path) -> Any:
    """SAM 3's detector of what is named in words, with tokenizer and image processor."""
    import tiny_clips

    torch.manual_seed(4)
    words = tiny_clips.tokenizer()
    layers = {"hidden_size": 32, "num_attention_heads": 2}
    more = {**layers, "num_layers": 1, "intermediate_size": 32}
    text = {**layers, "intermediate_size": 32, "num_hidden_layers": 1, "projection_dim": 32}
    config = t.Sam3Config(
        vision_config=sam3().vision_config,
        text_config={
            **text,
            "vocab_size": len(words),
            "max_position_embeddings": 32,
            "eos_token_id": words.eos_token_id,
            "bos_token_id": words.bos_token_id,
        },
        geometry_encoder_config={**more, "roi_size": 2},
        detr_encoder_config=more,
        detr_decoder_config={**more, "num_queries": 12},
        mask_decoder_config={**layers, "num_upsampling_stages": 2},
    )
    model = t.Sam3Model(config).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    side = {"height": SIDE_OF_14, "width": SIDE_OF_14}
    t.Sam3ImageProcessor(size=side).save_pretrained(folder)
    return model


def edgetam() -> Any:
    backbone = t.TimmWrapperConfig(
        architecture="repvit_m0_9",
        do_pooling=False,
        num_labels=2,
        model_args={
            "embed_dim": [8, 16, 24, 32],
            "depth": [1, 1, 1, 1],
            "in_chans": 3,
            "features_only": True,
            "out_indices": [0, 1, 2, 3],
        },
    )
    return whole(
        t.EdgeTamConfig,
        t.EdgeTamVisionConfig(
            backbone_config=backbone, backbone_channel_list=[32, 24, 16, 8], **NECK
        ),
    )


KINDS = {
    "sam": lambda: t.SamModel(padded(t.SamConfig)),
    "sam_hq": lambda: t.SamHQModel(padded(t.SamHQConfig, vit_dim=32)),
    "sam2": lambda: t.Sam2Model(sam2()),
    "sam3_tracker": lambda: t.Sam3TrackerModel(sam3()),
    "edgetam": lambda: t.EdgeTamModel(edgetam()),
}


MEMORY = {
    "memory_attention_hidden_size": 32,
    "memory_attention_num_layers": 1,
    "memory_attention_feed_forward_hidden_size": 32,
    "memory_encoder_hidden_size": 32,
    "memory_encoder_output_channels": 16,
    "mask_downsampler_embed_dim": 32,
    "memory_fuser_embed_dim": 32,
    "memory_fuser_intermediate_dim": 32,
}
"""Of what video models have besides the part for one image."""


def parts(image: Any) -> dict[str, Any]:
    """The configurations of an image model's parts, for the video model around it."""
    made = {
        name: getattr(image, name).to_dict()
        for name in ("prompt_encoder_config", "mask_decoder_config")
    }
    for part in made.values():
        del part["model_type"]
    return {"vision_config": image.vision_config, **made, **MEMORY}


def sam3_video() -> Any:
    """A detector for words, whose image encoder the tracker shares."""
    tracker = parts(sam3())
    vision = tracker["vision_config"].to_dict()
    small = {"hidden_size": 32, "num_attention_heads": 2}
    layers = {**small, "num_layers": 1, "intermediate_size": 32}
    text = {**small, "num_hidden_layers": 1, "intermediate_size": 32, "projection_dim": 32}
    detector = {
        "vision_config": vision,
        "text_config": {**text, "vocab_size": 64, "bos_token_id": 1, "eos_token_id": 2},
        "geometry_encoder_config": layers,
        "detr_encoder_config": layers,
        "detr_decoder_config": {**layers, "num_queries": 4},
        "mask_decoder_config": small,
    }
    tracker = {**tracker, "vision_config": vision, "image_size": SIDE_OF_14}
    return t.Sam3VideoConfig(tracker_config=tracker, detector_config=detector)


VIDEO = {
    "sam2_video": lambda: t.Sam2VideoModel(t.Sam2VideoConfig(**parts(sam2()))),
    "edgetam_video": lambda: t.EdgeTamVideoModel(t.EdgeTamVideoConfig(**parts(edgetam()))),
    "sam3_video": lambda: t.Sam3VideoModel(sam3_video()),
}
OF_ONE_IMAGE = {"sam2_video": "sam2", "edgetam_video": "edgetam", "sam3_video": "sam3_tracker"}


def build(kind: str) -> Any:
    """A model whose masks are neither empty nor full: its usual start is too near to zero."""
    import torch

    torch.manual_seed(1)
    model = {**KINDS, **VIDEO}[kind]().eval().requires_grad_(False)
    for name, weights in model.named_parameters():
        if weights.dim() > 1 and "norm" not in name:
            # A bit more than what keeps the size of what flows, so that prompts count.
            weights.normal_(0, 1.5 / weights[0].numel() ** 0.5)
    return model


def processor(kind: str) -> Any:
    """What a user of transformers makes images and prompts ready with."""
    kind = OF_ONE_IMAGE.get(kind, kind)
    if kind in ("sam", "sam_hq"):
        images = t.SamImageProcessor(
            size={"longest_edge": SIDE}, pad_size={"height": SIDE, "width": SIDE}
        )
        return (t.SamProcessor if kind == "sam" else t.SamHQProcessor)(images)
    if kind == "sam3_tracker":
        size = {"height": SIDE_OF_14, "width": SIDE_OF_14}
        return t.Sam3TrackerProcessor(t.Sam3ImageProcessor(size=size))
    return t.Sam2Processor(t.Sam2ImageProcessor(size={"height": SIDE, "width": SIDE}))


def save(kind: str, folder: Path) -> Path:
    """A folder as on the hub."""
    from safetensors.torch import save_file
    from transformers.utils import logging

    logging.disable_progress_bar()
    model = build(kind)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    processor(kind).save_pretrained(folder)
    # Not the model's own saving: that renames the tensors of SAM 3, which the hub's files do not.
    tensors = {name: weights.clone() for name, weights in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder
