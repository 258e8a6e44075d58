"""The recommenders that the experiments know; a new one is a file in mmjax/models and a line here.

The file holds the method's config dataclass (or imports it) and
``build(config, task: mmjax.models.common.task.Task) -> mmjax.retriever.Model``.  Imports no JAX
by itself.
"""

import importlib
from typing import Any, NamedTuple

from mmjax import models


class Method(NamedTuple):
    """Where a method lives."""

    title: str
    """Name in tables."""
    module: str
    """Module below mmjax.models."""
    config: str
    """Its config dataclass."""
    build: str = "build"
    """Function from config and task to the model."""
    runner: str = "experiments.common.run"
    """Module whose `run` trains it; methods of several stages have their own."""

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Train and evaluate; arguments and result as those of `experiments.common.run.run`."""
        return importlib.import_module(self.runner).run(*args, **kwargs)

    def top(self, *args: Any, **kwargs: Any) -> Any:
        """Ranked items after histories, for a method of sequences; arguments and result as those
        of `experiments.common.sequences.run.top`."""
        return importlib.import_module(self.runner).top(*args, **kwargs)

    def config_class(self) -> type[Any]:
        """The dataclass of hyper-parameters."""
        return getattr(getattr(models, self.module), self.config)

    def builder(self) -> Any:
        """The function from config and task to the model."""
        return getattr(getattr(models, self.module), self.build)


METHODS = {
    "mig_gt": Method("MIG-GT", "mig_gt", "MIGGTConfig"),
    "light_gcn": Method("LightGCN", "light_gcn", "LightGCNConfig"),
    "bpr_mf": Method("BPR-MF", "light_gcn", "BPRMFConfig", "build_bpr_mf"),
    "mgdcf": Method("MGDCF", "mgdcf", "MGDCFConfig"),
    "meta_mmf": Method("MetaMMF", "meta_mmf", "MetaMMFConfig"),
    "vbpr": Method("VBPR", "vbpr", "VBPRConfig"),
    "freedom": Method("FREEDOM", "freedom", "FREEDOMConfig"),
    "bm3": Method("BM3", "bm3", "BM3Config"),
    "lattice": Method("LATTICE", "lattice", "LATTICEConfig"),
    "mmgcn": Method("MMGCN", "mmgcn", "MMGCNConfig"),
    "grcn": Method("GRCN", "grcn", "GRCNConfig"),
    "ad_drl": Method("AD-DRL", "ad_drl", "ADDRLConfig"),
    "invrl": Method("InvRL", "invrl", "InvRLConfig", runner="experiments.bench.invrl"),
    "mgcn": Method("MGCN", "mgcn", "MGCNConfig"),
    "smore": Method("SMORE", "smore", "SMOREConfig"),
    "lgmrec": Method("LGMRec", "lgmrec", "LGMRecConfig"),
    "slmrec": Method("SLMRec", "slmrec", "SLMRecConfig"),
}

SEQUENCE_METHODS = {
    "sasrec": Method("SASRec", "sasrec", "SASRecConfig", runner="experiments.common.sequences.run"),
    "tiger": Method("TIGER", "tiger", "TIGERConfig", runner="experiments.tiger.generative"),
}
"""Models of what a user meets next.  ``build`` takes a `SequenceTask`;
the runner's module has `run` and `top`, those of `experiments.common.sequences.run` where the
method compares vectors, or its own."""

_OTHERS = {"item_knn": "item-kNN", "item_knn_content": "content-kNN", "mmgrec": "MMGRec"}


def title(method: str) -> str:
    """The name of a method, or of a ranking without training, as tables show it."""
    known = {**METHODS, **SEQUENCE_METHODS}
    return known[method].title if method in known else _OTHERS.get(method, method)
