"""Vector and residual quantisation.

Axes: b rows, d features, k codes of a codebook (each level may have its own k), l levels.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, Int, Key

from mmjax.blocks.quantisation.codes import Assign, Codebooks, each_level, lookup, nearest
from mmjax.blocks.quantisation.estimators import gumbel_mixture, rotate, straight_through

Residual = Literal["detach", "ste_residual", "raw"]
Estimator = Literal["straight_through", "rotation", "gumbel"]
Reduction = Literal["sum", "mean"]


class Quantised(NamedTuple):
    """What `quantise` finds; level l of `inputs` and `vectors` is what its losses compare."""

    output: Float[Array, "b d"]
    """The sum of the chosen vectors, with the estimator's gradient."""
    codes: Int[Array, "b l"]
    """-1 where a row does not use a level."""
    inputs: Float[Array, "l b d"]
    """z_1 = x and the residuals that the later levels read; zeros where a row stops before."""
    vectors: Float[Array, "l b d"]
    """q_m, the vector chosen for z_m, differentiable in the codebook; zeros likewise."""


def quantise(
    x: Float[Array, "b d"],
    codebooks: Codebooks,
    *,
    residual: Residual = "detach",
    estimator: Estimator = "straight_through",
    output: Literal["whole", "levels"] = "whole",
    assign: Assign | Sequence[Assign] = nearest,
    active: Int[Array, "b"] | None = None,
    key: Key[Array, ""] | None = None,
    temperature: float | Float[Array, ""] = 1.0,
) -> Quantised:
    """``q_m = C_m[argmin |z_m - C_m|]``, ``z_{m+1} = z_m - q_m``; one codebook is plain VQ.

    All conventions have the same values and differ in gradients:

    | residual | z_{m+1} | commitment of level 2 reaches the encoder | used by |
    | --- | --- | --- | --- |
    | detach | z - sg(q) | yes | SoundStream, lucidrains (with output "levels") |
    | ste_residual | z - estimator(z, q) | no, if straight through | LC-Rec, LETTER, GRID |
    | raw | z - q | yes, and it moves earlier codebooks as well | MMGRec |

    Args:
        x: what to quantise.
        codebooks: one a level, of any sizes.
        residual: convention of the residuals.
        estimator: the gradient of the output in `x`; see `estimators`. "gumbel"
            takes mixtures of codes for the q_m, and is for training only.
        output: "whole" applies the estimator once, to x and the sum of q_m (straight through:
            d output / d x = I); "levels" sums the estimates of all levels (with "detach": l I).
        assign: how codes are chosen, for all levels or one for each.
        active: how many levels each row uses (quantiser dropout, `draw_levels`); None is all.
        key: for "gumbel".
        temperature: for "gumbel", above 0.

    Raises:
        ValueError: no codebook, an unknown option, "gumbel" without a key, or a number of
            `assign` that is not the number of levels.
    """
    _check(residual, estimator, output, key)
    ways = each_level(assign, codebooks)
    z, parts = x, []
    for level, (codebook, choose) in enumerate(zip(codebooks, ways, strict=True)):
        codes = choose(lax.stop_gradient(z), lax.stop_gradient(codebook))
        live = None if active is None else level < active
        if live is not None:
            codes = jnp.where(live, codes, -1)
        if estimator == "gumbel" and key is not None:
            k_level = jax.random.fold_in(key, level)
            q = gumbel_mixture(k_level, z, codebook, temperature=temperature)
            q = through = _only(live, q.astype(x.dtype))
        else:
            q = lookup(codebook, codes).astype(x.dtype)
            through = _only(live, _estimate(estimator, z, q))
        parts.append((codes, _only(live, z), q, through))
        subtract = {"detach": lax.stop_gradient(q), "raw": q, "ste_residual": through}
        z = z - subtract[residual]
    codes, inputs, vectors, estimates = (jnp.stack(part) for part in zip(*parts, strict=True))
    if output == "levels" or estimator == "gumbel":
        result = estimates.sum(0)
    else:
        result = _estimate(estimator, x, vectors.sum(0))
    return Quantised(result, codes.T, inputs, vectors)


def _only(live: Array | None, x: Array) -> Array:
    return x if live is None else jnp.where(live[:, None], x, jnp.zeros((), x.dtype))


def _estimate(estimator: str, x: Array, q: Array) -> Array:
    return rotate(x, q) if estimator == "rotation" else straight_through(x, q)


def _check(residual: str, estimator: str, output: str, key: object) -> None:
    for name, value, choices in (
        ("residual", residual, ("detach", "ste_residual", "raw")),
        ("estimator", estimator, ("straight_through", "rotation", "gumbel")),
        ("output", output, ("whole", "levels")),
    ):
        if value not in choices:
            raise ValueError(f"quantise: {name} = {value!r}; choose one of {choices}")
    if estimator == "gumbel" and key is None:
        raise ValueError("quantise: estimator 'gumbel' draws noise; pass key=")


def squared_error(
    a: Float[Array, "*b d"], b: Float[Array, "*b d"], *, reduction: Reduction = "mean"
) -> Float[Array, "*b"]:
    """Squared differences of each row, summed or averaged over the features, in float32.

    Reconstruction and quantiser losses must share one `reduction`: with a mean in the former and
    a sum in the latter the quantiser weighs d times as much, which collapses codebooks.

    Raises:
        ValueError: an unknown reduction.
    """
    squares = jnp.square(a.astype(jnp.float32) - b.astype(jnp.float32))
    return _reduce(squares, reduction, -1)


def _reduce(x: Array, reduction: str, axis: int) -> Array:
    if reduction not in ("sum", "mean"):
        raise ValueError(f"reduction {reduction!r}; choose 'sum' or 'mean'")
    return x.sum(axis) if reduction == "sum" else x.mean(axis)


def codebook_loss(
    found: Quantised, *, reduction: Reduction = "mean", level_reduction: Reduction = "sum"
) -> Float[Array, "b"]:
    """``|sg(z_m) - q_m|^2`` over the levels: it moves codes to their members, and nothing else.

    Levels that a row does not use are zeros in the sum and in the mean. TIGER, MMGRec and GRID
    sum over levels, LC-Rec averages.
    """
    inputs = lax.stop_gradient(found.inputs)
    rows = squared_error(inputs, found.vectors, reduction=reduction)
    return _reduce(rows, level_reduction, 0)


def commitment_loss(
    found: Quantised, *, reduction: Reduction = "mean", level_reduction: Reduction = "sum"
) -> Float[Array, "b"]:
    """``|z_m - sg(q_m)|^2`` over the levels: it moves the encoder towards its codes.

    Usually weighted 0.25. Which inputs and codebooks it reaches is `quantise`'s `residual`.
    """
    vectors = lax.stop_gradient(found.vectors)
    rows = squared_error(found.inputs, vectors, reduction=reduction)
    return _reduce(rows, level_reduction, 0)


def draw_levels(key: Key[Array, ""], rows: int, levels: int, *, fewest: int = 1) -> Int[Array, "b"]:
    """Quantiser dropout: a number of levels for each row, uniform in [fewest, levels].

    N. Zeghidour et al., SoundStream, arXiv 2107.03312.

    Raises:
        ValueError: `fewest` is not in [1, levels].
    """
    if not 1 <= fewest <= levels:
        raise ValueError(f"draw_levels: fewest = {fewest} must lie in [1, {levels}], the levels")
    return jax.random.randint(key, (rows,), fewest, levels + 1, jnp.int32)
