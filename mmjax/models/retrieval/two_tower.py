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
from jaxtyping import Float, Int, Key, UInt8

from mmjax.blocks.common.batching import map_batched
from mmjax.blocks.common.projection import l2_normalise
from mmjax.blocks.losses.contrast import in_batch
from mmjax.blocks.ranking.full_ranking import top_items
from mmjax.encoders.image_text.clip import Clip, ClipConfig, ClipTextConfig, ClipVisionConfig
from mmjax.models.common.query_task import QueryTask
from mmjax.objective import Aux, Objective, Params, State, Variables
from mmjax.retriever import Exclusion, Model, Retriever, TopK

_ROWS = 256
"""Images or texts that are embedded at a time."""
_MOST = 100.0
"""The largest factor on cosines, CLIP's."""


class ImageTextFeatures(NamedTuple):
    """Vectors of images and of texts, scaled so that the mean square of an entry is one."""

    images: Float[np.ndarray, "n p"]
    texts: Float[np.ndarray, "q p"]

    @classmethod
    def of_unit(
        cls, images: Float[np.ndarray, "n p"], texts: Float[np.ndarray, "q p"]
    ) -> "ImageTextFeatures":
        """Features of vectors of length one."""
        return cls(images.shape[1] ** 0.5 * images, texts.shape[1] ** 0.5 * texts)


class TowerIndex(NamedTuple):
    """The trained towers, and unit vectors of all images."""

    params: Params
    images: Float[Array, "n p"]


class _Inputs(NamedTuple):
    """Pixels of all images, and the pairs."""

    pixels: UInt8[Array, "n y x 3"]
    texts: Int[Array, "q s"]
    image: Int[Array, "q"]


def tower_config(
    vocabulary: int,
    length: int,
    *,
    size: int,
    patch: int,
    width: int,
    layers: int,
    heads: int,
    projection: int,
    end_id: int = 1,
) -> ClipConfig:
    """Towers of one width for square images; the text tower has half the layers.

    Args:
        vocabulary: tokens of texts, 0 for padding among them.
        length: most tokens of a text.
        size: rows and columns of pixels.
        patch: rows and columns of a patch.
        width: of both towers, four times that in their feed-forward networks.
        layers: of the image tower.
        heads: attention heads.
        projection: width of the shared space.
        end_id: token that closes a text.
    """
    same: Any = {"width": width, "heads": heads, "hidden": 4 * width, "projection": projection}
    return ClipConfig(
        ClipTextConfig(
            vocabulary=vocabulary,
            layers=max(1, layers // 2),
            positions=length,
            end_id=end_id,
            pad_id=0,
            **same,
        ),
        ClipVisionConfig(image=(size, size), patch=(patch, patch), layers=layers, **same),
    )


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


def build(config: ClipConfig, task: QueryTask, pixels: UInt8[np.ndarray, "n y x 3"]) -> Model:
    """Both towers by symmetric InfoNCE with a learnt temperature, retrieving images by cosine.

    Batches have int32 ``row`` (of a text) and bool ``where`` ``[b]``, as
    `mmjax.training.sources.rows_source` makes them. Other texts about an image count against it
    where a batch holds several.

    Args:
        config: of both towers.
        task: texts about images: tokens padded with 0, each closed by `ClipTextConfig.end_id`.
            Queries are such tokens too.
        pixels: of all images, which are the candidates.

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
        ("image", task.candidate, len(pixels)),
        ("token", task.queries, c.text.vocabulary),
    ):
        if x.size and (x.min() < 0 or x.max() >= n):
            bad = x.min() if x.min() < 0 else x.max()
            raise ValueError(f"two_tower: {name} {bad} is out of range (0..{n - 1})")
    inputs = _Inputs(
        jnp.asarray(pixels),
        jnp.asarray(task.queries, jnp.int32),
        jnp.asarray(task.candidate, jnp.int32),
    )
    return Model(
        Objective.bind(config, inputs, init=_init, loss=_loss),
        Retriever.bind(
            config,
            inputs.pixels,
            index=_index,
            retrieve=_retrieve,
            n_candidates=len(pixels),
            chunk=_ROWS,
        ),
    )


def _init(config: ClipConfig, inputs: _Inputs, key: Key[Array, ""]) -> Variables:
    x = inputs.pixels[:1].astype(jnp.float32)
    return dict(Clip(config).init(key, inputs.texts[:1], x))


def _loss(
    config: ClipConfig,
    inputs: _Inputs,
    params: Params,
    state: State,
    batch: Mapping[str, Array],
    key: Key[Array, ""],
    *,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    row, where = batch["row"], batch["where"]
    a = _images(config, params, inputs.pixels[inputs.image[row]])
    b = _texts(config, params, inputs.texts[row])
    factor = jnp.minimum(jnp.exp(params["logit_scale"]), _MOST)
    options: Any = {"temperature": 1 / factor, "where": where, "axis": axis}
    value = (in_batch(a, b, **options) + in_batch(b, a, **options)) / 2
    return value, Aux(state, {"factor": jax.lax.stop_gradient(factor)})


def _index(config: ClipConfig, pixels: Array, variables: Variables, key: Array) -> TowerIndex:
    params = variables["params"]
    return TowerIndex(params, embed_images(config, params, pixels))


def _retrieve(
    config: ClipConfig,
    pixels: Array,
    index: TowerIndex,
    queries: Int[Array, "b s"],
    exclude: Exclusion | None,
    *,
    k: int,
) -> TopK:
    texts = embed_texts(config, index.params, queries)
    pairs = None if exclude is None else exclude.pairs
    return TopK(*top_items(texts, index.images, pairs, k=k))
