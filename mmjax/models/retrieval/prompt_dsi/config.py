"""Hyper-parameters of PromptDSI.  Imports no JAX."""

from dataclasses import dataclass
from typing import Literal

Prompts = Literal["topic", "l2p", "s++", "coda"]


@dataclass(frozen=True)
class PromptDSIConfig:
    """Prefix prompts for a frozen encoder, and the classifier over documents."""

    prompts: Prompts = "topic"
    """topic: fixed keys, one a topic; l2p: learned keys; s++: learned keys, each corpus has
    entries of its own; coda: attended components, each corpus adds some."""
    pool: int = 80
    """Entries m of the pool; s++ and coda divide them among the new corpora."""
    length: int = 10
    """Positions p of an entry; 0 is the frozen encoder."""
    top_k: int = 1
    """Entries of a query (not coda)."""
    prompted: tuple[int, ...] = (1,)
    """Layers that see prompts, from 0."""
    query_layer: int = 1
    """Layers that a query passes before its prompts are chosen."""
    two_pass: bool = False
    """Choose the prompts by a pass of their own through the first `query_layer` layers, which may
    then be all of them, as L2P and its kin do; otherwise in the one pass there is, at the input
    of layer `query_layer`, so that prompts cannot come earlier."""
    topic_feature: Literal["query_layer", "last_layer"] = "query_layer"
    """Layer of the vectors that topics are made of: that where queries look for them, or
    from the last layer (the paper's code)."""
    pull: float = 0.1
    """Weight of the pull of learned keys towards the queries that choose them (l2p, s++)."""
    pooling: Literal["mean", "cls"] = "mean"
    """Vector of a query: the mean over its tokens (SBERT) or its first token (BERT)."""
    normalise: bool = False
    """Scale the vectors that the classifier reads to length one (SBERT)."""
    dropout: float = 0.1
    """Dropout rate of what the classifier reads, in [0, 1)."""
    encoder_dropout: bool = True
    """Draw the encoder's dropout where it is trained; a frozen one never has any."""
    ewc: float = 0.0
    """Weight of elastic weight consolidation, where an anchor is given."""
    official: bool = False
    """Give queries of a batch each other's prompts as the authors' code does; results then depend
    on the batch."""

    def __post_init__(self) -> None:
        """Check what depends on each other.

        Raises:
            ValueError: a size is out of range, or prompts stand before the layer that chooses.
        """
        if self.pool < 1 or self.length < 0 or not 1 <= self.top_k <= self.pool:
            raise ValueError(
                f"a pool of {self.pool} entries of length {self.length}, {self.top_k} a query; "
                "pool and top_k start at 1, top_k ends at the pool"
            )
        if not self.prompted or min(self.prompted) < (0 if self.two_pass else self.query_layer):
            raise ValueError(
                f"prompts in layers {self.prompted} are chosen before layer {self.query_layer}: "
                "prompt that layer or later ones, or set two_pass"
            )
