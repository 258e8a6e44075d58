"""AVG's image tokenizer: images to a few discrete tokens, aligned with what captions say of them.

Y. Li, H. Cai et al., SIGIR 2025, arXiv 2407.17274. Batches are pairs of an image and a caption:
the reconstruction from the tokens is drawn to the image's features and to the caption's alike.

Differences from the released code: pairs are shuffled; k-means reads a sample of all images, not
the first batch, as batch normalisation in training makes them.

Axes: n images, p pairs, b pairs of a batch, d features, t features of captions, z latent width,
l levels, k codes.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float, Int, Integer

from mmjax.blocks.quantisation import encoding
from mmjax.blocks.quantisation.codebooks import residual_energy, summary
from mmjax.blocks.quantisation.kmeans import init_codebooks
from mmjax.models.generative.rq_vae.network import codebook_names
from mmjax.models.retrieval.avg.config import AVGTokenizerConfig
from mmjax.models.retrieval.avg_tokenizer.network import Tokenizer, loss_terms
from mmjax.objective import Aux, Objective, Params, State, Variables

Table = Float[Array, "n d"] | Float[np.ndarray, "n d"]
_BLOCK = 8192


class Captions(NamedTuple):
    """Pairs of an image and features of a text about it, such as a caption or a pseudo query."""

    image: Integer[np.ndarray, "p"]
    """Rows of the table of images."""
    features: Float[np.ndarray, "p t"]
    """By the text side of the encoder that made the images' features."""


class _Inputs(NamedTuple):
    """Features of all images, and the pairs."""

    table: Float[Array, "n d"]
    image: Int[Array, "p"]
    text: Float[Array, "p t"]


def build(config: AVGTokenizerConfig, images: Table, captions: Captions) -> Objective:
    """The tokenizer on pairs of a table's images and captions.

    Batches have int32 ``row`` (of a pair) and bool ``where`` ``[b]``, as
    `mmjax.training.sources.rows_source` makes them; a batch should hold many images, for batch
    normalisation. `encode` gives the codes of trained variables.

    Raises:
        ValueError: settings that contradict each other or the features' widths, values that are
            not finite, an image that is not in the table, or fewer images than k-means needs.
    """
    x = np.asarray(images, np.float32)
    _check(config, x, captions)
    inputs = _Inputs(
        jnp.asarray(x),
        jnp.asarray(captions.image, jnp.int32),
        jnp.asarray(captions.features, jnp.float32),
    )
    return Objective.bind(config, inputs, init=_init, loss=_loss)


def _init(config: AVGTokenizerConfig, inputs: _Inputs, key: Array) -> Variables:
    x = inputs.table
    k_params, k_rows, k_books = jax.random.split(key, 3)
    model = Tokenizer(config, x.shape[1])
    variables: Any = model.init(k_params, x[:2])
    if config.init == "uniform":
        return dict(variables)
    if len(x) > config.init_rows:
        x = x[jax.random.choice(k_rows, len(x), (config.init_rows,), replace=False)]
    # Latents as the first step will see them: normalised by the batch, but without dropout.
    plain = Tokenizer(dataclasses.replace(config, dropout=0.0), x.shape[1])
    z: Any = plain.apply(variables, x, train=True, method="encode", mutable=["batch_stats"])
    names = codebook_names(config)
    method = "kmeans" if config.shared else "residual_kmeans"
    books = init_codebooks(k_books, config.sizes[: len(names)], z[0], method=method)
    params = {**variables["params"], **dict(zip(names, books, strict=True))}
    return {**variables, "params": params}


