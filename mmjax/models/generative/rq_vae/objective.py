"""RQ-VAE: an autoencoder whose latents are residual-quantised, for semantic ids of items.

D. Lee et al., CVPR 2022, arXiv 2203.01941; for recommendation S. Rajput et al. (TIGER), NeurIPS
2023, arXiv 2305.05065.

Axes: n rows of the table, b rows of a batch, d features, l levels.
"""

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float, Int, Key

from mmjax.blocks.common.projection import l2_normalise
from mmjax.blocks.quantisation import encoding
from mmjax.blocks.quantisation.codebook_ema import averages
from mmjax.blocks.quantisation.codebooks import residual_energy, summary
from mmjax.blocks.quantisation.codes import counts_by_code, nearest
from mmjax.blocks.quantisation.kmeans import init_codebooks as first_codebooks
from mmjax.models.generative.rq_vae.config import RQVAEConfig
from mmjax.models.generative.rq_vae.network import RQVAE, codebook_names, loss_terms, normalised
from mmjax.objective import Aux, Objective, Params, State, Variables

Table = Float[Array, "n d"] | Float[np.ndarray, "n d"]
_BLOCK = 8192
_LEAST_USE = 0.5


def build(config: RQVAEConfig, embeddings: Table) -> Objective:
    """RQ-VAE on the rows of a table; batches have int32 ``row`` and bool ``where`` ``[b]``.

    `mmjax.training.sources.rows_source` makes such batches. Codebooks start as `config.init`
    says, on the untrained encoder; `encode` gives the codes of trained variables.

    Raises:
        ValueError: settings that contradict each other, or a table that is not finite or has
            fewer rows than a codebook that k-means starts.
    """
    return Objective.bind(config, _checked(config, embeddings), init=_init, loss=_loss)


def _init(config: RQVAEConfig, x: Array, key: Array) -> Variables:
    k_params, k_books = jax.random.split(key)
    state: dict[str, Any] = {}
    if config.normalise == "standard":
        deviation = x.std(0)
        scale = jnp.where(deviation > 0, deviation, 1.0)
        state = {"input": {"mean": x.mean(0), "scale": scale}}
    model = RQVAE(config, x.shape[1])
    variables = {**model.init(k_params, normalised(config, state, x[:1])), **state}
    return init_codebooks(config, variables, x, k_books)


def init_codebooks(
    config: RQVAEConfig,
    variables: Variables,
    embeddings: Table,
    key: Key[Array, ""],
    *,
    method: Literal["residual_kmeans", "kmeans", "uniform"] | None = None,
) -> dict[str, Any]:
    """New variables whose codebooks fit the latents that the encoder gives the table now.

    At most `config.init_rows` rows are read, drawn without replacement. Moving averages start
    with the clusters' sizes. With "simvq" the codebooks are frozen, and nothing changes.

    Args:
        config: the model.
        variables: as `Objective.init` returns them, or trained.
        embeddings: the table.
        key: for the draws.
        method: None takes `config.init`; see `mmjax.blocks.quantisation.kmeans.init_codebooks`.

    Raises:
        ValueError: fewer rows than codes, for k-means.
    """
    method = method or config.init
    variables = dict(variables)
    if config.learning == "simvq":
        return variables
    k_rows, k_books = jax.random.split(key)
    x = jnp.asarray(embeddings, jnp.float32)
    if len(x) > config.init_rows:
        x = x[jax.random.choice(k_rows, len(x), (config.init_rows,), replace=False)]
    z = _latents(config, variables, x)
    names = codebook_names(config)
    if config.shared and method == "residual_kmeans":
        method = "kmeans"
    books = first_codebooks(k_books, config.sizes[: len(names)], z, method=method)
    named = dict(zip(names, books, strict=True))
    if config.learning == "gradient":
        return {**variables, "params": {**variables["params"], **named}}
    codes = encoding.encode(z, books)
    means = {}
    for m, (name, book) in enumerate(named.items()):
        counts = counts_by_code(codes[:, m], size=len(book)) if method != "uniform" else None
        means[name] = averages(book, counts)._asdict()
    return {**variables, "codebooks": named, "averages": means}


def _loss(
    config: RQVAEConfig,
    x: Array,
    params: Params,
    state: State,
    batch: Mapping[str, Array],
    key: Array,
    *,
    axis: str | None = None,
) -> tuple[Array, Aux]:
    rows, where = x[batch["row"]], batch.get("where")
    terms, state = loss_terms(config, params, state, rows, key, where=where, axis=axis)
    metrics = terms._asdict()
    return metrics.pop("total"), Aux(state, metrics)


def encode(config: RQVAEConfig, variables: Variables, embeddings: Table) -> Int[Array, "n l"]:
    """Codes of any rows of embeddings, int32, by the nearest code at every level."""
    z = _latents(config, variables, jnp.asarray(embeddings, jnp.float32))
    assign = functools.partial(nearest, cosine=config.cosine)
    return encoding.encode(z, codebooks(config, variables), assign=assign)


