"""Encoding texts and images: mmjax against transformers on PyTorch.

    python -m experiments.benchmarks.encoders [--torch-python PATH] [--out FILE]

Forward passes of MiniLM (6 layers, 384 wide) and of ViT-B/16 with equal random weights, which the
peer writes and both load; before timing, the outputs of both are compared. Sides run in
alternating rounds, the peer in a process of its own. The peer's Python needs `torch` and
`transformers`; without one, mmjax is measured alone, with random weights of its own. With
--one-thread --cpu-time the figures hold on a machine that has other work.
"""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import harness
from experiments.benchmarks.encoders.problem import CASES, SHAPES, checksum, inputs
from mmjax.encoders.image.vit import ViT, ViTConfig, load_vit
from mmjax.encoders.text.bert import Bert, BertConfig, load_bert


@dataclass(frozen=True)
class Options(harness.PeerOptions):
    """Encoding texts and images: mmjax against transformers on PyTorch."""

    rounds: int = 11
    sizes: Literal["full", "tiny"] = "full"
    """Sizes of the models."""
    repeat: int = 1
    """Batches of a measurement."""


def random_models(sizes: str) -> dict[str, tuple[Any, Any]]:
    """The two models with random weights, and these."""
    text: dict[str, Any] = dict(SHAPES[sizes]["minilm"])
    image: dict[str, Any] = dict(SHAPES[sizes]["vit"])
    size, patch = image.pop("size"), image.pop("patch")
    models = {
        "minilm": (Bert(BertConfig(**text, pooler=False)), jnp.zeros((1, 2), jnp.int32)),
        "vit": (
            ViT(ViTConfig((size, size), (patch, patch), **image, pooler=False)),
            jnp.zeros((1, size, size, 3)),
        ),
    }
    key = jax.random.key(0)
    return {name: (model, model.init(key, x)["params"]) for name, (model, x) in models.items()}


def calls(models: dict[str, tuple[Any, Any]], sizes: str) -> dict[str, Callable[[], Any]]:
    """Calls of the compiled encoders by case."""
    result = {}
    for case, (name, rows, length) in CASES.items():
        model, params = models[name]
        x = jnp.asarray(inputs(case, SHAPES[sizes][name]))
        mask = (jnp.ones((rows, length), bool),) if name == "minilm" else ()
        run = jax.jit(lambda params, *args, m=model: m.apply({"params": params}, *args).last)
        result[case] = lambda run=run, args=(params, x, *mask): run(*args)
    return result


def measure(
    options: Options, models: dict[str, tuple[Any, Any]], peer: harness.Peer
) -> dict[str, Any]:
    """Seconds of both sides for every case; prints the tables.

    Raises:
        SystemExit: the outputs of the two sides differ.
    """
    result = {}
    for case, call in calls(models, options.sizes).items():
        candidates = {
            "mmjax": harness.timed(
                call,
                repeat=options.repeat,
                wait=jax.block_until_ready,
                clock=harness.clock(options),
            )
        }
        if case in peer.candidates:
            own, theirs = checksum(np.asarray(call())), peer.candidates[f"{case} checksum"]()
            if abs(theirs - own) > 1e-3:
                raise SystemExit(f"{case}: the outputs differ, checksums {own} and {theirs}")
            candidates["transformers"] = peer.candidates[case]
        compared = harness.compare(candidates, rounds=options.rounds, title=case)
        result[case] = {
            "rows": CASES[case][1],
            "seconds": compared.seconds,
            "speed_up": compared.speed_up,
        }
    return result


def main(options: Options) -> None:
    """Measure, print the tables, write the JSON."""
    harness.limit_threads(options)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        shared = {"sizes": options.sizes, "repeat": options.repeat, "folder": str(folder)}
        peer = stack.enter_context(
            harness.peer(options, __name__, ("torch", "transformers"), **shared)
        )
        if peer.about:
            models = {"minilm": load_bert(folder / "minilm"), "vit": load_vit(folder / "vit")}
        else:
            models = random_models(options.sizes)
        record = {
            **harness.record(options, ("flax",)),
            **peer.about,
            "sizes": options.sizes,
            "cases": measure(options, models, peer),
        }
    harness.write(options, record)
