"""Figures of the searches, the ablation, tables, the page of a run, the cost of an answer.

Axes: i items, f all features.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from experiments.benchmarks import growth
from experiments.benchmarks.growth import Program, measure, program, write
from experiments.common.experiment import smoke
from experiments.common.interactions import evaluator, load_data
from experiments.common.report import METRICS, Page, Retrieve, record_row, samples, training_page
from experiments.common.sweep import remove_checkpoints
from experiments.mmgrec.config import EXPERIMENT, FORMS, Ablate, Cost, MMGRecRun, preset
from mmjax.blocks.ranking.full_ranking import top_items
from mmjax.data.core.interactions import Interactions
from mmjax.errors import UserError, user_errors
from mmjax.evaluation import Evaluator, ranking
from mmjax.models.generative import mmgrec
from mmjax.models.generative.mmgrec.config import GeneratorConfig
from mmjax.objective import Variables
from mmjax.retriever import Retriever, Vectors, index_of
from mmjax.semantic_ids.policies import append_popularity
from mmjax.training.records import Record, load_record
from mmjax.training.run_config import override
from mmjax.training.seeds import RunResult
from mmjax.viz import tables

FOLDER = Path(__file__).resolve().parent
BENCH = FOLDER.parent / "bench" / "results"
RETRIEVE = "score every item"
_KEPT = ("recall", "ndcg", "hr")
NAMES = {
    "full": "MMGRec",
    "random_ids": "ids dealt at random",
    "feature_ids": "ids of the raw features",
    "no_relation": "no relation term",
    "no_graph": "no graph stage at all",
    "target_in_source": "targets stay in the sources",
    "joint": "graph and quantiser at once",
}
"""The forms of the ablation."""


def search_evaluator(run: MMGRecRun, data: Interactions, split: str, width: int) -> Evaluator:
    """The evaluator of a search of `width` beams, at every K that so many can fill."""
    return evaluator(run.recommender(), data, split, tuple(k for k in run.ks if k <= width))


def search_figures(
    run: MMGRecRun,
    data: Interactions,
    split: str,
    search: Callable[..., Retriever],
    variables: Variables,
) -> dict[str, float]:
    """Metrics of all reported searches: the widest without a prefix, ``beam10/...`` and the like.

    ``official/...`` are those of the released search, and ``official/invalid`` its mean share of
    ids that no item has. `search` makes a retriever by `width` and `official`.
    """
    found: dict[str, float] = {}
    for width in sorted(run.widths):
        evaluate = search_evaluator(run, data, split, width)
        scores = ranked(evaluate(search(width=width), variables))
        found |= {f"beam{width}/{name}": x for name, x in scores.items()}
        if width == max(run.widths):
            found |= scores
    width = run.official_width
    retriever = search(width=width, official=True)
    evaluate = search_evaluator(run, data, split, width)
    task = evaluate.task(retriever.chunk)
    written = ranking.rank(retriever, index_of(retriever, variables), task, k=width)
    scores = ranked(ranking.summarise(ranking.ranking_metrics(task, written.ids, ks=evaluate.ks)))
    scores["invalid"] = float(mmgrec.invalid_share(written).mean())
    return found | {f"official/{name}": x for name, x in scores.items()}


def ranked(scores: Mapping[str, float]) -> dict[str, float]:
    """The metrics that records of MMGRec have."""
    return {name: x for name, x in scores.items() if name.partition("@")[0] in _KEPT}


def searches_table(record: Record, others: Sequence[Record]) -> tables.Table:
    """The searches of one run beside retrieval by its own vectors, and rankings without training.

    The released search leaves training items in and lets ids of no item count as misses.
    """
    prefixes = {name.rpartition("/")[0] for name in record.test if name.endswith("recall@10")}
    widths = sorted(int(p[4:]) for p in prefixes if p.startswith("beam"))
    names = {f"beam{w}": f"MMGRec, {w} beams" for w in widths}
    names |= {"official": "MMGRec, free and unfiltered", "graph": "its graph's vectors alone"}
    rows = []
    for prefix, name in names.items():
        values = {
            m: record.test[f"{prefix}/{m}"] for m in METRICS if f"{prefix}/{m}" in record.test
        }
        if values:
            rows.append(tables.Row(name, values, seeds=tuple(record.seeds)))
    return tables.leaderboard([*rows, *map(record_row, others)], METRICS)


def ids_line(record: Record) -> str:
    """Validity, collisions and use of the ids in a line, as means over the seeds."""
    valid, test = record.valid, record.test
    parts = [f"ids of no item {np.mean(test['official/invalid']):.1%} of those written freely"]
    if "ids/collision_rate" in valid:
        used = [
            f"{np.mean(valid[f'level_{n}/utilisation']):.0%}"
            for n in range(1, 9)
            if f"level_{n}/utilisation" in valid
        ]
        parts.append(f"{np.mean(valid['ids/collision_rate']):.1%} of the codes collide")
        parts.append(f"used codes by level {', '.join(used)}")
    parts.append(f"{np.mean(valid['ids/popularity_tokens']):.0f} popularity tokens")
    return "; ".join(parts)


def write_page(
    path: Path,
    run: MMGRecRun,
    data: Interactions,
    result: RunResult,
    heuristics: Sequence[Record],
    retrieve: Retrieve,
) -> Path:
    """`report.html`: results, curves of the generator, recommendations, settings.

    Arguments are those of `experiments.common.report.write_page`.
    """
    notes = [
        f"MMGRec's row is a constrained search of {max(run.widths)} beams that leaves the "
        "user's training items out.",
        ids_line(result.record),
        "Epochs are selected on validation; test is scored once.",
    ]
    if run.smoke:
        notes.append("A smoke run: the figures mean nothing.")
    page = Page(
        data=f"{data.name}: {data.n_users:,} users, {data.n_items:,} items, "
        f"{len(data.train):,} training pairs",
        subtitle=data.source,
        metrics=METRICS,
        shown=("recall@20", "ndcg@20"),
        selecting=run.generator.fit.metric,
        samples=samples(data, retrieve),
        notes=notes,
    )
    return training_page(path, [result], heuristics, page)


def ablate(flags: Ablate, train: Callable[..., RunResult]) -> str:
    """Train every form on the same seeds and return the table, the whole as the reference.

    Forms share the stages that agree. A record a form is kept beside the runs.

    Args:
        flags: of the command.
        train: as `run.run_method`.

    Raises:
        UserError: no such form, or bad data.
        Interrupted: a signal came; the same command resumes.
    """
    if unknown := [form for form in flags.forms if form not in FORMS]:
        raise UserError(f"--forms {' '.join(unknown)}: choose from {', '.join(FORMS)}")
    start = quiet(preset(flags.data))
    if flags.smoke:
        start = smoke(start, EXPERIMENT.smoke)
    if flags.epochs is not None:
        start = override(start, {"generator.fit.epochs": flags.epochs})
    start = dataclasses.replace(
        start, seeds=flags.seeds, smoke=flags.smoke, data_dir=flags.data_dir
    )
    with user_errors():
        data = load_data(start.recommender())
    folder, records = flags.workdir / data.name, {}
    for form in flags.forms:
        path = folder / form / "record.json"
        if not path.exists():
            run = override(start, {**FORMS[form], "workdir": folder / "stages"})
            train(run, data=data, shared=True).record.save(path)
        records[form] = load_record(path)
        print(f"{form:16s} test recall@10 {records[form].mean('recall@10'):.4f}", flush=True)
    # The stages before it are kept, so that a form may still be added.
    for generator in folder.glob("stages/seed_*/generator-*"):
        remove_checkpoints(generator)
    return tables.to_text(forms_table(records))


def quiet(run: MMGRecRun) -> MMGRecRun:
    """The same run without bars and TensorBoard events."""
    stages = ("graph", "quantiser", "generator")
    silent = {"quiet": True, "tensorboard": False}
    return override(run, {f"{s}.fit.{name}": x for s in stages for name, x in silent.items()})


def feature_vectors(x: Float[np.ndarray, "i f"], data: Interactions, width: int) -> Vectors:
    """Items as the first principal components of their features, users as means of their items.

    Scaled so that a component of an item has a square of 1 on average. Features of fewer
    dimensions than `width` are filled up with zeros.
    """
    centred = x - x.mean(0)
    u, s, _ = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    items = (u * s)[:, :width]
    items = np.pad(items, ((0, 0), (0, width - items.shape[1])))
    items /= max(np.sqrt(np.square(items).mean()), 1e-12)
    users = np.zeros((data.n_users, width))
    np.add.at(users, data.train[:, 0], items[data.train[:, 1]])
    users /= np.maximum(np.bincount(data.train[:, 0], minlength=data.n_users), 1)[:, None]
    return Vectors(*(jnp.asarray(v, jnp.float32) for v in (users, items)))


def forms_table(records: Mapping[str, Record]) -> tables.Table:
    """The forms side by side, each tested against the whole over the seeds they share."""
    rows = [
        dataclasses.replace(record_row(records[form]), name=NAMES[form])
        for form in FORMS
        if form in records
    ]
    return tables.leaderboard(rows, METRICS, reference=NAMES["full"] if "full" in records else None)


def beside_the_bench(record: Record, folder: Path) -> tables.Table:
    """MMGRec and the recommenders of the bench on the same data, split and protocol, best first.

    Raises:
        ValueError: a record of the bench is of another split.
    """
    others = [load_record(path) for path in sorted(folder.glob("*.json"))]
    protocol = (record.data, record.split, record.exclude)
    for other in others:
        if (other.data, other.split, other.exclude) != protocol:
            raise ValueError(f"{folder}: {other.method} was measured on another split than MMGRec")
    ordered = sorted([record, *others], key=lambda r: -r.mean("recall@20"))
    return tables.leaderboard([record_row(r) for r in ordered], METRICS)


def bodies() -> dict[str, str]:
    """Every table by its name in README.md.

    They are made from results/: of each data set ``mmgrec.json``, and the ablation's records in
    ``forms``.
    """
    results, found = FOLDER / "results", {}
    for folder in sorted(p for p in results.iterdir() if p.is_dir()):
        forms = {path.stem: load_record(path) for path in sorted(folder.glob("forms/*.json"))}
        if forms:
            found[f"{folder.name}_forms"] = tables.to_markdown(forms_table(forms))
        if (folder / "mmgrec.json").exists():
            record = load_record(folder / "mmgrec.json")
            found[f"{folder.name}_searches"] = tables.to_markdown(searches_table(record, []))
            bench = beside_the_bench(record, BENCH / folder.name)
            found[f"{folder.name}_bench"] = tables.to_markdown(bench)
    if (results / "cost.json").exists():
        found["cost"] = growth.table(growth.load(results / "cost.json")["rows"])
    return found


def cost(flags: Cost) -> str:
    """Measure, print, write the JSON and draw the picture."""
    rows = measure(lambda n: programs(flags, n), flags.items, RETRIEVE, rounds=flags.rounds)
    write(flags.out, rows, users=flags.users, k=flags.k, seen=flags.seen)
    return f"picture: {draw_cost(rows, flags.users, flags.out.with_suffix('.png'))}"


def programs(flags: Cost, n_items: int) -> dict[str, Program]:
    """Compiled program and its arguments by name, for a catalogue of random ids and vectors."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 128, (n_items, 3), np.int32)
    codes = append_popularity(codes, rng.integers(0, 100, n_items))
    sizes = (128, 128, 128, int(codes[:, 3].max()) + 1)
    k_items, k_users, k_init = jax.random.split(jax.random.key(0), 3)
    inputs = mmgrec.Inputs(
        jax.random.normal(k_items, (n_items, 64)),
        jax.random.normal(k_users, (flags.users, 64)),
        jnp.asarray(codes, jnp.int32),
    )
    model = mmgrec.generator(GeneratorConfig(), sizes, 64)
    users = jnp.arange(flags.users, dtype=jnp.int32)
    seen = jnp.asarray(rng.integers(0, n_items, (flags.users, flags.seen)), jnp.int32)
    params = mmgrec.build(model.config, inputs, sizes, seen).objective.init(k_init)["params"]
    pairs = jnp.stack([jnp.repeat(users, flags.seen), seen.ravel()], 1)
    trie = mmgrec.id_trie(model, codes)
    operands = (params, inputs, trie, mmgrec.Readers(users, seen), seen)

    found = {
        RETRIEVE: program(
            lambda u, i, s: top_items(u, i, s, k=flags.k), inputs.users, inputs.items, pairs
        )
    }
    for width in flags.widths:
        found[f"write ids, {width} beams"] = program(
            lambda *args, w=width: mmgrec.recommend(model, *args, width=w, k=flags.k), *operands
        )
    return found


def draw_cost(rows: Sequence[Mapping[str, Any]], users: int, path: Path) -> Path:
    """Milliseconds by size of the catalogue, a line a way; returns the path."""
    x, y = "items in the catalogue", f"ms for {users} users"
    return growth.draw(rows, path, unit="items", x=x, y=y)
