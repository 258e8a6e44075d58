"""Item-specific fusion at MovieLens' size: factored against full tensors, and the cost of rank.

    python -m experiments.benchmarks.fusion [--out FILE]

The four fusion layers of MetaMMF (2276-1024-512-256-32) over all 5,986 items, as every training
step runs them: forward, and gradients of all weights. The extractor of the meta information,
which all forms share, is left out. Forms run in alternating rounds. Memory is what the compiled
program needs beside its inputs and results. The form that makes the weights of every item is
compiled for its memory and never run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from experiments.benchmarks import harness
from mmjax.blocks.fusion.item_specific import CP, Layer, item_mlp

BASELINE = "full tensor"
NAIVE = "weights of every item"


@dataclass(frozen=True)
class Options(harness.Options):
    """Item-specific fusion: factored against full tensors, and the cost of rank."""

    rounds: int = 3
    items: int = 5_986
    """Items."""
    widths: tuple[int, ...] = (2276, 1024, 512, 256, 32)
    """Features and outputs of the layers."""
    meta_width: int = 5
    """Entries of the meta information."""
    rank: int = 16
    """Rank of the factors that the full tensor is compared with."""
    ranks: tuple[int, ...] = (1, 4, 64, 256)
    """Further ranks of the curve."""


def layers(options: Options, form: str, rank: int) -> list[Layer]:
    """Weights of the layers: "static", "cp" or "full"."""
    k, made = options.meta_width, []
    for n, (p, q) in enumerate(zip(options.widths, options.widths[1:], strict=False)):
        keys = jax.random.split(jax.random.fold_in(jax.random.key(0), n), 5)
        small = p**-0.5
        static = small * jax.random.normal(keys[0], (p, q))
        dynamic = None
        if form == "cp":
            dynamic = CP(
                rows=small * jax.random.normal(keys[1], (p, rank)),
                columns=rank**-0.5 * jax.random.normal(keys[2], (rank, q)),
                modes=jax.random.normal(keys[3], (rank, k)),
            )
        elif form == "full":
            dynamic = small * jax.random.normal(keys[4], (k, p, q))
        made.append(Layer(static, dynamic))
    return made


def every_weight(x: Any, s: Any, weights: Sequence[Layer]) -> Any:
    """`item_mlp` by its definition: the weights of all items, then their products."""
    h = x
    for n, layer in enumerate(weights):
        static: Any = layer.static
        matrices = static[None] + jnp.einsum("ik,kpq->ipq", s, layer.dynamic)
        h = jnp.einsum("ip,ipq->iq", h if n == 0 else jax.nn.leaky_relu(h), matrices)
    return h


def program(fuse: Any, x: Any, s: Any, weights: Any) -> Any:
    """The compiled forward and backward pass."""

    def run(x: Any, s: Any, weights: Any) -> Any:
        return jax.grad(lambda s, w: jnp.square(fuse(x, s, w)).mean(), (0, 1))(s, weights)

    return jax.jit(run).lower(x, s, weights).compile()


def measure(options: Options) -> dict[str, Any]:
    """Parameters, memory and seconds of every form; prints them."""
    k_x, k_s = jax.random.split(jax.random.key(1))
    x = jax.random.normal(k_x, (options.items, options.widths[0]))
    s = jax.random.normal(k_s, (options.items, options.meta_width))
    forms = {"static": ("static", 0), BASELINE: ("full", 0)}
    forms |= {f"cp, rank {r}": ("cp", r) for r in sorted({options.rank, *options.ranks})}
    rows, candidates = {}, {}
    for name, (form, rank) in forms.items():
        weights = layers(options, form, rank)
        compiled = program(item_mlp, x, s, weights)
        rows[name] = {
            "form": form,
            "rank": rank,
            "parameters": sum(a.size for a in jax.tree.leaves(weights)),
            "mib": harness.temporary_mib(compiled),
            "forward_mib": harness.temporary_mib(jax.jit(item_mlp).lower(x, s, weights).compile()),
        }
        candidates[name] = harness.timed(
            lambda f=compiled, w=weights: f(x, s, w),
            wait=jax.block_until_ready,
            clock=harness.clock(options),
        )
    compared = harness.compare(
        candidates,
        BASELINE,
        rounds=options.rounds,
        note=lambda row: (
            f"{rows[row.name]['mib']:9.1f} MiB, {rows[row.name]['parameters']:>12,} weights"
        ),
    )
    abstract = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), layers(options, "full", 0)
    )
    naive = harness.temporary_mib(jax.jit(every_weight).lower(x, s, abstract).compile())
    print(f"{NAIVE}: {naive:,.0f} MiB for a forward pass (not run)", flush=True)
    for row in compared.records:
        rows[row["name"]] |= row
    return {
        "baseline": BASELINE,
        "rows": list(rows.values()),
        NAIVE.replace(" ", "_") + "_mib": naive,
    }


def main(options: Options) -> None:
    """Measure, print the table and write the JSON."""
    harness.limit_threads(options)
    print(f"{options.items:,} items, {'-'.join(map(str, options.widths))}", flush=True)
    record = {
        **harness.record(options),
        "items": options.items,
        "widths": options.widths,
        "meta_width": options.meta_width,
        **measure(options),
    }
    harness.write(options, record)
