"""The training command of a model of sequences: run, baselines, table, page."""

from collections.abc import Callable

from experiments.common.methods import SEQUENCE_METHODS
from experiments.common.sequences.config import METRICS, SequenceRun
from experiments.common.train import INTERRUPTED, baseline, saved

SAME = ("filter_seen", "ks", "smoke", "seed", "seeds", "together", "data_dir")


def train(run: SequenceRun, preset: Callable[..., SequenceRun]) -> int:
    """Run `run` and its baselines, print the test table, write records and `report.html`.

    Returns the exit status.
    """
    from experiments.common.report import result_table
    from experiments.common.sequences.problem import by_popularity, load_data, shrink
    from experiments.common.sequences.report import write_page
    from mmjax.training.parallel import init
    from mmjax.training.signals import Interrupted
    from mmjax.viz import tables

    init()
    data = load_data(run)
    print(f"{data}\n", flush=True)
    runs = [run, *(baseline(run, name, preset, SAME) for name in run.baselines)]
    try:
        outcomes = [
            saved(SEQUENCE_METHODS[config.method].run(config, data=data), config.workdir)
            for config in runs
        ]
    except Interrupted as stop:
        print(stop, flush=True)
        return INTERRUPTED
    popularity = by_popularity(run, data)
    table = result_table([*(o.record for o in outcomes), popularity], METRICS)
    print(f"\nTest, {data.name}, split {data.split}, mask {run.mask}\n{tables.to_text(table)}")
    if run.workdir is not None:
        popularity.save(run.workdir / "baselines" / "popularity" / "record.json")
        shown = shrink(run) if run.smoke else run
        page = run.workdir / "report.html"
        path = write_page(page, shown, data, outcomes[0], outcomes[1:], [popularity])
        print(f"report: {path}")
    return 0
