"""Our recommenders under the settings of MMRec's, and what MMRec calls their parameters."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mmjax.models.collaborative import light_gcn
from mmjax.models.collaborative.config import BPRMFConfig, LightGCNConfig
from mmjax.models.multimodal import (
    bm3,
    freedom,
    grcn,
    lattice,
    lgmrec,
    mgcn,
    mmgcn,
    slmrec,
    smore,
    vbpr,
)
from tests.parity.common.comparison import Names, Ours, linear, merged, table, task_of
from tests.parity.common.problem import Case
from tests.parity.common.records import Record

_SIDE = {"image": "v", "text": "t"}


def _ids(scope: str = "ids") -> Names:
    return merged(
        table(f"{scope}/user_embedding", "user_embedding.weight"),
        table(f"{scope}/item_embedding", "item_id_embedding.weight"),
    )


def _content(case: Case) -> Names:
    """Trained feature tables and their projections."""
    tables = [table(f"content/table_{n}", f"{n}_embedding.weight") for n in case.widths]
    return merged(*tables, *(linear(f"content/project_{n}", f"{n}_trs") for n in case.widths))


def _bpr_mf(case: Case, record: Record) -> Ours:
    l2 = case.settings["reg_weight"]
    names = merged(
        table("user_embedding", "user_embedding.weight"),
        table("item_embedding", "item_embedding.weight"),
    )
    config = BPRMFConfig(width=case.width, l2=l2)
    model = light_gcn.build_bpr_mf(config, task_of(case, record))
    return Ours(*model, names, scale={"norms": l2})


def _light_gcn(case: Case, record: Record) -> Ours:
    s = case.settings
    names = merged(
        table("user_embedding", "embedding_dict.user_emb"),
        table("item_embedding", "embedding_dict.item_emb"),
    )
    config = LightGCNConfig(width=case.width, hops=s["n_layers"], l2=s["reg_weight"])
    model = light_gcn.build(config, task_of(case, record))
    return Ours(*model, names, scale={"norms": config.l2})


def _vbpr(case: Case, record: Record) -> Ours:
    l2 = case.settings["reg_weight"]
    config = vbpr.VBPRConfig(normalise=False, width=case.width, content_width=case.width, l2=l2)
    # MMRec reads text first, we read modalities by the alphabet.
    order = {n: case.widths[n] for n in ("text", "image") if n in case.widths}

    def kernel(weights: Record) -> np.ndarray:
        rows = np.split(weights["item_linear.weight"].T, np.cumsum([*order.values()])[:-1])
        return np.concatenate([dict(zip(order, rows, strict=True))[n] for n in sorted(order)])

    names = merged(
        table("user_embedding", "u_embedding"),
        table("item_embedding", "i_embedding"),
        table("project/bias", "item_linear.bias"),
        {"project/kernel": kernel},
    )
    return Ours(*vbpr.build(config, task_of(case, record)), names, scale={"norms": l2})


def _freedom(case: Case, record: Record) -> Ours:
    s = case.settings
    config = freedom.FREEDOMConfig(
        normalise=False,
        width=case.width,
        item_hops=s["n_mm_layers"],
        k=s["knn_k"],
        shares=(s["mm_image_weight"], 1 - s["mm_image_weight"]),
        dropout=0.0,
        content_weight=s["reg_weight"],
    )
    return Ours(*freedom.build(config, task_of(case, record)), merged(_ids(), _content(case)))


def _bm3(case: Case, record: Record) -> Ours:
    s = case.settings
    config = bm3.BM3Config(
        normalise=False, width=case.width, hops=s["n_layers"], dropout=0.0, l2=s["reg_weight"]
    )
    names = merged(_ids(), _content(case), linear("predictor", "predictor"))
    return Ours(*bm3.build(config, task_of(case, record)), names, parts={"pairs": "rank"})


def _lattice(case: Case, record: Record) -> Ours:
    s = case.settings
    config = lattice.LATTICEConfig(
        normalise=False,
        width=case.width,
        content_width=case.width,
        item_hops=s.get("n_layers", 1),
        k=s["knn_k"],
        skip=s["lambda_coeff"],
        l2=s["reg_weight"],
    )
    names = merged(_ids(), _content(case), table("mix", "modal_weight"))
    first = {"epoch": jnp.uint32(1)}
    return Ours(*lattice.build(config, task_of(case, record)), names, batch=first)


def mmgcn_config(case: Case) -> mmgcn.MMGCNConfig:
    """Our settings of MMGCN, but for the ids that the released code never trains."""
    return mmgcn.MMGCNConfig(
        normalise=False,
        width=case.width,
        latent=case.latent,
        longest=case.widths["text"],
        l2=case.settings["reg_weight"],
        penalised=("image",),
    )


def _mmgcn(case: Case, record: Record) -> Ours:
    config = mmgcn_config(case)
    names: dict[str, Any] = {**table("id_embedding", "id_embedding")}
    for modality in case.widths:
        theirs = f"{_SIDE[modality]}_gcn."
        names |= table(f"{modality}_preference", f"{theirs}preference")
        if modality == "image":
            names |= linear("image_latent", f"{theirs}MLP")
        for n in range(3):
            ours = f"{modality}_{n}_"
            names |= table(f"{ours}neighbours/kernel", f"{theirs}conv_embed_{n + 1}.weight")
            names |= linear(f"{ours}own", f"{theirs}linear_layer{n + 1}")
            names |= linear(f"{ours}combine", f"{theirs}g_layer{n + 1}")
    scale = {"norms": config.l2}
    return Ours(*mmgcn.build(config, task_of(case, record)), names, scale=scale)


def _grcn(case: Case, record: Record) -> Ours:
    config = grcn.GRCNConfig(
        normalise=False,
        width=case.width,
        l2=case.settings["reg_weight"],
        penalised_tables=("image",),
        official=not case.settings.get("routing_to_users"),
    )
    names: dict[str, Any] = {**table("id_embedding", "id_gcn.id_embedding")}
    for n, modality in enumerate(case.widths):
        theirs = f"{_SIDE[modality]}_gcn."
        names |= table(f"{modality}_preference", f"{theirs}preference")
        names |= linear(modality, f"{theirs}MLP")
        names[f"{modality}_confidence"] = lambda w, n=n: w["model_specific_conf"][:, n : n + 1]
    return Ours(*grcn.build(config, task_of(case, record)), names, scale={"norms": config.l2})


def _mgcn(case: Case, record: Record) -> Ours:
    s = case.settings
    config = mgcn.MGCNConfig(
        normalise=False,
        width=case.width,
        hops=s["n_ui_layers"],
        item_hops=s["n_layers"],
        k=s["knn_k"],
        contrast=s["cl_loss"],
        l2=s["reg_weight"],
    )
    gates = [linear(f"views/purifier_{n}/linear", f"gate_{_SIDE[n]}.0") for n in case.widths]
    prefer = [linear(f"fuser/prefer_{n}/linear", f"gate_{n}_prefer.0") for n in case.widths]
    names = merged(
        _ids(),
        _content(case),
        *gates,
        *prefer,
        linear("fuser/query", "query_common.0"),
        linear("fuser/weigh", "query_common.2", bias=False),
    )
    return Ours(*mgcn.build(config, task_of(case, record)), names)


def _smore(case: Case, record: Record) -> Ours:
    s = case.settings
    config = smore.SMOREConfig(
        normalise=False,
        width=case.width,
        hops=s["n_ui_layers"],
        item_hops=s["n_layers"],
        k=(s["image_knn_k"], s["text_knn_k"]),
        dropout=0.0,
        contrast=s["cl_loss"],
        l2=s["reg_weight"],
    )
    names = merged(_ids(), _content(case))
    for view, letter, word in (*((n, _SIDE[n], n) for n in case.widths), ("fused", "f", "fusion")):
        names |= linear(f"views/purifier_{view}/linear", f"gate_{letter}.0")
        names |= linear(f"preferences/prefer_{view}/linear", f"gate_{word}_prefer.0")
        names[f"spectra/filter_{view}"] = lambda w, word=word: w[f"{word}_complex_weight"][0]
        if view != "fused":
            names |= linear(f"preferences/query_{view}", f"query_{letter}.0")
            names |= linear(f"preferences/weigh_{view}", f"query_{letter}.2", bias=False)
    return Ours(*smore.build(config, task_of(case, record)), names)


def _lgmrec(case: Case, record: Record) -> Ours:
    s = case.settings
    config = lgmrec.LGMRecConfig(
        normalise=False,
        width=case.width,
        hops=s["n_ui_layers"],
        content_hops=s["n_mm_layers"],
        hyper_hops=s["n_hyper_layer"],
        hyperedges=s["hyper_num"],
        dropout=0.0,
        alpha=s["alpha"],
        contrast=s["cl_weight"],
        l2=s["reg_weight"],
    )
    names = merged(
        _ids(),
        *(table(f"linear_{n}", f"item_{n}_trs") for n in case.widths),
        *(table(f"assign_{n}", f"{_SIDE[n]}_hyper") for n in case.widths),
    )
    return Ours(*lgmrec.build(config, task_of(case, record)), names)


def _slmrec(case: Case, record: Record) -> Ours:
    s = case.settings
    config = slmrec.SLMRecConfig(
        normalise=True,
        width=case.width,
        hops=s["layer_num"],
        ssl=s["ssl_alpha"],
        ssl_temperature=s["ssl_temp"],
    )
    names = merged(
        table("ids/user_embedding", "embedding_user.weight"),
        table("ids/item_embedding", "embedding_item.weight"),
        *(linear(f"content/project_{n}", f"{_SIDE[n]}_dense") for n in case.widths),
        linear("read_users", "embedding_user_after_GCN"),
        linear("read_items", "embedding_item_after_GCN"),
        linear("fac/chain_0", "g_i_iv"),
        linear("fac/content_0", "g_v_iv"),
        linear("fac/chain_between", "g_iv_iva"),
        linear("fac/chain_1", "g_iva_ivat"),
        linear("fac/content_1", "g_t_ivat"),
    )
    # The official scores are probabilities, which rank the same.
    return Ours(
        *slmrec.build(config, task_of(case, record)),
        names,
        score=lambda users, items: jax.nn.sigmoid(users @ items.T),
    )


MODELS: Mapping[str, Callable[[Case, Record], Ours]] = {
    "bpr_mf": _bpr_mf,
    "light_gcn": _light_gcn,
    "vbpr": _vbpr,
    "freedom": _freedom,
    "bm3": _bm3,
    "lattice": _lattice,
    "mmgcn": _mmgcn,
    "grcn": _grcn,
    "mgcn": _mgcn,
    "smore": _smore,
    "lgmrec": _lgmrec,
    "slmrec": _slmrec,
}
