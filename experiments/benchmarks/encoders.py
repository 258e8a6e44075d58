"""Encoding texts and images: mmjax against transformers on PyTorch.

    python -m experiments.benchmarks.encoders [--torch-python PATH] [--out FILE]

Forward passes of MiniLM (6 layers, 384 wide) and of ViT-B/16 with equal random weights, which the
peer writes and both load; before timing, the outputs of both are compared. Sides run in
alternating rounds, the peer in a process of its own. The peer's Python needs `torch` and
`transformers`. With --one-thread --cpu-time the figures hold on a machine that has other work.
"""

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks import timing

PEER = "experiments.benchmarks.torch_encoders"
SHAPES: dict[str, dict[str, dict[str, int]]] = {
    "full": {
        "minilm": {"width": 384, "layers": 6, "heads": 12, "hidden": 1536, "vocabulary": 30_522},
        "vit": {"width": 768, "layers": 12, "heads": 12, "hidden": 3072, "size": 224, "patch": 16},
    },
    "tiny": {
        "minilm": {"width": 8, "layers": 1, "heads": 2, "hidden": 16, "vocabulary": 50},
        "vit": {"width": 8, "layers": 1, "heads": 2, "hidden": 16, "size": 16, "patch": 8},
    },
}
CASES = {
    "MiniLM, 1 x 32 tokens": ("minilm", 1, 32),
    "MiniLM, 32 x 64 tokens": ("minilm", 32, 64),
    "ViT-B/16, 1 image": ("vit", 1, 0),
    "ViT-B/16, 8 images": ("vit", 8, 0),
}
"""Model, rows of a batch, tokens of a text."""


def inputs(case: str, shape: dict[str, int]) -> np.ndarray:
    """Ids int32 ``[b, s]``, or pixels float32 ``[b, y, x, 3]``."""
    model, rows, length = CASES[case]
    draw = np.random.default_rng(0)
    if model == "minilm":
        return draw.integers(3, shape["vocabulary"], (rows, length)).astype(np.int32)
    return draw.standard_normal((rows, shape["size"], shape["size"], 3)).astype(np.float32)


def checksum(x: np.ndarray) -> float:
    """A projection of an output ``[...]`` onto a fixed vector of length one."""
    fixed = np.cos(np.arange(x.size))
    return float(x.ravel() @ fixed / np.linalg.norm(fixed))


def ours(folder: Path, sizes: str) -> dict[str, Callable[[], Any]]:
    """Calls of the compiled encoders by case."""
    import jax
    import jax.numpy as jnp

    from mmjax.encoders.image.vit import load_vit
    from mmjax.encoders.text.bert import load_bert

    loaded: Any = {"minilm": load_bert(folder / "minilm"), "vit": load_vit(folder / "vit")}
    found = {}
    for case, (name, rows, length) in CASES.items():
        model, params = loaded[name]
        x = jnp.asarray(inputs(case, SHAPES[sizes][name]))
        rest = (jnp.ones((rows, length), bool),) if name == "minilm" else ()
        run = jax.jit(lambda params, *args, m=model: m.apply({"params": params}, *args).last)
        found[case] = lambda run=run, args=(params, x, *rest): run(*args)
    return found


def measure(flags: argparse.Namespace, folder: Path, remote: dict[str, Any]) -> dict[str, Any]:
    """Seconds of both sides for every case; prints the tables.

    Raises:
        SystemExit: the outputs of the two sides differ.
    """
    import jax

    found = {}
    for case, call in ours(folder, flags.sizes).items():
        own, theirs = checksum(np.asarray(call())), remote[f"{case} checksum"]()
        if abs(theirs - own) > 1e-3:
            raise SystemExit(f"{case}: the outputs differ, checksums {own} and {theirs}")
        candidates = {
            "mmjax": timing.timed(
                call, repeat=flags.repeat, wait=jax.block_until_ready, clock=timing.clock(flags)
            ),
            "transformers": remote[case],
        }
        samples = timing.interleaved(candidates, rounds=flags.rounds, warmup=1)
        rows = timing.summary(samples, "transformers")
        print(f"\n{case}\n{timing.table(rows, 'transformers')}", flush=True)
        found[case] = {
            "rows": CASES[case][1],
            "seconds": samples,
            "speed_up": {row.name: row.speedup for row in rows},
        }
    return found


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The flags that both processes share."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--sizes", choices=tuple(SHAPES), default="full")
    parser.add_argument("--repeat", type=int, default=1, help="batches of a measurement")
    timing.add_how(parser)
    return parser


def main(given: list[str] | None = None) -> None:
    """Measure, print the tables, write the JSON."""
    parser = arguments(__doc__)
    parser.add_argument("--torch-python", help="Python with the peer; default this one, if it has")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--out", type=Path, help="JSON to write")
    flags = parser.parse_args(given)
    python = flags.torch_python
    if python is None and importlib.util.find_spec("transformers") is not None:
        python = sys.executable
    if python is None:
        raise SystemExit("the weights are the peer's: name its Python by --torch-python")
    shared = [f"--sizes={flags.sizes}", f"--repeat={flags.repeat}"]
    shared += timing.passed_on(flags)
    timing.limit_threads(flags)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        worker = stack.enter_context(timing.worker(python, PEER, *shared, f"--folder={folder}"))
        found = measure(flags, folder, worker.candidates)
        about = worker.about
    if flags.out is not None:
        environment = timing.environment(("mmjax", "jax", "jaxlib", "flax", "numpy"))
        how = {
            **timing.described(flags),
            "sizes": flags.sizes,
        }
        timing.write_json(flags.out, {**environment, **about, **how, "cases": found})


if __name__ == "__main__":
    main()
