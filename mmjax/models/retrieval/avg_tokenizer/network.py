"""The network of `avg_tokenizer` and its losses on a batch.

Axes: b pairs of a batch, i inputs, o outputs, d features, t features of captions, z latent width.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Bool, Float, Key

from mmjax.blocks.common.collectives import global_mean, own_key
from mmjax.blocks.losses.contrast import in_batch
from mmjax.blocks.quantisation.quantize import Quantised, codebook_loss, commitment_loss, quantise
from mmjax.layers.batch_norm import BatchNorm
from mmjax.layers.dropout import module_dropout
from mmjax.models.generative.rq_vae.network import codebook_names, uniform
from mmjax.models.retrieval.avg.config import AVGTokenizerConfig


class Tower(nn.Module):
    """Dropout, linear, batch normalisation and, but for the last layer, ReLU."""

    widths: tuple[int, ...]
    rate: float

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b i"],
        *,
        train: bool = False,
        where: Bool[Array, "b"] | None = None,
        axis: str | None = None,
    ) -> Float[Array, "b o"]:
        """Map rows; in training, statistics are those of the rows that count on all devices."""
        for n, width in enumerate(self.widths, 1):
            x = module_dropout(self, x, self.rate, train)
            x = nn.Dense(width, kernel_init=nn.initializers.xavier_normal(), name=f"layer_{n}")(x)
            x = BatchNorm(name=f"norm_{n}")(x, train=train, where=where, axis=axis)
            x = x if n == len(self.widths) else nn.relu(x)
        return x


class Tokenized(NamedTuple):
    """Images as the tokenizer reads and restores them."""

    latent: Float[Array, "b z"]
    quantised: Quantised
    output: Float[Array, "b d"]
    """The reconstruction."""


class Tokenizer(nn.Module):
    """Encoder, codebooks and decoder."""

    config: AVGTokenizerConfig
    features: int

    def setup(self) -> None:
        c = self.config
        self.encoder = Tower((*c.widths, c.latent), c.dropout)
        self.decoder = Tower((*reversed(c.widths), self.features), c.dropout)
        self.books = [
            self.param(name, uniform, (size, c.latent))
            for name, size in zip(codebook_names(c), c.sizes, strict=False)
        ]

    def codebooks(self) -> list[Float[Array, "_ z"]]:
        """One a level."""
        return list(self.books) * (self.config.levels if self.config.shared else 1)

    def encode(self, x: Float[Array, "b d"], **options: Any) -> Float[Array, "b z"]:
        """Latents of images; `options` are those of `Tower`."""
        return self.encoder(x, **options)

    def __call__(self, x: Float[Array, "b d"], **options: Any) -> Tokenized:
        """Latents, their quantisation and the reconstruction from it."""
        z = self.encoder(x, **options)
        quantised = quantise(z, self.codebooks(), residual=self.config.residual)
        return Tokenized(z, quantised, self.decoder(quantised.output, **options))


def loss_terms(
    config: AVGTokenizerConfig,
    params: Any,
    state: Any,
    x: Float[Array, "b d"],
    y: Float[Array, "b t"],
    key: Key[Array, ""],
    *,
    where: Bool[Array, "b"],
    axis: str | None = None,
) -> tuple[dict[str, Float[Array, ""]], Any]:
    """``reconstruction + alignment + weight (codebook + beta commitment)``, and the new state.

    Args:
        config: the tokenizer.
        params: trained arrays.
        state: running statistics.
        x: features of images.
        y: features of their captions.
        key: of dropout; the same on all devices.
        where: pairs that count.
        axis: mapped axis over which the batch is split, if any.

    Returns:
        The terms by name, "total" their weighted sum; all are means over all devices.
    """
    tokenized: Any
    tokenized, new = Tokenizer(config, x.shape[1]).apply(
        {"params": params, **state},
        x,
        train=True,
        where=where,
        axis=axis,
        rngs={"dropout": own_key(key, axis)},
        mutable=["batch_stats"],
    )
    average: Any = {"reduction": "mean", "level_reduction": "mean"}
    parts = {
        "reconstruction": difference(tokenized.output, x, by=config.reconstruct_by),
        "codebook": codebook_loss(tokenized.quantised, **average),
        "commitment": commitment_loss(tokenized.quantised, **average),
    }
    terms = {name: global_mean(rows, axis, where=where) for name, rows in parts.items()}
    quantiser = terms["codebook"] + config.beta * terms["commitment"]
    total = terms["reconstruction"] + config.weight * quantiser
    if config.alignment:
        of = tokenized.output if config.align == "after" else tokenized.latent
        terms["alignment"] = alignment(config, of, y, where=where, axis=axis)
        total += config.alignment * terms["alignment"]
    return {"total": total, **terms}, {**state, **new}


def difference(
    a: Float[Array, "b d"], b: Float[Array, "b d"], *, by: str = "mse"
) -> Float[Array, "b"]:
    """Mean squared (`by` "mse") or absolute ("l1") difference of each row."""
    apart = a.astype(jnp.float32) - b.astype(jnp.float32)
    return (jnp.square(apart) if by == "mse" else jnp.abs(apart)).mean(1)


def alignment(
    config: AVGTokenizerConfig,
    of: Float[Array, "b t"],
    captions: Float[Array, "b t"],
    *,
    where: Bool[Array, "b"],
    axis: str | None = None,
) -> Float[Array, ""]:
    """Distance of rows from their captions' features, averaged over the batch.

    With "mse" beside a "mse" reconstruction the two are least at ``(image + caption) / 2``.
    """
    if config.align_by == "contrastive":
        options: Any = {"temperature": config.temperature, "where": where, "axis": axis}
        return (in_batch(of, captions, **options) + in_batch(captions, of, **options)) / 2
    return global_mean(difference(of, captions, by=config.align_by), axis, where=where)
