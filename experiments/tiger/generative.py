"""TIGER: ids, then a model that writes them; select on validation, test once, recommend.

The counterpart of `experiments.common.sequences.run` for a method whose items need ids first.
"""

import dataclasses
from pathlib import Path

import numpy as np

from experiments.common.seeds import Outcome, train_seeds
from experiments.common.sequences.config import SequenceRun
from experiments.common.sequences.problem import build_task, load_data, shrink
from experiments.common.sequences.run import best_items, training_parts
from experiments.tiger.ids import FILE, categories, item_ids
from mmjax import semantic_ids as sids
from mmjax.data.core.sequences import Sequences, Windows
from mmjax.models.generative import tiger
from mmjax.objective import Variables
from mmjax.retriever import Model
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
        alike=bool(config.model.length_buckets),
    )

    def build(windows: Windows) -> Model:
        return build_model(config, data, table, windows)

    parts = training_parts(config, data, build, source, users=_validation_users(config, data))
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
        ValueError: k is above `TIGERConfig.beams`.
    """
    if k > config.model.beams:
        raise ValueError(f"--k {k}: the search finds {config.model.beams} items (model.beams)")
    table = item_ids(config.model.ids, data, _folder(config))
    model = build_model(config, data, table, windows)
    return best_items(model, data, variables, windows, k=k, new=new)


def build_model(
    config: SequenceRun, data: Sequences, table: sids.SidTable, windows: Windows
) -> Model:
    """TIGER on the ids of `table`, searching after each of the windows."""
    return tiger.build(config.model, build_task(data, windows), table.codes, table.sizes)


def _small(config: SequenceRun) -> SequenceRun:
    """A smoke run with ids that so few items can fill."""
    ids = dataclasses.replace(
        config.model.ids, sizes=(8, 4), epochs=20, batch_size=64, most_collisions=1.0
    )
    return dataclasses.replace(config, model=dataclasses.replace(config.model, ids=ids))


def _folder(config: SequenceRun) -> Path:
    """Where the ids of a run lie: in its folder, or above that of one of its seeds."""
    folder = config.workdir or Path()
    for place in (folder, folder.parent):
        if (place / FILE).exists():
            return place
    raise ValueError(f"{folder} has no {FILE}: without the ids a trained model means nothing")


def _validation_users(config: SequenceRun, data: Sequences) -> np.ndarray | None:
    users = data.windows("valid").user
    n = config.model.validation_users
    if not n or n >= len(users):
        return None
    return users[np.linspace(0, len(users) - 1, n).astype(int)]
