"""Settings by method and data set.  Imports no JAX."""

from experiments.prompt_dsi.config import PROMPTED, Encoder, IncDSI, Method, PromptDSI, Training
from mmjax.models.retrieval.prompt_dsi.config import PromptDSIConfig
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


def preset(data: str, method: str = "topic", *, published: bool = False) -> PromptDSI:
    """The settings of a method on `data`, sized for a CPU.

    Args:
        data: one of `DATA`.
        method: one of `METHODS`.
        published: whether the encoder has published weights, rather than being trained from
            scratch; these move by small steps.

    Raises:
        ValueError: no such method.
    """
    if method not in METHODS:
        raise ValueError(f"--method {method}: choose one of {', '.join(METHODS)}")
    first = _training(12, 4, 1e-4, 100) if published else _training(40, 6, 1e-3, 100)
    if method == "joint":
        later = first
    else:
        # An encoder that is tuned goes on by small steps.
        small, large = (1e-4, 3e-3) if published else (3e-4, 1e-2)
        rate = small if method in ("finetune", "ewc", "replay") else large
        later = _training(30, 6, rate) if published else _training(80, 12, rate)
    return PromptDSI(
        PromptDSIConfig(
            prompts=method if method in PROMPTED else "topic", pool=_POOL.get(data, 80), ewc=1e4
        ),
        Encoder(),
        first,
        later,
        method=method,
        data=data,
        incdsi=IncDSI(balance=0.5, new=6.0, old=0.0),
    )


def _training(epochs: int, patience: int, rate: float, warmup: int = 0) -> Training:
    fit = FitConfig(epochs=epochs, patience=patience, metric="f_beta")
    return Training(fit, rate, warmup)
