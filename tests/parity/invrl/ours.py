"""Our InvRL under the settings of nickwzk/InvRL, and the names there."""

import jax.numpy as jnp

from mmjax.models.multimodal import invrl
from mmjax.models.multimodal.invrl.objective import InvRLConfig
from tests.parity.common.comparison import Ours, merged, table, task_of
from tests.parity.common.problem import Case
from tests.parity.common.records import Record


def invrl_config(case: Case) -> InvRLConfig:
    """Our settings of InvRL, for its recommender and for what comes between."""
    s = case.settings
    return InvRLConfig(
        modalities=tuple(case.widths),
        width=case.width,
        weights=tuple(s["p_w"]),
        l2=s["p_emb"][1],
        item_l2=s["wdi"],
        kernel_l2=s["p_proj"][1],
        environments=s.get("num_domains", 1),
        absolute=s["p_proj"][1],
        sigma=0.0,
        alpha=s.get("alpha", 0.0),
        lam=s.get("lam", 0.0),
    )


def our_model(case: Case, record: Record) -> Ours:
    """Our model of a case, and what the authors call its parameters."""
    names = merged(
        table("user_embedding", "U"), table("item_embedding", "V"), table("bias", "MLP.bias")
    )
    names["kernel"] = lambda w: w["MLP.weight"].T
    mask = jnp.asarray(record["mask"]) if "mask" in record else None
    return Ours(*invrl.build(invrl_config(case), task_of(case, record), mask), names)
