"""Hyper-parameters of AVG: its image tokenizer and its language model."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class AVGTokenizerConfig:
    """Cross-modal aligned image tokenizer; the defaults are the released ones for T5-base."""

    widths: tuple[int, ...] = (1024, 512)
    """Hidden layers of the encoder; the decoder mirrors them."""
    latent: int = 768
    """Width of the codes; that of the language model, whose embeddings start as the codes."""
    sizes: tuple[int, ...] = (1024,) * 4
    """Codes of each level."""
    shared: bool = True
    """All levels read one codebook; their sizes must be equal."""
    residual: Literal["detach", "ste_residual", "raw"] = "ste_residual"
    """Gradient of residuals to earlier levels: `mmjax.blocks.quantisation.quantize.quantise`."""
    dropout: float = 0.25
    """Dropout rate before every linear layer, in [0, 1)."""
    alignment: float = 1.0
    """Weight of the alignment with the captions; 0 leaves them out."""
    align: Literal["after", "before"] = "after"
    """Vectors that are aligned: the reconstruction, or the encoder's output, whose width must then
    be that of the captions' features."""
    align_by: Literal["mse", "l1", "contrastive"] = "mse"
    """Mean squared or absolute difference, or symmetric InfoNCE of cosines within the batch."""
    temperature: float = 1.0
    """Of the contrastive alignment."""
    reconstruct_by: Literal["mse", "l1"] = "mse"
    """Mean squared or absolute difference of image and reconstruction."""
    weight: float = 1.0
    """Weight of the quantiser's losses."""
    beta: float = 0.25
    """Weight of the commitment loss among them."""
    init: Literal["kmeans", "uniform"] = "kmeans"
    """First codebooks: k-means of the untrained encoder's output (of what earlier levels leave of
    it, where levels have their own), or U(-1/k, 1/k)."""
    init_rows: int = 2048
    """Most images that k-means reads."""

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.sizes)


@dataclass(frozen=True)
class AVGConfig:
    """Token-to-voken language model; the defaults are those of T5-base."""

    width: int = 768
    """Width of the model, which is that of the tokenizer's codes."""
    layers: int = 12
    """Layers of the encoder and of the decoder, each."""
    heads: int = 12
    """Attention heads."""
    head_width: int = 64
    """Width of a head."""
    hidden: int = 3072
    """Hidden width of the feed-forward networks."""
    dropout: float = 0.2
    """Dropout rate, in [0, 1)."""
    shared: bool = True
    """The levels share their tokens, as they share a codebook."""
    softmax: Literal["vocabulary", "level"] = "vocabulary"
    """Tokens over which a token's probability is taken: all, or the codes of its level."""
    temperature: float = 0.5
    """Divides the logits of the generative stage."""
    rank_weight: float = 0.5
    """Weight of the ranking loss in the discriminative stage."""
    rank_temperature: float = 1.0
    """Divides all logits of the discriminative stage."""
    rank_beams: int = 10
    """Beams of the search that gives its negatives."""
    official: bool = False
    """Take the ranking loss of the softmax's probabilities, as the released code does, in place
    of the scores: never zero, and of weak gradients."""
    beams: int = 10
    """Beams of the search."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the computation; parameters, softmax and scores are float32."""
