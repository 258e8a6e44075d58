"""A training step of a residual quantiser: mmjax against lucidrains' ResidualVQ.

    python -m experiments.benchmarks.quantise [--torch-python PATH] [--out FILE]

Forward, gradient in the latents and update of the codebooks: by Adam, or by moving averages with
and without revival of unused codes. Straight through, squared errors averaged over all entries,
the same latents and codebooks on both sides. Sides run in alternating rounds, the peer in a
process of its own; before timing, the losses of the first step are compared. The peer's Python
needs `torch` and `vector-quantize-pytorch`. With --one-thread --cpu-time the figures hold on a
machine that has other work to do.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from experiments.benchmarks import harness
from experiments.benchmarks.quantise.problem import (
    DECAY,
    LEARNING_RATE,
    MODES,
    THRESHOLD,
    Problem,
    problem,
)
from mmjax.blocks.quantisation.codebook_ema import averages, follow, followed_codebook, revive
from mmjax.blocks.quantisation.quantize import commitment_loss, quantise, squared_error


@dataclass(frozen=True)
class Options(harness.PeerOptions):
    """A training step of a residual quantiser: mmjax against lucidrains' ResidualVQ."""

    rounds: int = 15
    batches: tuple[int, ...] = (1024, 16_384)
    """Latents of a step."""
    levels: int = 3
    """Codebooks."""
    codes: int = 256
    """Codes of a codebook."""
    width: int = 32
    """Width of the latents."""
    repeat: int = 10
    """Steps of a measurement."""


def training_step(mode: str, inputs: Problem) -> tuple[Callable[[], Any], float]:
    """The compiled step with its state inside, and the loss of its first run."""
    optimiser, learns = optax.adam(LEARNING_RATE), mode == "gradient"

    def loss(x: Any, books: Any, target: Any) -> Any:
        quantised = quantise(x, books, output="levels")
        value = squared_error(quantised.output, target).mean() + commitment_loss(quantised).mean()
        if learns:  # the same value again, of which only the gradient is wanted
            fixed = jax.lax.stop_gradient(quantised.inputs)
            pull = squared_error(fixed, quantised.vectors).sum(0).mean()
            value = value + pull - jax.lax.stop_gradient(pull)
        return value, quantised

    def by_gradient(state: Any, x: Any, target: Any) -> Any:
        books, memory = state
        (value, _), (dx, grads) = jax.value_and_grad(loss, (0, 1), has_aux=True)(x, books, target)
        updates, memory = optimiser.update(grads, memory)
        return (optax.apply_updates(books, updates), memory), dx, value

    def by_averages(state: Any, x: Any, target: Any) -> Any:
        books, memory, step = state
        (value, quantised), dx = jax.value_and_grad(loss, has_aux=True)(x, books, target)
        new_books, new_memory = [], []
        for level, (book, old) in enumerate(zip(books, memory, strict=True)):
            z, codes = quantised.inputs[level], quantised.codes[:, level]
            mean = follow(old, z, codes, decay=DECAY)
            book = followed_codebook(mean, book)
            if mode == "ema, revival":
                key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), step), level)
                book, mean, _ = revive(key, book, mean, z, threshold=THRESHOLD)
            new_books.append(book)
            new_memory.append(mean)
        return (new_books, new_memory, step + 1), dx, value

    books = [jnp.asarray(book) for book in inputs.codebooks]
    x, target = jnp.asarray(inputs.x), jnp.asarray(inputs.target)
    if learns:
        state, step = (books, optimiser.init(books)), by_gradient
    else:
        state, step = (books, [averages(b) for b in books], jnp.int32(0)), by_averages
    step = jax.jit(step, donate_argnums=0)
    current: dict[str, Any] = {"state": jax.tree.map(jnp.copy, state)}

    def run() -> Any:
        current["state"], dx, value = step(current["state"], x, target)
        return dx, value

    return run, float(run()[1])


def measure(options: Options, peer: harness.Peer) -> dict[str, Any]:
    """Seconds of both sides for every mode and batch size; prints the tables.

    Raises:
        SystemExit: the first losses of the two sides differ.
    """
    result = {}
    for batch, mode in itertools.product(options.batches, MODES):
        name = f"{mode}, {batch} rows"
        run, loss = training_step(
            mode, problem(batch, options.levels, options.codes, options.width)
        )
        candidates = {
            f"mmjax {name}": harness.timed(
                run,
                repeat=options.repeat,
                wait=jax.block_until_ready,
                clock=harness.clock(options),
            )
        }
        if f"torch {name}" in peer.candidates:
            candidates[f"torch {name}"] = peer.candidates[f"torch {name}"]
            theirs = peer.candidates[f"torch {name} first loss"]()
            if abs(theirs - loss) > 1e-4 * abs(loss):
                raise SystemExit(f"{name}: first losses differ, {loss} and {theirs}")
        compared = harness.compare(candidates, rounds=options.rounds, warmup=2)
        result[name] = {
            "mode": mode,
            "rows": batch,
            "seconds": compared.seconds,
            "speed_up": compared.speed_up[f"mmjax {name}"],
            "first_loss": loss,
        }
    return result


def main(options: Options) -> None:
    """Measure, print the tables, write the JSON."""
    harness.limit_threads(options)
    sizes = {k: getattr(options, k) for k in ("levels", "codes", "width", "repeat")}
    packages, batches = ("torch", "vector_quantize_pytorch"), options.batches
    with harness.peer(options, __name__, packages, batches=batches, **sizes) as peer:
        record = {
            **harness.record(options, ("optax",)),
            **peer.about,
            **sizes,
            "steps": measure(options, peer),
        }
    harness.write(options, record)
