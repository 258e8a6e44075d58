"""Hyper-parameters of the collaborative baselines, with MMRec's defaults."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LightGCNConfig:
    """LightGCN (arXiv 2002.02126) as MMRec trains it."""

    width: int = 64
    """Dimension of user and item vectors."""
    hops: int = 2
    """Propagation steps L; the output is the mean of steps 0 to L."""
    l2: float = 1e-4
    """Weight of the norms of the batch's embedding rows."""


@dataclass(frozen=True)
class BPRMFConfig:
    """Matrix factorisation with the BPR loss (arXiv 1205.2618) as MMRec trains it."""

    width: int = 64
    """Dimension of user and item vectors."""
    l2: float = 1e-2
    """Weight of the norms of the batch's embedding rows."""


@dataclass(frozen=True)
class MGDCFConfig:
    """MGDCF (arXiv 2204.02338): Markov graph diffusion of id embeddings with InfoBPR."""

    width: int = 64
    """Dimension of user and item vectors."""
    hops: int = 4
    """Diffusion steps K."""
    alpha: float = 0.1
    """Share of the input that every hop adds again."""
    beta: float = 0.9
    """Share of the propagated signal that every hop keeps."""
    input_dropout: float = 0.3
    """Dropout of the embeddings before diffusion."""
    edge_dropout: float = 0.0
    """Dropout of the values of the normalised adjacency."""
    output_dropout: float = 0.3
    """Dropout of the diffused vectors."""
    l2: float = 1e-4
    """Weight of half the squared norm of all diffused vectors."""
