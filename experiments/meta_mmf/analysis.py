"""Item-specific against static fusion: on real data, on synthetic items over the number of fusion
layers, and the tables of README.md."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import jax
import numpy as np
import optax

import mmjax
from experiments.common.interactions import load_data, run_method
from experiments.common.readme import records
from experiments.common.report import METRICS, record_row
from experiments.common.sweep import remove_checkpoints, trial
from experiments.meta_mmf.config import FORMS, Claim, Depth, preset
from mmjax.data.io.files import atomic_write_text
from mmjax.data.synthetic.interactions import mixed_modalities
from mmjax.errors import UserError, user_errors
from mmjax.models.multimodal import meta_mmf
from mmjax.models.multimodal.meta_mmf.config import MetaMMFConfig
from mmjax.retriever import index_of
from mmjax.training.config import FitConfig
from mmjax.training.records import Record, environment, load_record
from mmjax.viz import curves, tables
from mmjax.viz.files import save
from mmjax.viz.significance import paired_t

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results"
CLAIM_RATES = (1e-3, 5e-3, 1e-2)
"""Learning rates that every form tries on validation with seed 0."""
NAMES = {"none": "static", "cp": "item-specific, CP", "full": "item-specific, full tensor"}
WIDTHS = {1: (32,), 2: (64, 32), 3: (128, 64, 32), 4: (256, 128, 64, 32)}
"""Widths of the fusion layers by their number."""
DEPTH_FORMS = {
    "static": "none",
    "static, as many weights": "none",
    "CP": "cp",
    "full tensor": "full",
}
DEPTH_RATES = (1e-3, 3e-3, 1e-2)
"""Learning rates that every form tries at every depth."""
CHOICE_SEED = 1000
"""Draw of the items on which the learning rate is chosen; it is none of the reported ones."""


def claim(flags: Claim) -> str:
    """Train every form on real data, with equal grids and paired over the seeds; the table of test
    figures as text, static fusion as the reference.

    Raises:
        UserError: the data are missing or broken, or a form is none of FORMS.
    """
    if unknown := [form for form in flags.forms if form not in FORMS]:
        raise UserError(f"--forms {' '.join(unknown)}: choose from {', '.join(FORMS)}")
    start = preset("meta_mmf", flags.data)
    quiet = dataclasses.replace(start.fit, quiet=True, tensorboard=False)
    start = dataclasses.replace(start, fit=quiet, data_dir=flags.data_dir)
    with user_errors():
        data = load_data(start)
    found = {}
    for form in flags.forms:
        model = dataclasses.replace(start.model, dynamic=form, head=flags.head)
        points = [
            dataclasses.replace(
                start, model=model, optim=dataclasses.replace(start.optim, learning_rate=rate)
            )
            for rate in CLAIM_RATES
        ]
        folder = flags.workdir / data.name / flags.head / form
        chosen = max(points, key=lambda p: trial(p, data, folder, "recall@20")["recall@20"])
        run = dataclasses.replace(chosen, seeds=flags.seeds)
        path = folder / run.digest() / "record.json"
        if not path.exists():
            run_method(dataclasses.replace(run, workdir=path.parent), data=data).record.save(path)
            remove_checkpoints(path.parent)
        found[form] = load_record(path)
        found[form].save(flags.workdir / f"{data.name}_{flags.head}" / f"{form}.json")
    return tables.to_text(claim_table(found))


def claim_table(rows: Mapping[str, Record]) -> tables.Table:
    """The forms side by side, each tested against static fusion over the seeds they share."""
    shown = [
        dataclasses.replace(
            record_row(rows[form]),
            name=NAMES[form],
            note=f"{rows[form].parameters:,} parameters, step "
            f"{rows[form].config['optim']['learning_rate']:g}",
        )
        for form in FORMS
        if form in rows
    ]
    return tables.leaderboard(shown, METRICS, reference=NAMES["none"] if "none" in rows else None)


def widths_of(form: str, depth: int) -> tuple[int, ...]:
    """Widths of the fusion layers.

    "static, as many weights" has hidden layers wide enough to hold the weights that CP adds; a
    single layer has no hidden one, so that nothing can be added there.
    """
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
    data, cold = mixed_modalities(seed)
    widths: Any = widths_of(form, depth)
    dynamic: Any = DEPTH_FORMS[form]
    config = MetaMMFConfig(head="mf", widths=widths, id_width=0, dynamic=dynamic)
    model = meta_mmf.build(config, mmjax.task(data))
    length = FitConfig(epochs=epochs, quiet=True, tensorboard=False, devices=1)
    source = mmjax.pairs(data, 2000)
    result = mmjax.fit(model, source, optax.adam(rate), config=length, seeds=(seed,))
    users, items = index_of(model.retriever, result.variables[0])
    best = cold[np.asarray(jax.lax.top_k(users @ items[np.asarray(cold)].T, 10)[1])]
    wanted = data.test[:, 1].reshape(data.n_users, -1)
    return float((best[:, :, None] == wanted[:, None]).any(2).mean())


def depth(flags: Depth) -> Path:
    """Train what is missing, write `depth.json` and draw the curves; returns the picture's path."""
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
    for form in DEPTH_FORMS:
        for n in flags.depths:
            rate = max(DEPTH_RATES, key=lambda r: value(form, n, r, CHOICE_SEED))
            values = [value(form, n, rate, seed) for seed in range(flags.seeds)]
            widths = list(widths_of(form, n))
            curve.append(
                {"form": form, "depth": n, "widths": widths, "rate": rate, "recall@10": values}
            )
    content = {"runs": done, "curve": curve, **environment()}
    atomic_write_text(path, json.dumps(content, indent=1) + "\n")
    return draw_depth(curve, flags.workdir / "depth.png")


def draw_depth(curve: list[dict[str, Any]], path: Path) -> Path:
    """Mean Recall@10 with its range over the seeds, by depth, a line a form."""
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


def depth_table(curve: list[dict[str, Any]]) -> str:
    """Recall@10 of cold items by form and number of layers; bold where it differs from static."""
    forms = list(dict.fromkeys(point["form"] for point in curve))
    depths = sorted({point["depth"] for point in curve})
    found = {(point["form"], point["depth"]): point["recall@10"] for point in curve}

    def cell(form: str, n: int) -> str:
        values = found[form, n]
        text = f"{mean(values):.3f} ± {stdev(values):.3f}"
        differs = form != forms[0] and paired_t(values, found[forms[0], n]).p < 0.05
        return f"**{text}**" if differs else text

    lines = [["fusion", *(f"{n} layer{'s' * (n > 1)}" for n in depths)]]
    lines += [["---", *["---:"] * len(depths)]]
    lines += [[form, *(cell(form, n) for n in depths)] for form in forms]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def bodies() -> dict[str, str]:
    """Every table by its name in README.md."""
    claims = {n: tables.to_markdown(claim_table(rows)) for n, rows in records(RESULTS).items()}
    curve = json.loads((RESULTS / "depth.json").read_text())["curve"]
    return {**claims, "depth": depth_table(curve)}
