"""Our AD-DRL under the settings of SDLZY/AD-DRL, and the names there."""

import dataclasses

import jax.numpy as jnp

from mmjax.models.multimodal import ad_drl
from mmjax.models.multimodal.ad_drl.config import ADDRLConfig
from tests.parity.common.comparison import Ours, linear, merged, table, task_of
from tests.parity.common.problem import Case
from tests.parity.common.records import Record, with_prefix


def our_model(case: Case, record: Record) -> Ours:
    """Our model of a case, and what the authors call its parameters."""
    s = case.settings
    config = ADDRLConfig(
        modalities=("text", "image"),
        factor_width=s["embed_dim"] // s["n_factors"],
        intra=s["decay_f"],
        inter=s["decay_n"],
        values=s["decay_a"],
        l2=s["decay_r"],
        temperature=s["temp"],
        dropout=0.0,
        rank_rows=0,
        official=True,
    )
    labels = with_prefix(record, "labels/")
    names = merged(
        table("user_embedding", "user_embedding.weight"),
        table("item_embedding", "item_embedding.weight"),
        linear("projections_text", "textual_mlp_2"),
        linear("projections_image", "visual_mlp_2"),
        *(linear(f"which_{n}/Dense_0", f"{n}_mlp.2") for n in ("user", "id", "text", "image")),
        *(linear(f"values_{n}/Dense_0", f"{n}_mlp.2") for n in labels),
        table("attention_in_bias", "modality_attention_net1.0.bias"),
        table("attention_out_bias", "modality_attention_net1.2.bias"),
    )
    for ours, n in (("attention_in", 0), ("attention_out", 2)):
        names[ours] = lambda w, n=n: w[f"modality_attention_net1.{n}.weight"].T
    task = task_of(case, record)
    task = dataclasses.replace(task, labels={n: labels[n] for n in labels})
    scale = {name: getattr(config, name) for name in ("intra", "inter", "values", "l2")}
    score = ad_drl.steer(jnp.ones(s["n_factors"]))
    model = ad_drl.build(config, task)
    return Ours(*model, names, scale=scale, parts={"l2": "reg"}, score=score)