def codebooks(config: RQVAEConfig, variables: Variables) -> list[Float[Array, "_ z"]]:
    """The codebook of every level."""
    # The decoder's width plays no part in the codebooks.
    return _apply(config, variables, 1, "codebooks")


def decode(
    config: RQVAEConfig, variables: Variables, codes: Int[Array, "n l"]
) -> Float[Array, "n d"]:
    """The embeddings that codes stand for, on the table's scale; a code of -1 adds nothing.

    With `normalise` "unit" the lengths of the table's rows are lost: these are about one.
    """
    x = _reconstructed(config, variables, codes)
    if config.normalise == "standard":
        x = x * variables["input"]["scale"][None] + variables["input"]["mean"][None]
    return x


def _reconstructed(config: RQVAEConfig, variables: Variables, codes: Array) -> Array:
    last = variables["params"]["decoder"][f"layer_{len(config.widths) + 1}"]
    run = functools.partial(_apply, config, variables, len(last["bias"]), "decode")
    z = encoding.decode(codes, codebooks(config, variables))
    return lax.map(run, z, batch_size=_BLOCK)


def _apply(
    config: RQVAEConfig, variables: Variables, features: int, method: str, *args: Array
) -> Any:
    return RQVAE(config, features).apply(variables, *args, method=method)


def _latents(config: RQVAEConfig, variables: Variables, x: Array) -> Array:
    def one(row: Array) -> Array:
        rows = normalised(config, variables, row[None])
        return _apply(config, variables, x.shape[1], "encode", rows)[0]

    return lax.map(one, x, batch_size=_BLOCK)


def evaluation(
    config: RQVAEConfig, embeddings: Table, *, categories: Int[Array, "n"] | None = None
) -> Callable[[Any, Any, Array], dict[str, float]]:
    """Evaluation for `fit`: how codes are used and what they leave unexplained, over the table.

    The function it returns takes parameters, collections and a key and gives numbers by slash
    names: those of `blocks.quantisation.codebooks.summary`, ``level_1/residual_energy`` ... (of
    latents), ``reconstruction/mse`` (mean over all entries of normalised rows) and
    ``reconstruction/cosine``. It warns where less than half of a level's codes are used.
    """
    x = _checked(config, embeddings)
    measure = jax.jit(functools.partial(_measure, config))

    def evaluate(params: Any, state: Any, key: Array) -> dict[str, float]:
        found = measure({"params": params, **state}, x, categories)
        numbers = {name: float(value) for name, value in found.items()}
        for m in range(config.levels):
            if (used := numbers[f"level_{m + 1}/utilisation"]) < _LEAST_USE:
                warnings.warn(
                    f"level {m + 1} uses {used:.0%} of its {config.sizes[m]} codes; start from "
                    "k-means, learn by moving averages with revival, or ask for fewer codes",
                    stacklevel=2,
                )
        return numbers

    return evaluate


def _measure(
    config: RQVAEConfig, variables: Variables, x: Array, categories: Array | None
) -> dict[str, Array]:
    z, books = _latents(config, variables, x), codebooks(config, variables)
    codes = encode(config, variables, x)
    left = residual_energy(z, codes, books)
    found = summary(codes, config.sizes, categories)
    found |= {f"level_{m + 1}/residual_energy": left[m] for m in range(config.levels)}
    rows = normalised(config, variables, x)
    y = _reconstructed(config, variables, codes)
    cosine = (l2_normalise(rows) * l2_normalise(y)).sum(1)
    mse = jnp.square(rows - y).mean()
    return found | {"reconstruction/mse": mse, "reconstruction/cosine": cosine.mean()}


def _checked(config: RQVAEConfig, embeddings: Table) -> Array:
    """The table in float32."""
    x = np.asarray(embeddings)
    if x.ndim != 2 or not len(x) or not np.isfinite(x).all():
        raise ValueError(f"rq_vae: embeddings of shape {x.shape}: give a table of finite numbers")
    _check_config(config)
    if config.init != "uniform" and config.learning != "simvq":
        rows = min(len(x), config.init_rows)
        if rows < max(config.sizes):
            raise ValueError(
                f"rq_vae: k-means reads {rows} rows, fewer than the {max(config.sizes)} codes of a "
                "level; ask for fewer codes, more init_rows, or init 'uniform'"
            )
    return jnp.asarray(x, jnp.float32)


def _check_config(config: RQVAEConfig) -> None:
    sizes = config.sizes
    if not sizes or min(sizes) < 1:
        raise ValueError(f"rq_vae: sizes {sizes}; give one level or more of one code or more")
    if config.shared and len(set(sizes)) > 1:
        raise ValueError(f"rq_vae: a shared codebook has one size, but sizes are {sizes}")
    if config.sinkhorn_eps and len(config.sinkhorn_eps) != len(sizes):
        raise ValueError(
            f"rq_vae: sinkhorn_eps {config.sinkhorn_eps} must give a number for each of "
            f"{len(sizes)} levels, or none at all"
        )
    if not 0 <= config.fewest_levels <= len(sizes):
        raise ValueError(
            f"rq_vae: fewest_levels {config.fewest_levels} must lie in [0, {len(sizes)}]"
        )
