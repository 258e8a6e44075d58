"""CLIP's two towers trained from the start: a vector an image, a vector a text, compared by cosine.

A. Radford et al., ICML 2021, arXiv 2103.00020. The baseline of AVG, and where no published
weights are at hand the encoder whose features AVG's tokenizer quantises.

Axes: n images, y rows and x columns of pixels, q texts, s tokens of a text, b pairs, p width.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial
from jaxtyping import Float, Int, Integer, Key, UInt8

from mmjax.blocks.common.batching import map_batched
from mmjax.blocks.common.projection import l2_normalise
from mmjax.blocks.losses.contrast import in_batch
from mmjax.encoders.image_text.clip import Clip, ClipConfig
from mmjax.objective import Aux, Objective, Params

_ROWS = 256
"""Images or texts that are embedded at a time."""
_MOST = 100.0
"""The largest factor on cosines, CLIP's."""


class Pairs(NamedTuple):
    """Images, texts about them, and texts that `predict` embeds."""

    pixels: UInt8[np.ndarray, "n y x 3"]
    texts: Integer[np.ndarray, "q s"]
    """Tokens, padded with 0, each text closed by `ClipTextConfig.end_id`."""
    image: Integer[np.ndarray, "q"]
    asked: Integer[np.ndarray, "a s"]


class Vectors(NamedTuple):
    """Vectors of length one."""

    images: Float[Array, "n p"]
    texts: Float[Array, "a p"]


def embed_images(
    config: ClipConfig, params: Params, pixels: UInt8[Array, "n y x 3"]
) -> Float[Array, "n p"]:
    """Unit vectors of images."""
    return map_batched(functools.partial(_images, config, params), pixels, size=_ROWS)


def embed_texts(
    config: ClipConfig, params: Params, texts: Int[Array, "q s"]
) -> Float[Array, "q p"]:
    """Unit vectors of texts."""
    return map_batched(functools.partial(_texts, config, params), texts, size=_ROWS)


def _images(config: ClipConfig, params: Params, pixels: Array) -> Array:
    x = pixels.astype(jnp.float32) / 127.5 - 1
    found: Any = Clip(config).apply({"params": params}, x, method=lambda m, x: m.vision(x))
    return l2_normalise(found.projected.astype(jnp.float32))


def _texts(config: ClipConfig, params: Params, ids: Array) -> Array:
    found: Any = Clip(config).apply(
        {"params": params}, ids, ids != config.text.pad_id, method=lambda m, *a: m.text(*a)
    )
    return l2_normalise(found.projected.astype(jnp.float32))


def build(config: ClipConfig, pairs: Pairs) -> Objective:
    """Both towers by symmetric InfoNCE with a learnt temperature; `predict` gives `Vectors`.

    Batches have int32 ``row`` (of a text) and bool ``where`` ``[b]``, as
    `mmjax.training.sources.rows_source` makes them. Other texts about an image count against it
    where a batch holds several.

    Raises:
        ValueError: towers without a shared width, or an image or a token out of range.
    """
    c = config
    if not c.text.projection or c.text.projection != c.vision.projection:
        raise ValueError(
            f"two_tower: texts of width {c.text.projection}, images of {c.vision.projection}; give "
            "both towers one projection"
        )
    for name, x, n in (
        ("image", pairs.image, len(pairs.pixels)),
        ("token", pairs.texts, c.text.vocabulary),
        ("token", pairs.asked, c.text.vocabulary),
    ):
        if x.size and (x.min() < 0 or x.max() >= n):
            bad = x.min() if x.min() < 0 else x.max()
            raise ValueError(f"two_tower: {name} {bad} is out of range (0..{n - 1})")
    pixels = jnp.asarray(pairs.pixels)
    rows = jnp.asarray(pairs.texts, jnp.int32), jnp.asarray(pairs.image, jnp.int32)
    asked = jnp.asarray(pairs.asked, jnp.int32)
    return Objective(
        Partial(functools.partial(_init, config), pixels, asked),
        Partial(functools.partial(_loss, config), pixels, *rows),
        Partial(functools.partial(_predict, config), pixels, asked),
    )


def _init(config: ClipConfig, pixels: Array, asked: Array, key: Key[Array, ""]) -> Any:
    x = pixels[:1].astype(jnp.float32)
    return dict(Clip(config).init(key, asked[:1], x))


def _loss(
    config: ClipConfig,
    pixels: Array,
    texts: Array,
    image: Array,
    params: Params,
    state: Any,
    batch: Mapping[str, Array],
    key: Key[Array, ""],
    axis: str | None = None,
) -> tuple[Array, Aux]:
    row, where = batch["row"], batch["where"]
    a = _images(config, params, pixels[image[row]])
    b = _texts(config, params, texts[row])
    factor = jnp.minimum(jnp.exp(params["logit_scale"]), _MOST)
    options: Any = {"temperature": 1 / factor, "where": where, "axis": axis}
    value = (in_batch(a, b, **options) + in_batch(b, a, **options)) / 2
    return value, Aux(state, {"factor": jax.lax.stop_gradient(factor)})


def _predict(
    config: ClipConfig, pixels: Array, asked: Array, params: Params, state: Any, key: Array
) -> Vectors:
    return Vectors(embed_images(config, params, pixels), embed_texts(config, params, asked))
