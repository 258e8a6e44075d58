"""The problem that all methods solve, how they are measured, and the tables of README.md.

Axes: q queries, s tokens of a query, k documents of a result.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from experiments.common.readme import records
from experiments.prompt_dsi.config import MANUAL, METHODS, PROMPTED, CorporaRun, Encoder
from mmjax import data
from mmjax.blocks.attention.prompt_pool import usage
from mmjax.blocks.common.batching import map_batched
from mmjax.data.core.continual import ContinualCorpus
from mmjax.encoders.text.bert import BertConfig
from mmjax.encoders.text.queries import (
    QueryEncoder,
    hashed_query_encoder,
    published_query_encoder,
)
from mmjax.encoders.text.topics import word_topics
from mmjax.evaluation.continual import f_beta, measures_by_metric, rows_of_new
from mmjax.evaluation.gallery import answers_task, gold_task, hits_and_mrr
from mmjax.evaluation.ranking import RankingTask, rank, ranking_metrics
from mmjax.models.common.query_task import QueryTask
from mmjax.models.retrieval import prompt_dsi
from mmjax.models.retrieval.prompt_dsi import CorpusStage, Weights
from mmjax.retriever import Retriever, index_of, numbered
from mmjax.training.loop import Evaluate
from mmjax.training.records import Record, environment

FOLDER = Path(__file__).resolve().parent
TITLES = {
    "topic": "PromptDSI, topics",
    "l2p": "PromptDSI, L2P",
    "s++": "PromptDSI, S-Prompt++",
    "coda": "PromptDSI, CODA",
    "classifier": "new rows alone",
    "incdsi": "IncDSI",
    "finetune": "sequential fine-tuning",
    "ewc": "EWC",
    "replay": "replay",
    "joint": "joint training",
}
COLUMNS = {
    "hits@10/A": "A",
    "hits@10/F": "F",
    "hits@10/LA": "LA",
    "hits@10/D0": "D0",
    "hits@10/D0_lost": "lost on D0",
    "hits@10/new": "new",
    "mrr@10/A": "MRR A",
    "mrr@10/F": "MRR F",
    "pool/share": "pool used",
    "intrusion": "intrusion",
    "seconds/stage": "s a stage",
}

PLAIN = ("pool/", "seconds/", "norm_ratio")
"""Beginnings of the names of figures that are not shown in percent."""

SHOWN = (
    "hits@10/A",
    "hits@10/F",
    "hits@10/LA",
    "hits@10/D0_lost",
    "hits@10/new",
    "mrr@10/A",
    "mrr@10/F",
    "intrusion",
    "norm_ratio",
    "pool/share",
    "pool/effective",
    "seconds/stage",
)
"""Figures that training prints."""
KS = (1, 10)
METRICS = ("hits@1", "hits@10", "mrr@10")
SHARE = 0.7
"""Documents, or topics, that are there at first."""
GROUPS = 40
"""Topics of documents that do not say what belongs together."""
Part = Literal["valid", "test"]
TRAIN = ("train", "generated")
"""Parts of the queries that are trained on."""


class Problem(NamedTuple):
    """What all methods of a run start from."""

    config: CorporaRun
    corpus: ContinualCorpus
    encoder: QueryEncoder
    ids: Int[np.ndarray, "q s"]
    """Tokens of all queries."""

    def queries_of(self, sessions: range, *parts: str) -> Int[np.ndarray, "_"]:
        """The queries of some parts for the documents of some sessions."""
        return np.concatenate([self.corpus.queries_of(n, *parts) for n in sessions])

    def task(self, queries: Int[np.ndarray, "_"]) -> QueryTask:
        """Queries by number with the rows of their documents."""
        return QueryTask(self.ids[queries], self.corpus.document[queries])

    def learner(self, stage: CorpusStage) -> prompt_dsi.Learner:
        """All that is static about a stage."""
        return prompt_dsi.Learner(self.config.model, self.encoder.network, stage)

    def encoded(self, weights: Weights, queries: Int[np.ndarray, "_"]) -> prompt_dsi.EncodedQueries:
        """Queries by number as the encoder without prompts reads them."""
        bare = {"encoder": weights["encoder"]}
        ids = jnp.asarray(self.ids[queries])
        return _encoded(self.config.model, self.encoder.network, bare, ids)


def load_corpus(config: CorporaRun) -> ContinualCorpus:
    """The corpora of a run.

    Raises:
        ValueError: the data set cannot be divided so.
        DataError, FileNotFoundError: files are missing or broken.
    """
    seed, new = config.seed, config.sessions
    if config.data == "topic_documents" and config.smoke:
        small: dict[str, Any] = {"words": (6, 4), "queries": (6, 1, 1), "n_words": 60}
        return data.topic_documents(seed, n_topics=4, per_topic=4, first=2, new=2, **small)
    if config.data == "topic_documents":
        # Two words of the document itself: with four, new rows alone find every document.
        topics = 30 + 10 // new * new
        return data.topic_documents(seed, n_topics=topics, new=new, per_query=(6, 2))
    if config.data in MANUAL:
        folder = (config.manual_dir or Path("manual")) / config.data
        return data.load_incdsi(folder, config.data, sessions=new)
    if Path(config.data).is_dir():
        documents = data.judged_documents(data.load_corpus(config.data), seed)
    elif config.data in data.names("passages"):
        documents = data.passage_documents(data.load(config.data, kind="passages"), seed)
    else:
        products = data.load(config.data, kind="sequences", data_dir=config.data_dir)
        documents = data.product_documents(products, seed, group="subcategory")
    if config.arrival == "topic" and documents.group is None:
        groups = min(GROUPS, len(documents.texts))
        documents = documents._replace(group=word_topics(documents.texts, groups, seed))
    return data.dealt_to_sessions(documents, config.arrival, new=new, share=SHARE, seed=seed)


def load_encoder(config: Encoder) -> QueryEncoder:
    """The encoder that `config` describes.

    Raises:
        WeightsError: its folder lacks something.
    """
    if config.folder is not None:
        return published_query_encoder(config.folder, config.length)
    sizes = {n: getattr(config, n) for n in ("vocabulary", "width", "layers", "heads", "hidden")}
    rates: dict[str, Any] = {"dropout": config.dropout, "attention_dropout": config.dropout}
    own = BertConfig(**sizes, **rates, positions=config.length, pooler=False)
    return hashed_query_encoder(own)


def load_problem(config: CorporaRun) -> Problem:
    """Corpora, encoder and tokens; errors as of `load_corpus` and `load_encoder`."""
    corpus, encoder = load_corpus(config), load_encoder(config.encoder)
    return Problem(config, corpus, encoder, encoder.tokens(corpus.queries))


def validation(problem: Problem, number: int, retriever: Retriever) -> Evaluate:
    """Validation MRR@10 of the first and the newest corpus, and their F measure."""
    queries = problem.queries_of(range(0, number + 1, max(number, 1)), "valid")
    by_number = numbered(retriever, jnp.asarray(problem.ids[queries]))
    gold = problem.corpus.document[queries]
    is_new = problem.corpus.session[gold] == number
    task = gold_task(gold, by_number.n_candidates, batch_size=by_number.chunk)

    def validate(params: Any, extra: Any, key: jax.Array) -> dict[str, float]:
        index = index_of(by_number, {"params": params, **extra})
        ids = rank(by_number, index, task, k=10).ids
        mrr = np.asarray(ranking_metrics(task, ids, ks=(10,))["mrr@10"], np.float64)
        new = float(mrr[is_new].mean())
        old = new if number == 0 else float(mrr[~is_new].mean())
        both = float(f_beta(new, old, beta=problem.config.beta))
        return {"mrr@10/new": new, "mrr@10/old": old, "f_beta": both}

    return validate


def ranked(
    problem: Problem,
    stage: CorpusStage,
    weights: Weights,
    number: int,
    part: Part,
) -> tuple[RankingTask, Int[jax.Array, "q k"]]:
    """The ranking of a corpus's queries among all documents so far, and what it retrieves."""
    queries, answers = problem.corpus.asked(number, part, stage.count)
    retriever = prompt_dsi.weights_retriever(problem.learner(stage))
    by_number = numbered(retriever, jnp.asarray(problem.ids[queries]))
    count, chunk = by_number.n_candidates, by_number.chunk
    task = answers_task(answers, len(queries), count, batch_size=chunk)
    return task, rank(by_number, weights, task, k=max(KS)).ids


