"""Registry of methods: title, family, paper, module, and what each was verified against.

A new method is a module of its family and a row here; the bench, the contract tests and the front
page's table are made from the rows.  Imports no JAX by itself.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from mmjax import models

Kind = Literal["interactions", "sequences", "pairs", "corpora", "vectors"]
"""Family of tasks that a method is built from: users and items, sequences of items, queries with
candidates, documents that arrive in corpora, or a table of vectors."""


class Method(NamedTuple):
    """A row of the registry."""

    title: str
    """Name in tables."""
    family: str
    """Package of mmjax.models that it stands in."""
    module: str
    """Module or package below the family."""
    config: str
    """Its dataclass of hyper-parameters."""
    paper: str
    """Venue and address."""
    kind: Kind = "interactions"
    """Tasks that it is built from."""
    build: str = "build"
    """Function from config and task to the `mmjax.retriever.Model`."""
    verified: str = ""
    """Implementation whose stored results the tests hold it to; empty where there is none."""
    stages: bool = False
    """Whether it is trained in several stages, by a `mmjax.training.Pipeline`."""

    def config_class(self) -> type[Any]:
        """The dataclass of hyper-parameters."""
        return getattr(getattr(models, self.module), self.config)

    def builder(self) -> Callable[..., Any]:
        """The function from config and task to the model."""
        return getattr(getattr(models, self.module), self.build)


_MMREC = "MMRec"
_AUTHORS = "its authors' code"

METHODS = {
    "mig_gt": Method(
        "MIG-GT",
        "multimodal",
        "mig_gt",
        "MIGGTConfig",
        "AAAI 2025, arXiv 2412.13994",
        verified=_AUTHORS,
    ),
    "light_gcn": Method(
        "LightGCN",
        "collaborative",
        "light_gcn",
        "LightGCNConfig",
        "SIGIR 2020, arXiv 2002.02126",
        verified=_MMREC,
    ),
    "bpr_mf": Method(
        "BPR-MF",
        "collaborative",
        "light_gcn",
        "BPRMFConfig",
        "UAI 2009, arXiv 1205.2618",
        build="build_bpr_mf",
        verified=_MMREC,
    ),
    "mgdcf": Method(
        "MGDCF", "collaborative", "mgdcf", "MGDCFConfig", "TKDE 2024, arXiv 2204.02338"
    ),
    "meta_mmf": Method(
        "MetaMMF",
        "multimodal",
        "meta_mmf",
        "MetaMMFConfig",
        "TOIS 2023, arXiv 2501.07110",
        verified=_AUTHORS,
    ),
    "vbpr": Method(
        "VBPR",
        "multimodal",
        "vbpr",
        "VBPRConfig",
        "AAAI 2016, arXiv 1510.01784",
        verified=_MMREC,
    ),
    "freedom": Method(
        "FREEDOM",
        "multimodal",
        "freedom",
        "FREEDOMConfig",
        "ACM MM 2023, arXiv 2211.06924",
        verified=_MMREC,
    ),
    "bm3": Method(
        "BM3", "multimodal", "bm3", "BM3Config", "WWW 2023, arXiv 2207.05969", verified=_MMREC
    ),
    "lattice": Method(
        "LATTICE",
        "multimodal",
        "lattice",
        "LATTICEConfig",
        "ACM MM 2021, arXiv 2104.09036",
        verified=_MMREC,
    ),
    "mmgcn": Method("MMGCN", "multimodal", "mmgcn", "MMGCNConfig", "ACM MM 2019", verified=_MMREC),
    "grcn": Method(
        "GRCN",
        "multimodal",
        "grcn",
        "GRCNConfig",
        "ACM MM 2020, arXiv 2111.02036",
        verified=_MMREC,
    ),
    "ad_drl": Method(
        "AD-DRL",
        "multimodal",
        "ad_drl",
        "ADDRLConfig",
        "ACM MM 2024, arXiv 2312.14433",
        verified=_AUTHORS,
    ),
    "invrl": Method(
        "InvRL",
        "multimodal",
        "invrl",
        "InvRLConfig",
        "ACM MM 2022",
        verified=_AUTHORS,
        stages=True,
    ),
    "mgcn": Method(
        "MGCN",
        "multimodal",
        "mgcn",
        "MGCNConfig",
        "ACM MM 2023, arXiv 2308.03588",
        verified=_MMREC,
    ),
    "smore": Method(
        "SMORE",
        "multimodal",
        "smore",
        "SMOREConfig",
        "WSDM 2025, arXiv 2412.14978",
        verified=_MMREC,
    ),
    "lgmrec": Method(
        "LGMRec",
        "multimodal",
        "lgmrec",
        "LGMRecConfig",
        "AAAI 2024, arXiv 2312.16400",
        verified=_MMREC,
    ),
    "slmrec": Method("SLMRec", "multimodal", "slmrec", "SLMRecConfig", "TMM 2022", verified=_MMREC),
    "sasrec": Method(
        "SASRec",
        "sequential",
        "sasrec",
        "SASRecConfig",
        "ICDM 2018, arXiv 1808.09781",
        kind="sequences",
    ),
    "tiger": Method(
        "TIGER",
        "generative",
        "tiger",
        "TIGERConfig",
        "NeurIPS 2023, arXiv 2305.05065",
        kind="sequences",
        stages=True,
    ),
    "mmgrec": Method(
        "MMGRec",
        "generative",
        "mmgrec",
        "GeneratorConfig",
        "2024, arXiv 2404.16555",
        stages=True,
    ),
    "rq_vae": Method(
        "RQ-VAE",
        "generative",
        "rq_vae",
        "RQVAEConfig",
        "CVPR 2022, arXiv 2203.01941",
        kind="vectors",
        verified="vector-quantize-pytorch",
    ),
    "avg": Method(
        "AVG",
        "retrieval",
        "avg",
        "AVGConfig",
        "SIGIR 2025, arXiv 2407.17274",
        kind="pairs",
        stages=True,
    ),
    "two_tower": Method(
        "two towers",
        "retrieval",
        "two_tower",
        "ClipConfig",
        "ICML 2021, arXiv 2103.00020",
        kind="pairs",
    ),
    "prompt_dsi": Method(
        "PromptDSI",
        "retrieval",
        "prompt_dsi",
        "PromptDSIConfig",
        "ECML PKDD 2025, arXiv 2406.12593",
        kind="corpora",
        stages=True,
    ),
    "incdsi": Method(
        "IncDSI",
        "retrieval",
        "incdsi",
        "Margins",
        "ICML 2023, arXiv 2307.10323",
        kind="corpora",
        build="solve",
        stages=True,
    ),
}
"""Every method by the name that flags and records use."""


def of_kind(kind: Kind, *, stages: bool = False) -> dict[str, Method]:
    """The methods built from one family of tasks; `stages` adds those of several stages."""
    return {n: m for n, m in METHODS.items() if m.kind == kind and (stages or not m.stages)}


UNTRAINED = {
    "popularity": "popularity",
    "item_knn": "item-kNN",
    "item_knn_content": "content-kNN",
}
"""Titles of the rankings without training, which stand in every table."""


def title(method: str) -> str:
    """The name of a method, or of a ranking without training, as tables show it."""
    return METHODS[method].title if method in METHODS else UNTRAINED.get(method, method)


def markdown() -> str:
    """The registry as the table of the front page, a method a line, by family."""
    lines = ["| method | paper | family | code | verified against |", "|---|---|---|---|---|"]
    for method in sorted(METHODS.values(), key=lambda m: m.family):
        place = f"`mmjax/models/{method.family}/{method.module}`"
        held_to = method.verified or "its equations"
        cells = (method.title, method.paper, method.family, place, held_to)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
