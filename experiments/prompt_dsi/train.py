"""The training command: all corpora, table, record."""

from experiments.common.train import INTERRUPTED
from experiments.prompt_dsi.config import PromptDSI


def train(config: PromptDSI) -> int:
    """Run, print scores and measures, write the record; returns the exit status."""
    from experiments.prompt_dsi.problem import load_corpus
    from experiments.prompt_dsi.run import run
    from experiments.prompt_dsi.tables import factor
    from mmjax.training.parallel import init
    from mmjax.training.signals import Interrupted

    init()
    print(f"{load_corpus(config)}\n", flush=True)
    try:
        outcome = run(config)
    except Interrupted as stop:
        print(stop, flush=True)
        return INTERRUPTED
    record = outcome.record
    print("\nHits@10 (%) on the test queries of each corpus, a line a stage")
    for row in outcome.matrices[0]:
        print("  " + "  ".join(f"{100 * s['hits@10']:5.1f}" for s in row))
    shown = (
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
    for name in shown:
        if name in record.test:
            print(f"{name:16s} {factor(name) * record.mean(name):8.2f}")
    print(f"validation: hits@10/A {100 * record.mean('hits@10/A', 'valid'):.2f}")
    if config.workdir is not None:
        record.save(config.workdir / "record.json")
        print(f"record: {config.workdir / 'record.json'}")
    return 0
