"""Settings by method and data set.  Imports no JAX."""

from experiments.prompt_dsi.config import PROMPTED, Encoder, IncDSI, Method, PromptDSI, Training
from mmjax.models.configs.prompt_dsi import PromptDSIConfig
from mmjax.training.config import FitConfig

DATA = (
    "topic_documents",
    "xquad",
    "nq_qed",
    "squad_sentences",
    "amazon_beauty",
    "amazon_toys",
)
METHODS: tuple[Method, ...] = (
    *PROMPTED,
    "classifier",
    "incdsi",
    "finetune",
    "ewc",
    "replay",
    "joint",
)
_POOL = {"topic_documents": 30, "xquad": 30, "nq_qed": 40}
_METRIC = "f_beta"


def preset(data: str, method: str = "topic") -> PromptDSI:
    """The settings of a method on `data`, an encoder trained from scratch, sized for a CPU.

    Raises:
        ValueError: no such method.
    """
    if method not in METHODS:
        raise ValueError(f"--method {method}: choose one of {', '.join(METHODS)}")
    tuned = method in ("finetune", "ewc", "replay", "joint")
    prompts = method if method in PROMPTED else "topic"
    return PromptDSI(
        PromptDSIConfig(prompts=prompts, pool=_POOL.get(data, 80), ewc=1e4),
        Encoder(),
        Training(FitConfig(epochs=40, patience=6, metric=_METRIC), warmup=100),
        # The encoder goes on with smaller steps than those that made it.
        Training(
            FitConfig(epochs=80, patience=12, metric=_METRIC),
            learning_rate=3e-4 if tuned and method != "joint" else 1e-2,
        )
        if method != "joint"
        else Training(FitConfig(epochs=40, patience=6, metric=_METRIC), warmup=100),
        method=method,
        data=data,
        incdsi=IncDSI(balance=0.5, new=6.0, old=0.0),
    )