def scores(
    problem: Problem, stage: CorpusStage, weights: Weights, sessions: range, part: Part = "test"
) -> list[dict[str, float]]:
    """Metrics of the queries of each corpus."""
    tasks = (ranked(problem, stage, weights, n, part) for n in sessions)
    return [hits_and_mrr(*task, ks=KS) for task in tasks]


def figures_of(
    problem: Problem, stage: CorpusStage, weights: Weights, matrix: list[list[dict[str, float]]]
) -> dict[str, float]:
    """Measures of continual learning, of the new rows and of the pool.

    Args:
        problem: the corpora.
        stage, weights: where it ended.
        matrix: by stage, the test scores of each corpus so far.
    """
    config, corpus = problem.config, problem.corpus
    figures = measures_by_metric(matrix, METRICS)
    _, ids = ranked(problem, stage, weights, 0, "test")
    old = corpus.rows(0)[1]
    figures |= rows_of_new(np.asarray(ids), old, np.asarray(weights["rows"]))
    if config.method in PROMPTED and config.model.prompts != "coda":
        queries = problem.ids[problem.queries_of(range(corpus.n_sessions), "test")]
        chosen = _chosen(problem.learner(stage), weights, jnp.asarray(queries))
        used = usage(chosen, config.model.pool)
        figures |= {f"pool/{name}": float(x) for name, x in used._asdict().items()}
    for t, row in enumerate(matrix):
        figures |= {f"hits@10/P{t}{i}": s["hits@10"] for i, s in enumerate(row)}
    return figures


