"""Hyper-parameters of residual-quantised autoencoders, and those of published methods."""

from dataclasses import dataclass
from typing import Literal

Activation = Literal["relu", "leaky_relu", "gelu", "silu", "sigmoid", "tanh"]
Reduction = Literal["mean", "sum"]


@dataclass(frozen=True)
class RQVAEConfig:
    """An encoder, codebooks that quantise its output level by level, and a decoder."""

    widths: tuple[int, ...] = (512, 256, 128)
    """Hidden layers of the encoder; the decoder mirrors them."""
    latent: int = 32
    """Width of the vectors that are quantised; 4 to 64 are usual."""
    activation: Activation = "relu"
    """Between the encoder's layers."""
    decoder_activation: Activation | Literal["same"] = "same"
    """Between the decoder's layers."""
    normalise: Literal["none", "unit", "standard"] = "none"
    """Scaling of the embeddings: unit, rows of length one; standard, every feature to
    mean 0 and variance 1 over the table."""
    sizes: tuple[int, ...] = (256, 256, 256)
    """Codes of each level."""
    shared: bool = False
    """All levels read one codebook; their sizes must be equal."""
    init: Literal["residual_kmeans", "kmeans", "uniform"] = "residual_kmeans"
    """First codebooks: k-means on what earlier levels leave of the untrained encoder's output, or
    on that output itself (what a shared codebook gets), or U(-1/k, 1/k)."""
    init_rows: int = 20_000
    """Most rows that k-means reads."""
    learning: Literal["gradient", "ema", "simvq"] = "gradient"
    """Learning of codebooks: by the codebook loss; as moving averages of their members; or by a
    learnt linear map of frozen normal codes, which the codebook loss moves all at once."""
    decay: float = 0.99
    """Of the moving averages (ema)."""
    eps: float = 1e-5
    """Smoothing of the moving averages' counts (ema)."""
    revive_below: float = 2.0
    """Codes of fewer members on average become random rows of the batch (ema); 0 never does."""
    estimator: Literal["straight_through", "rotation", "gumbel"] = "straight_through"
    """Gradient through the choice of codes; gumbel trains on mixtures of codes."""
    temperature: float = 1.0
    """Of gumbel."""
    residual: Literal["detach", "ste_residual", "raw"] = "detach"
    """Gradient of residuals to earlier levels: `mmjax.blocks.quantisation.quantize.quantise`."""
    output: Literal["whole", "levels"] = "whole"
    """Apply the estimator to the sum of the levels, or sum the levels' estimates."""
    cosine: bool = False
    """Choose codes by cosine instead of distance."""
    sinkhorn_eps: tuple[float, ...] = ()
    """For each level, choose codes evenly while training, with this entropy weight; 0 takes the
    nearest code. None given means the nearest at all levels."""
    sinkhorn_rounds: int = 50
    """Rounds of the even choice."""
    fewest_levels: int = 0
    """Quantiser dropout: rows use a random number of levels from this one up; 0 uses all."""
    weight: float = 1.0
    """Weight of the codebook and commitment losses beside the reconstruction."""
    beta: float = 0.25
    """Weight of the commitment loss among them."""
    reduction: Reduction = "mean"
    """Of the squared errors over features, in the reconstruction and in the quantiser alike: with
    a mean in the one and a sum in the other codebooks collapse."""
    level_reduction: Reduction = "sum"
    """Of the quantiser's losses over levels."""

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len(self.sizes)


TIGER = RQVAEConfig(sizes=(256,) * 3, reduction="sum")
"""TIGER's (arXiv 2305.05065): 768-512-256-128-32, ReLU, 3 x 256 codes, k-means."""
LC_REC = RQVAEConfig(
    widths=(2048, 1024, 512, 256, 128, 64),
    sizes=(256,) * 4,
    residual="ste_residual",
    level_reduction="mean",
    sinkhorn_eps=(0.0, 0.0, 0.0, 0.003),
)
"""LC-Rec's (arXiv 2311.09049), without the batch normalisation that its released code turns on."""
MMGREC = RQVAEConfig(
    widths=(16,),
    latent=4,
    decoder_activation="sigmoid",
    sizes=(128,) * 3,
    init="uniform",
    residual="raw",
)
"""MMGRec's (arXiv 2404.16555), for its graph's item vectors."""
