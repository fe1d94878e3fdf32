"""A small SAM 2 of transformers' classes, with random weights."""

from transformers import Sam2Config, Sam2Model

SIDE = 64
"""The side of the square images that it reads, in pixels."""
_BACKBONE = {
    "model_type": "sam2_hiera_det_model", "hidden_size": 16, "image_size": [SIDE, SIDE],
    "blocks_per_stage": [1, 1, 2, 1], "embed_dim_per_stage": [16, 24, 32, 40],
    "num_attention_heads_per_stage": [1, 1, 1, 1], "window_size_per_stage": [4, 4, 4, 4],
    "global_attention_blocks": [3], "window_positional_embedding_background_size": [4, 4],
}  # fmt: skip
_VISION = {
    "model_type": "sam2_vision_model", "backbone_config": _BACKBONE, "backbone_channel_list": [40, 32, 24, 16],
    "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]], "fpn_hidden_size": 32,
}  # fmt: skip
_DECODER = {"hidden_size": 32, "mlp_dim": 64, "num_attention_heads": 2, "iou_head_hidden_dim": 32}


def build_sam2() -> Sam2Model:
    """The network, with 0.1 M parameters. torch's global seed decides its weights."""
    prompts = {"hidden_size": 32, "image_size": SIDE}
    return Sam2Model(Sam2Config(vision_config=_VISION, prompt_encoder_config=prompts, mask_decoder_config=_DECODER))