def _loss(
    config: AVGTokenizerConfig,
    inputs: _Inputs,
    params: Params,
    state: State,
    batch: Mapping[str, Array],
    key: Array,
    *,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    row, where = batch["row"], batch["where"]
    x, y = inputs.table[inputs.image[row]], inputs.text[row]
    terms, state = loss_terms(config, params, state, x, y, key, where=where, axis=axis)
    return terms.pop("total"), Aux(state, terms)


def latents(config: AVGTokenizerConfig, variables: Variables, images: Table) -> Float[Array, "n z"]:
    """The encoder's output for any images: running statistics, no dropout."""
    x = jnp.asarray(images, jnp.float32)
    model = Tokenizer(config, x.shape[1])

    def one(row: Array) -> Any:
        return model.apply(variables, row[None], method="encode")[0]

    return lax.map(one, x, batch_size=_BLOCK)


def codebooks(config: AVGTokenizerConfig, variables: Variables) -> list[Float[Array, "_ z"]]:
    """The codebook of every level; the same array at all of them if they share one."""
    books = [variables["params"][name] for name in codebook_names(config)]
    return books * (config.levels if config.shared else 1)


def encode(config: AVGTokenizerConfig, variables: Variables, images: Table) -> Int[Array, "n l"]:
    """Codes of any images, int32; an image's codes depend on it alone."""
    return encoding.encode(latents(config, variables, images), codebooks(config, variables))


def decode(
    config: AVGTokenizerConfig, variables: Variables, codes: Int[Array, "n l"]
) -> Float[Array, "n d"]:
    """The features that codes stand for: between those of images and of their captions."""
    last = variables["params"]["decoder"][f"layer_{len(config.widths) + 1}"]
    model = Tokenizer(config, len(last["bias"]))
    z = encoding.decode(codes, codebooks(config, variables))

    def one(row: Array) -> Any:
        return model.apply(variables, row[None], method=lambda m, v: m.decoder(v))[0]

    return lax.map(one, z, batch_size=_BLOCK)


def quality(
    config: AVGTokenizerConfig, variables: Variables, images: Table
) -> dict[str, Float[Array, ""] | Int[Array, ""]]:
    """Use and collisions of codes, and the energy they leave of the latents, by slash names.

    Those of `mmjax.blocks.quantisation.codebooks.summary`, and ``level_1/residual_energy`` ...
    """
    z, books = latents(config, variables, images), codebooks(config, variables)
    codes = encoding.encode(z, books)
    left = residual_energy(z, codes, books)
    found = summary(codes, config.sizes)
    return found | {f"level_{m + 1}/residual_energy": left[m] for m in range(config.levels)}


def _check(config: AVGTokenizerConfig, x: np.ndarray, captions: Captions) -> None:
    if x.ndim != 2 or not len(x) or not np.isfinite(x).all():
        raise ValueError(f"avg_tokenizer: images {x.shape}: give a table of finite numbers")
    image, y = np.asarray(captions.image), np.asarray(captions.features)
    if len(image) != len(y) or not len(y) or not np.isfinite(y).all():
        raise ValueError(
            f"avg_tokenizer: {len(image)} images and captions {y.shape}: give pairs of finite rows"
        )
    if image.min() < 0 or image.max() >= len(x):
        raise ValueError(f"avg_tokenizer: captions of images outside 0..{len(x) - 1}")
    width = x.shape[1] if config.align == "after" else config.latent
    if config.alignment and y.shape[1] != width:
        raise ValueError(
            f"avg_tokenizer: align {config.align!r} compares {width} features with the captions' "
            f"{y.shape[1]}; encode both by one model, or set alignment to 0"
        )
    check_counts(config, len(x))


def check_counts(config: AVGTokenizerConfig, images: int) -> None:
    """Check that k-means has an image for each code, and that sizes fit; needs no features.

    Raises:
        ValueError: they do not; the message says what to change.
    """
    _check_sizes(config.sizes, config.shared)
    rows = min(images, config.init_rows)
    if config.init == "kmeans" and rows < max(config.sizes):
        raise ValueError(
            f"avg_tokenizer: k-means reads {rows} images, fewer than {max(config.sizes)} codes; "
            "ask for fewer codes, more init_rows, or init 'uniform'"
        )


def _check_sizes(sizes: Sequence[int], shared: bool) -> None:
    if not sizes or min(sizes) < 1 or (shared and len(set(sizes)) > 1):
        raise ValueError(
            f"avg_tokenizer: sizes {tuple(sizes)}; give one level or more, of equal sizes if they "
            "share a codebook"
        )
