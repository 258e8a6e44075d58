"""Item-specific against static fusion over the number of fusion layers, on synthetic items."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WIDTHS = {1: (32,), 2: (64, 32), 3: (128, 64, 32), 4: (256, 128, 64, 32)}
"""Widths of the fusion layers by their number."""
FORMS = {"static": "none", "static, as many weights": "none", "CP": "cp", "full tensor": "full"}
RATES = (1e-3, 3e-3, 1e-2)
"""Learning rates that every form tries at every depth."""
CHOICE_SEED = 1000
"""Draw of the items on which the learning rate is chosen; it is none of the reported ones."""
EPOCHS = 94
"""1,504 steps of 2,000 triples."""


@dataclass(frozen=True)
class Depth:
    """Flags of the `depth` command."""

    workdir: Path
    """Folder of the curve; the same command on it goes on where it stopped."""
    seeds: int = 5
    """Draws of items and parameters that are reported."""
    depths: tuple[int, ...] = (1, 2, 3, 4)
    """Numbers of fusion layers."""
    epochs: int = EPOCHS
    """Epochs of every training; the last parameters count."""


def widths_of(form: str, depth: int) -> tuple[int, ...]:
    """Widths of the fusion layers.

    "static, as many weights" has hidden layers wide enough to hold the weights that CP adds; a
    single layer has no hidden one, so that nothing can be added there.
    """
    from mmjax.models.multimodal.meta_mmf.config import MetaMMFConfig

    base = WIDTHS[depth]
    if form != "static, as many weights" or depth == 1:
        return base
    config = MetaMMFConfig()
    sizes = [52, *base]
    pairs = list(zip(sizes[:-1], sizes[1:], strict=True))
    wanted = sum(p * q + config.rank * (p + q + config.meta_width) for p, q in pairs)
    # The static form keeps its extractor unused; its weights count as weights it does not have.
    wanted += 52 * 52 + 52 + 52 * config.meta_width + config.meta_width
    widened = base
    while _weights((52, *widened)) < wanted:
        widened = (*(w + 1 for w in widened[:-1]), widened[-1])
    return widened


def _weights(sizes: tuple[int, ...]) -> int:
    return sum(p * q for p, q in zip(sizes[:-1], sizes[1:], strict=True))


def cold_recall(form: str, depth: int, rate: float, seed: int, epochs: int) -> float:
    """Recall@10 among the cold items; chance gives 0.042."""
    import jax
    import numpy as np
    import optax

    from mmjax.blocks.sequences.sampling import negative_index
    from mmjax.data.synthetic.interactions import mixed_modalities
    from mmjax.models.common.task import Task
    from mmjax.models.multimodal import meta_mmf
    from mmjax.models.multimodal.meta_mmf.config import MetaMMFConfig
    from mmjax.retriever import index_of
    from mmjax.training.config import FitConfig
    from mmjax.training.fit import fit
    from mmjax.training.sources.pairs import pairs_source

    data, cold = mixed_modalities(seed)
    task = Task(data.train, *(data.n_users, data.n_items), data.features)
    widths: Any = widths_of(form, depth)
    dynamic: Any = FORMS[form]
    config = MetaMMFConfig(head="mf", widths=widths, id_width=0, dynamic=dynamic)
    model = meta_mmf.build(config, task)
    unseen = negative_index(data.train, data.n_users, data.n_items, "train")
    source = pairs_source(data.train, data.n_items, 2000, unseen=unseen)
    length = FitConfig(epochs=epochs, quiet=True, tensorboard=False, devices=1)
    result = fit(model.objective, source, optax.adam(rate), None, length, seeds=(seed,))
    users, items = index_of(model.retriever, result.variables[0])
    best = cold[np.asarray(jax.lax.top_k(users @ items[np.asarray(cold)].T, 10)[1])]
    wanted = data.test[:, 1].reshape(data.n_users, -1)
    return float((best[:, :, None] == wanted[:, None]).any(2).mean())


def depth(flags: Depth) -> Path:
    """Train what is missing, write `depth.json` and draw the curves; returns the picture's path."""
    from experiments.common.results import environment
    from mmjax.data.io.files import atomic_write_text

    path = flags.workdir / "depth.json"
    flags.workdir.mkdir(parents=True, exist_ok=True)
    done: dict[str, float] = json.loads(path.read_text())["runs"] if path.exists() else {}

    def value(form: str, depth: int, rate: float, seed: int) -> float:
        form = "static" if widths_of(form, depth) == WIDTHS[depth] and "weights" in form else form
        key = f"{form} | {depth} | {rate:g} | {seed} | {flags.epochs}"
        if key not in done:
            done[key] = round(cold_recall(form, depth, rate, seed, flags.epochs), 5)
            print(f"{key}: {done[key]:.4f}", flush=True)
            content = {"runs": done, "curve": [], **environment()}
            atomic_write_text(path, json.dumps(content, indent=1) + "\n")
        return done[key]

    curve = []
    for form in FORMS:
        for n in flags.depths:
            rate = max(RATES, key=lambda r: value(form, n, r, CHOICE_SEED))
            values = [value(form, n, rate, seed) for seed in range(flags.seeds)]
            widths = list(widths_of(form, n))
            curve.append(
                {"form": form, "depth": n, "widths": widths, "rate": rate, "recall@10": values}
            )
    content = {"runs": done, "curve": curve, **environment()}
    atomic_write_text(path, json.dumps(content, indent=1) + "\n")
    return draw(curve, flags.workdir / "depth.png")


def draw(curve: list[dict[str, Any]], path: Path) -> Path:
    """Mean Recall@10 with its range over the seeds, by depth, a line a form."""
    from mmjax.viz import curves
    from mmjax.viz.files import save

    histories = {
        form: [
            {"seed": seed, "layers": point["depth"], "recall@10": value}
            for point in curve
            if point["form"] == form
            for seed, value in enumerate(point["recall@10"])
        ]
        for form in dict.fromkeys(point["form"] for point in curve)
    }
    ax = curves.compare(histories, "recall@10", x="layers")
    ax.set_xlabel("fusion layers")
    ax.set_ylabel("Recall@10 of cold items")
    ax.set_xticks(sorted({point["depth"] for point in curve}))
    save(ax, path, curves.curve_rows(histories, ("recall@10",), x="layers"))
    return path
