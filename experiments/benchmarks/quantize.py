"""A training step of a residual quantiser: mmjax against lucidrains' ResidualVQ.

    python -m experiments.benchmarks.quantize [--torch-python PATH] [--out FILE]

Forward, gradient in the latents and update of the codebooks: by Adam, or by moving averages with
and without revival of unused codes. Straight through, squared errors averaged over all entries,
the same latents and codebooks on both sides. Sides run in alternating rounds, the peer in a
process of its own; before timing, the losses of the first step are compared. The peer's Python
needs `torch` and `vector-quantize-pytorch`. With --one-thread --cpu-time the figures hold on a
machine that has other work to do.
"""

import argparse
import importlib.util
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.benchmarks import timing

PEER = "experiments.benchmarks.torch_quantize"
MODES = ("gradient", "ema", "ema, revival")
DECAY, THRESHOLD, LEARNING_RATE = 0.99, 2.0, 1e-3


class Problem(NamedTuple):
    """What both sides quantise."""

    x: np.ndarray
    """float32[b, d] latents."""
    target: np.ndarray
    """float32[b, d] what the output should be."""
    codebooks: np.ndarray
    """float32[l, k, d]."""


def problem(batch: int, levels: int, codes: int, width: int) -> Problem:
    """Normal latents; codebooks that shrink from level to level as residuals do."""
    draw = np.random.default_rng(0)
    scale = 0.7 ** np.arange(levels, dtype=np.float32)[:, None, None]
    return Problem(
        draw.standard_normal((batch, width), np.float32),
        draw.standard_normal((batch, width), np.float32),
        scale * draw.standard_normal((levels, codes, width), np.float32),
    )


def ours(mode: str, given: Problem) -> tuple[Callable[[], Any], float]:
    """The compiled step with its state inside, and the loss of its first run."""
    import jax
    import jax.numpy as jnp
    import optax

    from mmjax.blocks.quantisation.codebook_ema import averages, follow, followed_codebook, revive
    from mmjax.blocks.quantisation.quantize import commitment_loss, quantise, squared_error

    optimiser, learns = optax.adam(LEARNING_RATE), mode == "gradient"

    def loss(x: Any, books: Any, target: Any) -> Any:
        found = quantise(x, books, output="levels")
        value = squared_error(found.output, target).mean() + commitment_loss(found).mean()
        if learns:  # the same value again, of which only the gradient is wanted
            fixed = jax.lax.stop_gradient(found.inputs)
            pull = squared_error(fixed, found.vectors).sum(0).mean()
            value = value + pull - jax.lax.stop_gradient(pull)
        return value, found

    def by_gradient(state: Any, x: Any, target: Any) -> Any:
        books, memory = state
        (value, _), (dx, grads) = jax.value_and_grad(loss, (0, 1), has_aux=True)(x, books, target)
        updates, memory = optimiser.update(grads, memory)
        return (optax.apply_updates(books, updates), memory), dx, value

    def by_averages(state: Any, x: Any, target: Any) -> Any:
        books, memory, step = state
        (value, found), dx = jax.value_and_grad(loss, has_aux=True)(x, books, target)
        new_books, new_memory = [], []
        for level, (book, old) in enumerate(zip(books, memory, strict=True)):
            z, codes = found.inputs[level], found.codes[:, level]
            mean = follow(old, z, codes, decay=DECAY)
            book = followed_codebook(mean, book)
            if mode == "ema, revival":
                key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), step), level)
                book, mean, _ = revive(key, book, mean, z, threshold=THRESHOLD)
            new_books.append(book)
            new_memory.append(mean)
        return (new_books, new_memory, step + 1), dx, value

    books = [jnp.asarray(book) for book in given.codebooks]
    x, target = jnp.asarray(given.x), jnp.asarray(given.target)
    if learns:
        state, step = (books, optimiser.init(books)), by_gradient
    else:
        state, step = (books, [averages(b) for b in books], jnp.int32(0)), by_averages
    step = jax.jit(step, donate_argnums=0)
    held: dict[str, Any] = {"state": jax.tree.map(jnp.copy, state)}

    def run() -> Any:
        held["state"], dx, value = step(held["state"], x, target)
        return dx, value

    return run, float(run()[1])


def measure(flags: argparse.Namespace, remote: dict[str, timing.Candidate]) -> dict[str, Any]:
    """Seconds of both sides for every mode and batch size; prints the tables.

    Raises:
        SystemExit: the first losses of the two sides differ.
    """
    import jax

    found = {}
    for batch in flags.batches:
        given = problem(batch, flags.levels, flags.codes, flags.width)
        for mode in MODES:
            name = f"{mode}, {batch} rows"
            run, loss = ours(mode, given)
            candidates = {
                f"mmjax {name}": timing.timed(
                    run, repeat=flags.repeat, wait=jax.block_until_ready, clock=timing.clock(flags)
                )
            }
            if f"torch {name}" in remote:
                candidates[f"torch {name}"] = remote[f"torch {name}"]
                theirs = remote[f"torch {name} first loss"]()
                if abs(theirs - loss) > 1e-4 * abs(loss):
                    raise SystemExit(f"{name}: first losses differ, {loss} and {theirs}")
            samples = timing.interleaved(candidates, rounds=flags.rounds)
            baseline = list(candidates)[-1]
            rows = timing.summary(samples, baseline)
            print(f"\n{timing.table(rows, baseline)}", flush=True)
            speed_up = next(r.speedup for r in rows if r.name.startswith("mmjax"))
            found[name] = {
                "mode": mode,
                "rows": batch,
                "seconds": samples,
                "speed_up": speed_up,
                "first_loss": loss,
            }
    return found


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The flags that both processes share."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--batches", type=int, nargs="+", default=[1024, 16_384])
    parser.add_argument("--levels", type=int, default=3)
    parser.add_argument("--codes", type=int, default=256)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--repeat", type=int, default=10, help="steps of a measurement")
    timing.add_how(parser)
    return parser


def main(given: list[str] | None = None) -> None:
    """Measure, print the tables, write the JSON."""
    parser = arguments(__doc__)
    parser.add_argument("--torch-python", help="Python with the peer; default this one, if it has")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, help="JSON to write")
    flags = parser.parse_args(given)
    python = flags.torch_python
    if python is None and importlib.util.find_spec("vector_quantize_pytorch") is not None:
        python = sys.executable
    sizes = {k: getattr(flags, k) for k in ("levels", "codes", "width", "repeat")}
    shared = [f"--{name}={value}" for name, value in sizes.items()]
    shared += ["--batches", *map(str, flags.batches)]
    shared += timing.passed_on(flags)
    timing.limit_threads(flags)
    with ExitStack() as stack:
        remote, about = {}, {}
        if python is not None:
            worker = stack.enter_context(timing.worker(python, PEER, *shared))
            remote, about = worker.candidates, worker.about
        found = measure(flags, remote)
    if flags.out is not None:
        environment = timing.environment(("mmjax", "jax", "jaxlib", "optax", "numpy"))
        how = timing.described(flags)
        timing.write_json(flags.out, {**environment, **about, **sizes, **how, "steps": found})


if __name__ == "__main__":
    main()
