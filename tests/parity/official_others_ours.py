"""Our models under the settings of their authors' own repositories, and the names there."""

import dataclasses
from collections.abc import Callable, Mapping

import jax.numpy as jnp

from mmjax.models.multimodal import ad_drl, invrl, meta_mmf
from mmjax.models.multimodal.ad_drl.config import ADDRLConfig
from mmjax.models.multimodal.invrl.objective import InvRLConfig
from mmjax.models.multimodal.meta_mmf.config import MetaMMFConfig
from tests.parity.official_cases import Case
from tests.parity.official_ours import Ours, linear, merged, table, task_of
from tests.parity.records import Record, with_prefix


def _meta_mmf(case: Case, record: Record) -> Ours:
    s = case.settings
    config = MetaMMFConfig(
        modalities=tuple(case.widths),
        head="gcn" if s["gcn"] else "mf",
        widths=tuple(s["widths"]),
        id_width=s["widths"][-1],
        meta_width=s["s_dim"],
        dynamic=s["layer"],
        rank=s["R"],
        hidden_dropout=0.0,
        output_dropout=0.0,
    )
    names = merged(
        table("user_embedding", "user"),
        table("item_embedding", "fus.item_E"),
        linear("fusion/extractor_hidden", "fus.mlp_signal.0"),
        linear("fusion/extractor", "fus.mlp_signal.2"),
    )
    for n in range(4):
        theirs = f"fus.layer_{n + 1}."
        names |= table(f"fusion/static_{n}", f"{theirs}M_1")
        if s["layer"] == "full":
            names[f"fusion/tensor_{n}"] = lambda w, t=theirs: w[f"{t}T_1"].reshape(
                -1, *w[f"{t}M_1"].shape
            )
            continue
        names |= table(f"fusion/rows_{n}", f"{theirs}A")
        names |= table(f"fusion/columns_{n}", f"{theirs}B")
        names[f"fusion/modes_{n}"] = lambda w, t=theirs: w[f"{t}C"].reshape(len(w[f"{t}B"]), -1)
    for n in range(2 if s["gcn"] else 0):
        names |= linear(f"sage_{n}/neighbours", f"conv{n + 1}.lin_l")
        names |= linear(f"sage_{n}/root", f"conv{n + 1}.lin_r", bias=False)
    return Ours(meta_mmf.build(config, task_of(case, record)), names)


def _ad_drl(case: Case, record: Record) -> Ours:
    s = case.settings
    config = ADDRLConfig(
        modalities=("text", "image"),
        factor_width=s["embed_dim"] // s["n_factors"],
        intra=s["decay_f"],
        inter=s["decay_n"],
        values=s["decay_a"],
        reg=s["decay_r"],
        temperature=s["temp"],
        dropout=0.0,
        rank_rows=0,
        double_softmax=True,
    )
    told = with_prefix(record, "labels/")
    names = merged(
        table("user_embedding", "user_embedding.weight"),
        table("item_embedding", "item_embedding.weight"),
        linear("projections_text", "textual_mlp_2"),
        linear("projections_image", "visual_mlp_2"),
        *(linear(f"which_{n}/Dense_0", f"{n}_mlp.2") for n in ("user", "id", "text", "image")),
        *(linear(f"values_{n}/Dense_0", f"{n}_mlp.2") for n in told),
        table("attention_in_bias", "modality_attention_net1.0.bias"),
        table("attention_out_bias", "modality_attention_net1.2.bias"),
    )
    for ours, n in (("attention_in", 0), ("attention_out", 2)):
        names[ours] = lambda w, n=n: w[f"modality_attention_net1.{n}.weight"].T
    task = task_of(case, record)
    task = dataclasses.replace(task, labels={n: told[n] for n in told})
    scale = {name: getattr(config, name) for name in ("intra", "inter", "values", "reg")}
    objective = ad_drl.build(config, task)
    return Ours(objective, names, scale=scale, score=objective.score)


def invrl_config(case: Case) -> InvRLConfig:
    """Our settings of InvRL, for its recommender and for what comes between."""
    s = case.settings
    return InvRLConfig(
        modalities=tuple(case.widths),
        width=case.width,
        weights=tuple(s["p_w"]),
        reg=s["p_emb"][1],
        item_reg=s["wdi"],
        kernel_reg=s["p_proj"][1],
        environments=s.get("num_domains", 1),
        absolute=s["p_proj"][1],
        sigma=0.0,
        alpha=s.get("alpha", 0.0),
        lam=s.get("lam", 0.0),
    )


def _invrl(case: Case, record: Record) -> Ours:
    names = merged(
        table("user_embedding", "U"), table("item_embedding", "V"), table("bias", "MLP.bias")
    )
    names["kernel"] = lambda w: w["MLP.weight"].T
    mask = jnp.asarray(record["mask"]) if "mask" in record else None
    return Ours(invrl.build(invrl_config(case), task_of(case, record), mask), names)


MODELS: Mapping[str, Callable[[Case, Record], Ours]] = {
    "meta_mmf": _meta_mmf,
    "invrl": _invrl,
    "ad_drl": _ad_drl,
}
