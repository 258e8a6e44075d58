"""TIGER: ids, then a model that writes them; select on validation, test once, recommend.

The counterpart of `experiments.common.sequences.run` for a method that ranks by a search.
"""

import dataclasses
from pathlib import Path

import numpy as np

from experiments.common.evaluation import predict
from experiments.common.problem import build_optimiser
from experiments.common.sequences.config import SequenceRun
from experiments.common.sequences.problem import build_task, load_data, shrink
from experiments.tiger.ids import FILE, categories, item_ids
from mmjax import semantic_ids as sids
from mmjax.blocks.ranking import full_ranking
from mmjax.data.core.sequences import Sequences, Windows
from mmjax.models.generative import tiger
from mmjax.objective import Objective, Variables
from mmjax.training.seeds import Judge, Outcome, Parts, train_seeds
from mmjax.training.sources.sequences import windows_source


def run(config: SequenceRun, *, data: Sequences | None = None, test: bool = True) -> Outcome:
    """Make the ids, train every seed, keep its best epoch on validation, then score test once.

    Arguments, result and errors as those of `experiments.common.sequences.run.run`, and:

    Raises:
        SidCollapse: the codes have collapsed.
    """
    data = load_data(config) if data is None else data
    if config.smoke:
        config = _small(shrink(config))
    table = item_ids(config.model.ids, data, config.workdir)
    print(sids.report(table, categories(data)), flush=True)
    source = windows_source(
        data.items,
        data.prefixes(),
        config.model.history,
        config.optim.batch_size,
        bucket_by_length=bool(config.model.length_buckets),
    )

    def judge(split: str, users: np.ndarray | None = None) -> Judge:
        nothing = np.zeros((0, 2), np.int32)
        held_out = data.held_out(split)
        task = full_ranking.ranking_task(held_out, nothing, data.n_users, data.n_items, users=users)
        windows = Windows(*(x[np.asarray(task.users)] for x in data.histories(split)))
        objective = build_objective(config, data, table, windows, new=config.filter_seen)

        def found(variables: Variables) -> dict[str, float]:
            ids = tiger.Found(*predict(objective, variables)).items
            return full_ranking.summarise(full_ranking.judge(task, ids, ks=config.ks))

        return found

    parts = Parts(
        data=data,
        mask=config.mask,
        objective=build_objective(config, data, table, data.histories("valid")),
        source=source,
        optimiser=build_optimiser(config.optim, source.steps_per_epoch),
        watch=judge("valid", _watched(config, data)),
        judge=judge,
    )
    return train_seeds(config, parts, test=test)


def top(
    config: SequenceRun,
    data: Sequences,
    variables: Variables,
    windows: Windows,
    *,
    k: int,
    new: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """The k best items after each window; as `experiments.common.sequences.run.top`.

    Raises:
        ValueError: k is above `TIGERConfig.found`.
    """
    if k > config.model.found:
        raise ValueError(f"--k {k}: the search finds {config.model.found} items (model.found)")
    table = item_ids(config.model.ids, data, _folder(config))
    objective = build_objective(config, data, table, windows, new=new)
    found = tiger.Found(*predict(objective, variables))
    return np.asarray(found.items)[:, :k], np.asarray(found.scores)[:, :k]


def build_objective(
    config: SequenceRun,
    data: Sequences,
    table: sids.SidTable,
    windows: Windows,
    *,
    new: bool = False,
) -> Objective:
    """TIGER on the ids of `table`; its `predict` searches after each of the windows."""
    blocked = None
    if new:
        longest = max(1, int((windows.stop - windows.start).max(initial=0)))
        met = data.padded(windows, longest)
        blocked = np.where(met.where, met.items, -1)
    task = build_task(data, windows)
    return tiger.build(config.model, task, table.codes, table.sizes, blocked=blocked)


def _small(config: SequenceRun) -> SequenceRun:
    """A smoke run with ids that so few items can fill."""
    ids = dataclasses.replace(
        config.model.ids, sizes=(8, 4), epochs=20, batch_size=64, max_collisions=1.0
    )
    return dataclasses.replace(config, model=dataclasses.replace(config.model, ids=ids))


def _folder(config: SequenceRun) -> Path:
    """Where the ids of a run lie: in its folder, or above that of one of its seeds."""
    folder = config.workdir or Path()
    for place in (folder, folder.parent):
        if (place / FILE).exists():
            return place
    raise ValueError(f"{folder} has no {FILE}: without the ids a trained model means nothing")


def _watched(config: SequenceRun, data: Sequences) -> np.ndarray | None:
    users = data.windows("valid").user
    n = config.model.watched
    if not n or n >= len(users):
        return None
    return users[np.linspace(0, len(users) - 1, n).astype(int)]
