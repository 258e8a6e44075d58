"""Our side of the parity of quantisers: the same steps by the blocks."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mmjax.blocks.common.projection import l2_normalise
from mmjax.blocks.quantisation.codebook_ema import Averages, averages, follow, followed_codebook
from mmjax.blocks.quantisation.quantize import Quantised, quantise, squared_error
from tests.parity.quantise.case import Case, inputs

BETA_SIMVQ = 0.25


def _losses(found: Quantised, where: jax.Array, *, learns: bool, beta: float = 1.0) -> jax.Array:
    """Each level's ``|z - q|^2`` averaged over rows and features, as the other library has it.

    There its gradient reaches both sides if codebooks learn by gradient: the value of one loss,
    the gradient of two. With `beta` both are counted, as its SimVQ does.
    """
    count = jnp.maximum(where.sum(), 1)
    mean = lambda a, b: (squared_error(a, b) * where[None]).sum(1) / count  # noqa: E731
    fixed = jax.lax.stop_gradient
    commitment = mean(found.inputs, fixed(found.vectors))
    codebook = mean(fixed(found.inputs), found.vectors)
    if beta != 1.0:
        return codebook + beta * commitment
    return commitment + codebook - fixed(codebook) if learns else commitment


@partial(jax.jit, static_argnums=0)
def _forward_and_back(case: Case, books: Any, x: Any, weight: Any, where: Any) -> Any:
    """Gradients in x and in what the codebooks are made of, and the forward pass."""

    def total(x: Any, books: Any) -> Any:
        rows = l2_normalise(x) if case.cosine else x
        every = books * len(case.sizes) if case.shared else books
        if case.kind == "simvq":
            every = [every[0] @ every[1]]
        found = quantise(
            rows,
            every,
            residual=case.residual,
            estimator=case.estimator,
            output="levels",
            active=jnp.full(len(x), case.active) if case.active else None,
        )
        beta = BETA_SIMVQ if case.kind == "simvq" else 1.0
        losses = _losses(found, where, learns=case.learning == "gradient", beta=beta)
        output = jnp.where(where[:, None], found.output, 0)
        return (output * weight).sum() + losses.sum(), (found, output, losses)

    return jax.grad(total, (0, 1), has_aux=True)(x, books)


def _followed(case: Case, books: Any, states: Any, found: Quantised, codes: Any) -> Any:
    """Averages and codebooks after a step."""
    if case.shared:
        # It decays the averages once a level; ours would count all levels at once.
        for z, code in zip(found.inputs, codes.T, strict=True):
            states = [follow(states[0], z, code, decay=case.decay)]
    else:
        levels = zip(states, found.inputs, codes.T, strict=True)
        states = [follow(s, z, code, decay=case.decay) for s, z, code in levels]
    books = [followed_codebook(s, b) for s, b in zip(states, books, strict=True)]
    return [l2_normalise(b) for b in books] if case.cosine else books, states


def ours(case: Case) -> dict[str, np.ndarray]:
    """The record of `tests.parity.quantise.theirs.reference`."""
    given = {k: jnp.asarray(v) for k, v in inputs(case).items()}
    books = [given[f"codebook_{m}"] for m in range(1 if case.shared else len(case.sizes))]
    states: list[Averages] = [averages(b) for b in books]
    if case.kind == "simvq":
        books.append(given["map"])
    record: dict[str, Any] = {}
    for step in range(case.steps):
        x, weight, where = (given[f"{k}_{step}"] for k in ("x", "weight", "where"))
        (dx, dbooks), (found, output, losses) = _forward_and_back(case, books, x, weight, where)
        codes = jnp.where(where[:, None], found.codes, -1)
        result = {"output": output, "codes": codes, "loss": losses, "grad/x": dx}
        if case.kind == "simvq":
            result |= {"loss": losses, "grad/map": dbooks[1]}
        elif case.learning == "gradient":
            result |= {f"grad/codebook_{m}": g for m, g in enumerate(dbooks)}
        else:
            books, states = _followed(case, books, states, found, codes)
            for m, (book, state) in enumerate(zip(books, states, strict=True)):
                result |= {
                    f"codebook_{m}": book,
                    f"counts_{m}": state.counts,
                    f"sums_{m}": state.sums,
                }
        record |= {f"{step}/{k}": np.asarray(v) for k, v in result.items()}
    return record


def assert_equal_records(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """The same entries, codes exactly and numbers to float32's rounding over a few steps."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if name.endswith("/codes"):
            np.testing.assert_array_equal(found[name], value, err_msg=name)
        else:
            np.testing.assert_allclose(found[name], value, rtol=2e-4, atol=2e-5, err_msg=name)