def seed_record(
    problem: Problem,
    stage: CorpusStage,
    weights: Weights,
    figures: Mapping[str, float],
    stages: list[dict[str, Any]],
) -> Record:
    """The record of a seed.

    Args:
        problem: the corpora.
        stage, weights: where it ended.
        figures: see `figures_of`.
        stages: seconds, and those of an epoch where there are epochs, of the later corpora.
    """
    corpus = problem.corpus
    ends = scores(problem, stage, weights, range(corpus.n_sessions), "valid")
    valid = {f"{m}/P{n}": s[m] for n, s in enumerate(ends) for m in METRICS}
    valid |= {f"{m}/A": float(np.mean([s[m] for s in ends])) for m in METRICS}
    seconds, epoch = [s["seconds"] for s in stages], stages[-1].get("seconds_per_epoch", 0.0)
    test = {**figures, "seconds/stage": float(np.mean(seconds)), "seconds/epoch": epoch}
    trained, _ = prompt_dsi.split(stage, weights)
    return Record(
        method=problem.config.method,
        data=corpus.name,
        split=corpus.split,
        exclude="none",
        seeds=[problem.config.seed],
        valid={name: [round(x, 8)] for name, x in valid.items()},
        # Eight digits of a fraction are six of a percentage.
        test={name: [round(x, 8 if factor(name) > 1 else 6)] for name, x in test.items()},
        best_epoch=[],
        epochs=[],
        seconds=round(sum(seconds), 1),
        parameters=sum(x.size for x in jax.tree.leaves(trained)),
        config={"data_digest": corpus.digest},
        seconds_per_epoch=round(epoch, 4),
        **environment(),
    )


def factor(name: str) -> float:
    """100 for figures that are shown in percent, else 1."""
    return 1.0 if name.startswith(PLAIN) else 100.0


def cell(record: Record, name: str) -> str:
    """Mean and deviation of a figure; empty where it was not measured."""
    if name not in record.test:
        return ""
    digits, by = 2 if name.startswith("pool") else 1, factor(name)
    mean = f"{by * record.mean(name):.{digits}f}"
    return f"{mean} ± {by * record.std(name):.{digits}f}" if len(record.seeds) > 1 else mean


