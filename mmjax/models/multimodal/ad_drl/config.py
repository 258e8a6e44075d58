"""Hyper-parameters of AD-DRL (arXiv 2312.14433); the defaults are the authors' for ToysGames."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ADDRLConfig:
    """Architecture and loss of AD-DRL; a weight of 0 takes its loss away (the ablations)."""

    modalities: tuple[str, ...] = ()
    """Content modalities beside the item's id; none named means all that the data have."""
    normalise: bool = True
    """Scale the rows of the raw features to length one."""
    attributes: tuple[str, ...] = ()
    """Attributes that get a factor each; none named means all that the data have."""
    rest: int = 1
    """Factors without an attribute, after those with one."""
    factor_width: int = 32
    """Width of a factor; vectors are that times the number of factors."""
    intra: float = 1.0
    """Weight of naming the factor of a chunk, for the user and each modality."""
    inter: float = 0.01
    """Weight of matching the factors of two modalities of an item."""
    values: float = 10.0
    """Weight of the attribute's value, predicted from the fused factor."""
    l2: float = 1.0
    """Weight of half the squared norms of a row's vectors."""
    temperature: float = 1.0
    """Divides the inner products that match factors."""
    dropout: float = 0.2
    """Dropout before the classifiers."""
    slope: float = 0.2
    """Slope of LeakyReLU before the classifiers."""
    rank_rows: int = 1024
    """The mean ranking loss counts this often beside the other means, which keeps the balance of
    the authors' batches of 1024 at any size; 0 takes its sum over the batch, as their code does."""
    official: bool = True
    """As the released code does, apply the softmax of the modality attention twice. With a single
    one the attention may settle on the ids alone, and then the content no longer helps."""
