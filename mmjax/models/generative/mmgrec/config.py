"""Hyper-parameters of MMGRec's stages."""

from dataclasses import dataclass


@dataclass(frozen=True)
class GraphConfig:
    """Stage 0, the graph encoder; the authors' values but for `normalise`."""

    modalities: tuple[str, ...] = ()
    """Content modalities, which are read side by side; none named means all that the data have."""
    normalise: bool = True
    """Scale every item's features of a modality to length one (the authors read them raw)."""
    width: int = 128
    """Width of users' free vectors, projected features and the first layer."""
    out_width: int = 64
    """Width of the final vectors, which is also that of the generator."""
    hidden_dropout: float = 0.5
    """Dropout rate behind the first layer."""
    output_dropout: float = 0.2
    """Dropout rate of the final vectors in training."""


@dataclass(frozen=True)
class GeneratorConfig:
    """Stage 2, the Transformer; its width is that of the item vectors."""

    layers: int = 2
    """Layers of the encoder."""
    decoder_layers: int = 2
    """Layers of the decoder."""
    heads: int = 4
    """Attention heads."""
    head_width: int = 64
    """Width of a head; the heads together are wider than the model."""
    hidden: int = 64
    """Hidden width of the feed-forward networks."""
    gate_hidden: int = 32
    """Hidden width of the gates of the relation term."""
    dropout: float = 0.2
    """Dropout rate of the inputs and behind attention and feed-forward networks (the released
    code has none behind the latter)."""
    relation: bool = True
    """The user's relation term in the encoder's attention; False is plain attention."""
    affine_ln: bool = True
    """Train gain and offset of the layer norms; False as the released code computes."""
    shared_vocab: bool = False
    """One vocabulary for all levels, with a token for the end, as in the released code; False
    gives every level a vocabulary of its own."""
