"""Flax modules that several models share."""

from mmjax.layers.attention import Attention, KeysValues, with_prefix
from mmjax.layers.batch_norm import BatchNorm
from mmjax.layers.decode_step import search_of
from mmjax.layers.feed_forward import Activation, FeedForward
from mmjax.layers.item_content import Content
from mmjax.layers.linear import Linear
from mmjax.layers.mlp import MLP
from mmjax.layers.modality_encoder import ModalityEncoder
from mmjax.layers.norms import Norm, norm
from mmjax.layers.relative_bias import RelativeBias
from mmjax.layers.sage import SAGEConv
from mmjax.layers.seq2seq import Seq2Seq, Seq2SeqConfig, shift_right
from mmjax.layers.stack import Cache, Fixed, Stack, StackConfig, States
from mmjax.layers.transformer import Block, BlockConfig

__all__ = [
    "Activation",
    "Attention",
    "BatchNorm",
    "Block",
    "BlockConfig",
    "Cache",
    "Content",
    "FeedForward",
    "Fixed",
    "KeysValues",
    "Linear",
    "MLP",
    "ModalityEncoder",
    "Norm",
    "RelativeBias",
    "SAGEConv",
    "Seq2Seq",
    "Seq2SeqConfig",
    "Stack",
    "StackConfig",
    "States",
    "norm",
    "search_of",
    "shift_right",
    "with_prefix",
]
