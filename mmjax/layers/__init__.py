"""Flax modules that several models share."""

from mmjax.layers.activations import ACTIVATIONS, Activation
from mmjax.layers.attention import Attention, KeysValues, with_prefix
from mmjax.layers.batch_norm import BatchNorm
from mmjax.layers.decoding import decode_step
from mmjax.layers.feed_forward import FeedForward
from mmjax.layers.item_content import Content
from mmjax.layers.linear import Linear
from mmjax.layers.mlp import MLP
from mmjax.layers.modality_encoder import ModalityEncoder
from mmjax.layers.norms import Norm, norm
from mmjax.layers.patches import Patches
from mmjax.layers.relative_bias import RelativeBias
from mmjax.layers.sage import SAGEConv
from mmjax.layers.seq2seq import Seq2Seq, Seq2SeqConfig, shift_right
from mmjax.layers.stack import CrossMemory, DecodeCache, Stack, StackConfig, StackOutput
from mmjax.layers.transformer import Block, BlockConfig

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "Attention",
    "BatchNorm",
    "Block",
    "BlockConfig",
    "Content",
    "CrossMemory",
    "DecodeCache",
    "FeedForward",
    "KeysValues",
    "Linear",
    "MLP",
    "ModalityEncoder",
    "Norm",
    "Patches",
    "RelativeBias",
    "SAGEConv",
    "Seq2Seq",
    "Seq2SeqConfig",
    "Stack",
    "StackConfig",
    "StackOutput",
    "decode_step",
    "norm",
    "shift_right",
    "with_prefix",
]
