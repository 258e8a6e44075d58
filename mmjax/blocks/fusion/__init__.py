"""Layers that fuse the modalities of an item."""

from mmjax.blocks.fusion.item_specific import (
    CP,
    Layer,
    cp_linear,
    cp_tensor,
    full_linear,
    item_linear,
    item_mlp,
    released_linear,
)

__all__ = [
    "CP",
    "Layer",
    "cp_linear",
    "cp_tensor",
    "full_linear",
    "item_linear",
    "item_mlp",
    "released_linear",
]
