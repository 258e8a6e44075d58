"""Hyper-parameters of TIGER."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class SidConfig:
    """How items get their semantic ids."""

    quantiser: Literal["residual_kmeans", "rq_vae", "random"] = "rq_vae"
    """Of the items' vectors: k-means level by level; an autoencoder whose latents are quantised
    (TIGER); random codes, which read no vectors (the paper's ablation)."""
    sizes: tuple[int, ...] = (256, 256, 256)
    """Codes of each level."""
    policy: Literal["append_index", "next_nearest", "sinkhorn_reassign", "share"] = "append_index"
    """What to do about items of equal codes; `mmjax.semantic_ids.policies`."""
    feature: str = "text"
    """Item feature that is quantised."""
    normalise: bool = True
    """Scale vectors to length one first."""
    epochs: int = 500
    """Epochs of the autoencoder."""
    batch_size: int = 1024
    """Its rows a step."""
    learning_rate: float = 1e-3
    """Its step size (Adam)."""
    max_collisions: float = 0.5
    """Refuse codes of which a larger share repeats another item's, before the policy."""
    seed: int = 0
    """Of the ids; all seeds of a run share them."""


@dataclass(frozen=True)
class TIGERConfig:
    """TIGER as published, a T5 of 13 million parameters (arXiv 2305.05065)."""

    ids: SidConfig = field(default_factory=SidConfig)
    """The items' ids, made before the model is trained."""
    width: int = 128
    """Width of the model."""
    layers: int = 4
    """Layers of the encoder and of the decoder, each."""
    heads: int = 6
    """Attention heads."""
    head_width: int = 64
    """Width of a head."""
    hidden: int = 1024
    """Hidden width of the feed-forward networks."""
    dropout: float = 0.1
    """Dropout rate, in [0, 1)."""
    history: int = 20
    """Latest items of a user that are read."""
    length_buckets: tuple[int, ...] = ()
    """Items that shorter histories are padded to in training, in batches of like length; (): all
    are padded to `history`, in batches of any lengths."""
    user_buckets: int = 2000
    """Tokens of users, who get that of their id modulo this number; 0: no such token."""
    softmax: Literal["level", "vocabulary"] = "level"
    """Tokens over which a code's probability is taken: the codes of its level, or all."""
    beams: int = 50
    """Beams of the search; it finds as many items at least, if there are so many."""
    validation_users: int = 0
    """Users whose validation item selects the epoch, evenly spread; 0 is all of them."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the computation; parameters, softmax and scores are float32."""
