"""The network of `rq_vae` and its losses on a batch.

Axes: b rows, d features, z latent width, l levels, k codes.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array
from jaxtyping import Bool, Float, Key

from mmjax.blocks.common.collectives import global_mean, own_key
from mmjax.blocks.common.projection import l2_normalise
from mmjax.blocks.quantisation.codebook_ema import Averages, follow, followed_codebook, revive
from mmjax.blocks.quantisation.codes import Assign, nearest
from mmjax.blocks.quantisation.quantize import (
    Quantised,
    codebook_loss,
    commitment_loss,
    draw_levels,
    quantise,
    squared_error,
)
from mmjax.blocks.quantisation.sinkhorn import balanced
from mmjax.layers.mlp import MLP
from mmjax.models.generative.rq_vae.config import RQVAEConfig
from mmjax.models.retrieval.avg.config import AVGTokenizerConfig


def codebook_names(config: RQVAEConfig | AVGTokenizerConfig) -> list[str]:
    """Names of the codebooks among the variables: one a level, or one for all."""
    return [f"codebook_{m + 1}" for m in range(1 if config.shared else config.levels)]


class RQVAE(nn.Module):
    """Encoder, decoder and the codebooks, which are parameters or, by moving averages, state."""

    config: RQVAEConfig
    features: int

    def setup(self) -> None:
        c = self.config
        self.encoder = MLP((*c.widths, c.latent), c.activation)
        back = c.activation if c.decoder_activation == "same" else c.decoder_activation
        self.decoder = MLP((*reversed(c.widths), self.features), back)
        names = codebook_names(c)
        self.books = [self._book(*named) for named in zip(names, c.sizes, strict=False)]

    def _book(self, name: str, size: int) -> Array:
        c = self.config
        shape = (size, c.latent)
        if c.learning == "gradient":
            return self.param(name, uniform, shape)
        if c.learning == "ema":
            return self.variable("codebooks", name, self._drawn, uniform, shape).value
        normal = nn.initializers.normal(c.latent**-0.5)
        frozen = self.variable("codebooks", name, self._drawn, normal, shape).value
        return frozen @ self.param(f"{name}_map", nn.initializers.lecun_normal(), (c.latent,) * 2)

    def _drawn(self, init: Any, shape: tuple[int, int]) -> Array:
        return init(self.make_rng("params"), shape)

    def codebooks(self) -> list[Float[Array, "_ z"]]:
        """One a level."""
        return list(self.books) * (self.config.levels if self.config.shared else 1)

    def encode(self, x: Float[Array, "*b d"]) -> Float[Array, "*b z"]:
        """Latents of normalised rows."""
        return self.encoder(x)

    def decode(self, z: Float[Array, "*b z"]) -> Float[Array, "*b d"]:
        """Normalised rows of latents."""
        return self.decoder(z)

    def __call__(self, x: Float[Array, "b d"], **options: Any) -> tuple[Array, Quantised]:
        """The reconstruction of normalised rows, and their latents' quantisation.

        `options` go to `mmjax.blocks.quantisation.quantize.quantise`.
        """
        found = quantise(self.encode(x), self.codebooks(), **options)
        return self.decode(found.output), found


def uniform(key: Array, shape: tuple[int, int]) -> Array:
    """Codes drawn from U(-1, 1) over their number."""
    return jax.random.uniform(key, shape, minval=-1 / shape[0], maxval=1 / shape[0])


def normalised(
    config: RQVAEConfig, state: Mapping[str, Any], x: Float[Array, "b d"]
) -> Float[Array, "b d"]:
    """Rows as the encoder reads them."""
    if config.normalise == "unit":
        return l2_normalise(x)
    if config.normalise == "standard":
        return (x - state["input"]["mean"][None]) / state["input"]["scale"][None]
    return x


class RQVAETerms(NamedTuple):
    """Losses of a batch, averaged over its rows on all devices; `total` is the weighted sum."""

    total: Float[Array, ""]
    reconstruction: Float[Array, ""]
    codebook: Float[Array, ""]
    commitment: Float[Array, ""]


def loss_terms(
    config: RQVAEConfig,
    params: Any,
    state: Any,
    x: Float[Array, "b d"],
    key: Key[Array, ""],
    *,
    where: Bool[Array, "b"] | None = None,
    axis: str | None = None,
) -> tuple[RQVAETerms, Any]:
    """``reconstruction + weight (codebook + beta commitment)``, and the state after the batch.

    With moving averages the codebook loss is reported, but not part of the total.

    Args:
        config: the model.
        params: trained arrays.
        state: collections beside them.
        x: rows of embeddings, which may themselves be learnt.
        key: the same on all devices.
        where: rows that count; None means all.
        axis: mapped axis over which the batch is split, if any.
    """
    c = config
    where = jnp.ones(x.shape[0], bool) if where is None else where
    k_levels, k_gumbel, k_revive = jax.random.split(key, 3)
    rows = normalised(c, state, x)
    options: dict[str, Any] = {
        "residual": c.residual,
        "estimator": c.estimator,
        "output": c.output,
        "assign": _assign(c, where, axis),
        "temperature": c.temperature,
        "key": own_key(k_gumbel, axis) if c.estimator == "gumbel" else None,
    }
    if c.fewest_levels:
        options["active"] = draw_levels(
            own_key(k_levels, axis), len(x), c.levels, fewest=c.fewest_levels
        )
    model: Any = RQVAE(c, x.shape[1])
    y, found = model.apply({"params": params, **state}, rows, **options)
    reductions: Any = {"reduction": c.reduction, "level_reduction": c.level_reduction}
    parts = (
        squared_error(y, rows, reduction=c.reduction),
        codebook_loss(found, **reductions),
        commitment_loss(found, **reductions),
    )
    reconstruction, codebook, commitment = (global_mean(p, axis, where=where) for p in parts)
    learnt = jnp.zeros(()) if c.learning == "ema" else codebook
    total = reconstruction + c.weight * (learnt + c.beta * commitment)
    if c.learning == "ema":
        state = {**state, **_followed(c, state, found, where, k_revive, axis)}
    return RQVAETerms(total, reconstruction, codebook, commitment), state


def _assign(config: RQVAEConfig, where: Array, axis: str | None) -> list[Assign]:
    near = partial(nearest, cosine=config.cosine)
    eps = config.sinkhorn_eps or (0.0,) * config.levels
    even = {"rounds": config.sinkhorn_rounds, "where": where, "axis": axis}
    return [partial(balanced, eps=e, **even) if e > 0 else near for e in eps]


def _followed(
    config: RQVAEConfig, state: Any, found: Quantised, where: Array, key: Array, axis: str | None
) -> dict[str, Any]:
    """The codebooks and their averages after a batch."""
    inputs, codes = found.inputs, jnp.where(where[:, None], found.codes, -1).T
    if config.shared:
        inputs, codes = inputs.reshape(1, -1, inputs.shape[-1]), codes.reshape(1, -1)
    books, means = {}, {}
    for m, name in enumerate(codebook_names(config)):
        old = Averages(**state["averages"][name])
        mean = follow(old, inputs[m], codes[m], decay=config.decay, axis=axis)
        book = followed_codebook(mean, state["codebooks"][name], eps=config.eps)
        if config.revive_below > 0:
            options: Any = {"threshold": config.revive_below, "where": codes[m] >= 0, "axis": axis}
            k_level = jax.random.fold_in(key, m)
            book, mean, _ = revive(k_level, book, mean, jax.lax.stop_gradient(inputs[m]), **options)
        books[name], means[name] = book, mean._asdict()
    return {"codebooks": books, "averages": means}