def summary(record: Record) -> str:
    """Scores by stage and corpus, and measures, of a finished run as text."""
    lines = ["", "Hits@10 (%) on the test queries of each corpus, a line a stage"]
    stage = 0
    while f"hits@10/P{stage}0" in record.test:
        row = [100 * record.mean(f"hits@10/P{stage}{n}") for n in range(stage + 1)]
        lines.append("  " + "  ".join(f"{x:5.1f}" for x in row))
        stage += 1
    there = [name for name in SHOWN if name in record.test]
    lines += [f"{name:16s} {factor(name) * record.mean(name):8.2f}" for name in there]
    lines.append(f"validation: hits@10/A {100 * record.mean('hits@10/A', 'valid'):.2f}")
    return "\n".join(lines)


def table(rows: dict[str, Record]) -> str:
    """Markdown: a method a row, in the order of `METHODS`; variants follow their method."""
    if not rows:
        return "No run is recorded.\n"
    ordered = sorted(rows.items(), key=lambda item: (METHODS.index(item[1].method), item[0]))
    lines = [
        "| method | " + " | ".join(COLUMNS.values()) + " | seeds |",
        "|---|" + "---:|" * (len(COLUMNS) + 1),
    ]
    for stem, record in ordered:
        name = TITLES[record.method]
        if stem != record.method:
            name += f" ({stem.removeprefix(record.method).strip('-').replace('_', ' ')})"
        cells = [cell(record, column) for column in COLUMNS]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {len(record.seeds)} |")
    return "\n".join(lines) + "\n"


def claims(rows: dict[str, Record]) -> str:
    """Markdown: what the paper says, and whether the figures of Hits@10 agree; "" if runs lack."""

    def figure(method: str, name: str) -> float | None:
        record = rows.get(method)
        return (
            None if record is None or name not in record.test else factor(name) * record.mean(name)
        )

    def minus(a: float | None, b: float | None) -> float | None:
        return None if a is None or b is None else a - b

    lost, new, used = "hits@10/D0_lost", "hits@10/new", "pool/share"
    gaps = {
        "PromptDSI loses less than 5 points on D0": (figure("topic", lost), lambda x: x < 5),
        "sequential fine-tuning loses more than 30": (figure("finetune", lost), lambda x: x > 30),
        "PromptDSI over IncDSI on new corpora, points": (
            minus(figure("topic", new), figure("incdsi", new)),
            lambda x: x > 0,
        ),
        "PromptDSI over new rows alone on new corpora, points (3 or more)": (
            minus(figure("topic", new), figure("classifier", new)),
            lambda x: x >= 3,
        ),
        "share of the pool that topics use (over 0.6)": (figure("topic", used), lambda x: x > 0.6),
        "share of the pool, topics over learned keys": (
            minus(figure("topic", used), figure("l2p", used)),
            lambda x: x > 0,
        ),
        "seconds a stage, two passes over one (up to 2)": (
            None
            if "topic-two_pass" not in rows or "topic" not in rows
            else rows["topic-two_pass"].mean("seconds/epoch") / rows["topic"].mean("seconds/epoch"),
            lambda x: x > 1,
        ),
    }
    lines = ["| claim | measured | holds |", "|---|---:|---|"]
    for name, (value, holds) in gaps.items():
        if value is not None:
            lines.append(f"| {name} | {value:.2f} | {'yes' if holds(value) else 'no'} |")
    return "\n".join(lines) + "\n" if len(lines) > 2 else "No run is recorded.\n"


def bodies() -> dict[str, str]:
    """Every table by its name in README.md."""
    found = {"topic_documents": table({}), "topic_documents_claims": claims({})}
    for name, rows in records(FOLDER / "results").items():
        found[name], found[f"{name}_claims"] = table(rows), claims(rows)
    return found


@partial(jax.jit, static_argnames=("model", "network"))
def _encoded(model: Any, network: Any, weights: Weights, ids: jax.Array) -> Any:
    encode = partial(prompt_dsi.encode, model, network, weights)
    return map_batched(encode, ids, size=prompt_dsi.CHUNK)


@partial(jax.jit, static_argnames="learner")
def _chosen(learner: Any, weights: Weights, ids: jax.Array) -> jax.Array:
    """Entries of the pool that queries get."""
    chosen = partial(prompt_dsi.chosen_entries, learner, weights)
    return map_batched(chosen, ids, size=prompt_dsi.CHUNK)
