"""Hyper-parameters of MIG-GT (arXiv 2412.13994); the defaults are the paper's for Baby."""

import dataclasses
from dataclasses import dataclass

ALL = "all"
_HOPS = 2
"""Hops of each modality where none are given: the best of the sweep on LastFM-2K."""


@dataclass(frozen=True)
class MIGGTConfig:
    """Architecture and loss of MIG-GT."""

    modalities: tuple[str, ...] = ("text", "image")
    """Content modalities that are read, in the order that `hops` follows; none named means all."""
    width: int = 64
    """Dimension d of user and item vectors."""
    id_hops: int = 4
    """Hops K_E of the embedding modality; -1 leaves it out."""
    hops: tuple[int, ...] = (2, 1)
    """Hops of each content modality, in the order of the modalities; 0 feeds the features to
    their own items only, -1 leaves the modality out. None named means two of each."""
    alpha: float = 0.1
    """Share of the input that every hop adds again."""
    beta: float = 0.9
    """Share of the propagated signal that every hop keeps."""
    hidden: int = 512
    """Hidden width of the modality encoders."""
    input_dropout: float = 0.3
    """Dropout of the raw features."""
    hidden_dropout: float = 0.3
    """Dropout of the encoders' hidden layer."""
    user_dropout: float = 0.3
    """Dropout of the id embeddings before propagation."""
    item_dropout: float = 0.3
    """Dropout of the encoded features before propagation."""
    edge_dropout: float = 0.2
    """Dropout of the values of the normalised adjacency, one mask per modality and pass."""
    fused_dropout: float = 0.2
    """Dropout of the sum of the modalities."""
    samples: int = 10
    """Items S that the global transformer draws for each node; 0 removes it (ablation MIG)."""
    attention_width: int = 4
    """Width of its queries and keys."""
    mix: float = 0.1
    """Share of the attended memory in its output."""
    eval_samples: int = 1
    """Draws of the global transformer whose mean is the vector used at evaluation."""
    item_embedding: bool = False
    """Give items an id embedding too."""
    tur_weight: float = 1.0
    """Weight of the transformer unsmooth regularisation; 0 removes it."""
    l2: float = 1e-5
    """Weight of half the squared norm of all final vectors."""
    project: tuple[str, ...] = ()
    """Modalities replaced by a random projection, rows normalised, before training."""
    projection_width: int = 384
    """Width of that projection; 384 is also the width of the text features in the authors' data."""
    normalise: tuple[str, ...] = ()
    """Modalities whose rows are L2-normalised before anything else; `all` means every one read."""

    def on(self, there: tuple[str, ...]) -> "MIGGTConfig":
        """The configuration on data with these modalities: what is left open follows from them.

        Raises:
            ValueError: a modality that is named is not there, or hops and modalities differ in
                number; names the field.
        """
        modalities = self.modalities or there
        every = self.normalise == (ALL,)
        config = dataclasses.replace(
            self,
            modalities=modalities,
            hops=self.hops or (_HOPS,) * len(modalities),
            normalise=modalities if every else self.normalise,
        )
        for name in ("modalities", "normalise", "project"):
            if missing := sorted(set(getattr(config, name)) - set(there)):
                raise ValueError(
                    f"{name}: {missing} not among the features {list(there)}; set "
                    f"--model.{name} to some of them, or to nothing"
                )
        if len(config.hops) != len(modalities):
            raise ValueError(
                f"hops: {len(config.hops)} numbers for the modalities {', '.join(modalities)}; set "
                f"--model.hops to {len(modalities)} numbers, one each"
            )
        return config
