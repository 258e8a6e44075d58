"""Hyper-parameters of SASRec."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SASRecConfig:
    """SASRec (W.-C. Kang, J. McAuley, ICDM 2018, arXiv 1808.09781)."""

    width: int = 64
    """Dimension of item vectors and of the hidden states."""
    layers: int = 2
    """Blocks of self-attention and feed-forward network."""
    heads: int = 1
    """Attention heads; the width is a multiple."""
    hidden: int = 64
    """Hidden width of the feed-forward networks (the paper: that of the model)."""
    length: int = 50
    """Latest items of a history that are read."""
    dropout: float = 0.5
    """Dropout rate of embeddings, attention weights and feed-forward networks."""
    loss: Literal["bce", "softmax"] = "bce"
    """bce: binary cross-entropy of the next item and of the sampled negatives (the paper);
    softmax: cross-entropy over all items, which samples nothing."""
    negatives: int = 1
    """Negatives drawn at each position for "bce"; their losses are averaged."""

    @property
    def n_negatives(self) -> int:
        """Negatives that a batch has to hold."""
        return self.negatives if self.loss == "bce" else 0
