"""The small problems of MMRec's recommenders by a checkout of enoche/MMRec.

    python -m tests.parity.mmrec.theirs CHECKOUT

writes `reference/*.npz`. Needs PyTorch (extra `parity`) and torch_geometric.
"""

import functools
import importlib
import itertools
import sys
import tempfile
import types
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from tests.parity.common.official_torch import (
    OfficialCode,
    draw_weights,
    losses,
    numbers,
    weights,
    write,
)
from tests.parity.common.problem import Case, inputs
from tests.parity.mmrec.case import CASES, STARTS, gumbel

REPOSITORY = "enoche/MMRec"


Model = Any
_WIDTHS = ("embedding_size", "feat_embed_dim", "latent_embedding", "recdim")


@dataclass(frozen=True)
class Official:
    """The way to run a model of MMRec.

    Attributes:
        name: its class, in the file of the same name in lower case.
        parts: parts of the loss and what makes each vanish, see `official_torch.losses`.
        vectors: user and item vectors of a model.
        settings: of the official code, where a case names no others.
        adapt: what settings do not reach, done before weights are drawn.
        extra: more to record.
    """

    name: str
    parts: Mapping[str, Mapping[str, Any]]
    vectors: Callable[[Model], Sequence[Tensor]] = lambda m: m.forward()
    settings: Mapping[str, Any] = field(default_factory=dict)
    adapt: Callable[[Model, Case], None] = lambda model, case: None
    extra: Callable[[Model, list[Tensor], Case], dict[str, Any]] = lambda *args: {}


class _Pairs:
    """The one object that MMRec's models ask for the training data."""

    def __init__(self, case: Case, pairs: np.ndarray) -> None:
        self.dataset, self.case, self.pairs = self, case, pairs

    def get_user_num(self) -> int:
        return self.case.n_users

    def get_item_num(self) -> int:
        return self.case.n_items

    def inter_matrix(self, form: str) -> Any:
        ones, shape = np.ones(len(self.pairs)), (self.case.n_users, self.case.n_items)
        return scipy.sparse.coo_matrix((ones, tuple(self.pairs.T)), shape).asformat(form)


def prepare(checkout: Path) -> None:
    """Make a checkout importable with current libraries.

    Of `torch_scatter` it calls one function, of `sklearn` none.
    """

    def fill(matrix: Any, entries: dict) -> None:
        matrix._dict.update(entries)

    def scatter_add(x: Tensor, index: Tensor, dim: int, dim_size: int) -> Tensor:
        return torch.zeros(dim_size, dtype=x.dtype).index_add_(dim, index, x)

    sys.path.insert(0, str(checkout / "src"))
    scatter, clusters = types.ModuleType("torch_scatter"), types.ModuleType("sklearn.cluster")
    vars(scatter).update(scatter_add=scatter_add, scatter=None)
    vars(clusters).update(KMeans=None)
    sys.modules |= {x.__name__: x for x in (scatter, clusters)}
    vars(scipy.sparse)["dok_matrix"]._update = fill


def model(case: Case) -> Model:
    """The model of a case, as it starts."""
    given, official = inputs(case), MODELS[case.model]
    torch.set_default_dtype(torch.float32)
    with tempfile.TemporaryDirectory() as folder:
        for name in case.widths:
            np.save(f"{folder}/{name}.npy", given[f"features/{name}"])
        config = defaultdict(
            lambda: None,
            NEG_PREFIX="neg_",
            ITEM_ID_FIELD="item",
            train_batch_size=case.batch,
            device="cpu",
            is_multimodal_model=True,
            data_path=f"{folder}/",
            dataset="",
            vision_feature_file="image.npy",
            text_feature_file="text.npy",
            **{name: case.width for name in _WIDTHS},
            **{**official.settings, **case.settings},
        )
        module = importlib.import_module(f"models.{official.name.lower()}")
        made = getattr(module, official.name)(config, _Pairs(case, given["pairs"]))
    official.adapt(made, case)
    return made


def record(case: Case) -> dict[str, np.ndarray]:
    """The results of MMRec on a case."""
    given, official, net = inputs(case), MODELS[case.model], model(case)
    draw_weights(net, case.seed)
    batch = [torch.from_numpy(given[k]) for k in ("user", "item")]
    batch.append(torch.from_numpy(given["negatives"][:, 0]))

    def loss() -> Tensor:
        net.pre_epoch_processing()
        return net.calculate_loss(batch)

    found = {**given, **weights(net), **losses(net, loss, official.parts)}
    users, items = official.vectors(net)[:2]
    found |= {"users": numbers(users), "items": numbers(items)}
    found["scores"] = numbers(net.full_sort_predict([torch.arange(case.n_users)]))
    return found | official.extra(net, batch, case)


def _halves(model: Model) -> list[Tensor]:
    return list(model.forward().split([model.n_users, model.n_items]))


def _over_the_graph(model: Model) -> Sequence[Tensor]:
    return model.forward(model.norm_adj)


def _predicted(model: Model) -> list[Tensor]:
    return [model.predictor(x) for x in model.forward()]


def _narrow_latent(model: Model, case: Case) -> None:
    """MMGCN maps images to 256 entries, which no setting changes."""
    if model.v_feat is not None:
        module, old = importlib.import_module("models.mmgcn"), model.v_gcn
        args = (old.batch_size, old.num_user, old.num_item, old.dim_feat, old.dim_id)
        model.v_gcn = module.GCN(
            old.edge_index, *args, old.aggr_mode, old.concate, 3, True, dim_latent=case.latent
        )


def _pruned(model: Model, batch: list[Tensor], case: Case) -> dict[str, Any]:
    """The graph that is left of three edges, two of which meet, as a matrix."""
    model.dropout = 1 - 3.5 / len(model.edge_values)
    for seed in itertools.count(case.seed):
        torch.manual_seed(seed)
        model.pre_epoch_processing()
        left = model.masked_adj.to_dense()
        if (left > 0).sum(1).max() == 2:
            return {"pruned": numbers(left)}
    return {}


def _later(model: Model, batch: list[Tensor], case: Case) -> dict[str, Any]:
    """The second batch of an epoch, in which LATTICE keeps its item graph."""
    model.pre_epoch_processing()
    model.calculate_loss(batch)
    second = losses(model, lambda: model.calculate_loss(batch), {})
    return {f"later/{k}": v for k, v in second.items()}


def _route_to_users(model: Model, case: Case) -> None:
    """On request, send GRCN's routing the way the paper has it, from items to users.

    With PyG's flow the released code sends it from users to items. Its last convolution, over both
    directions, stays as it is.
    """
    if not case.settings.get("routing_to_users"):
        return
    pairs = model.edge_index.shape[1]

    def forward(convolve: Callable, x: Tensor, edges: Tensor) -> Tensor:
        return convolve(x, edges.flip(0) if edges.shape[1] == pairs else edges)

    for layer in (model.v_gcn.conv_embed_1, model.t_gcn.conv_embed_1):
        layer.forward = functools.partial(forward, layer.forward)


def _given_noise(model: Model, case: Case) -> None:
    """Gumbel noise from the record: LGMRec draws for items, then users, image first."""
    noise = [x for pair in gumbel(case) for x in pair]
    calls = itertools.count()

    def softmax(logits: Tensor, tau: float, **_: Any) -> Tensor:
        drawn = torch.from_numpy(noise[next(calls) % 4]).double()
        return torch.softmax((logits + drawn) / tau, 1)

    torch.nn.functional.gumbel_softmax = softmax


_NORMS = {"norms": {"reg_weight": 0}}
_BOTH = {**_NORMS, "contrast": {"cl_loss": 0}}
MODELS = {
    "bpr_mf": Official("BPR", _NORMS),
    "light_gcn": Official("LightGCN", _NORMS),
    "vbpr": Official("VBPR", _NORMS),
    "freedom": Official(
        "FREEDOM",
        {"rank_image": {"v_feat": None}, "rank_text": {"t_feat": None}},
        vectors=_over_the_graph,
        settings={"n_ui_layers": 2, "dropout": 0.0},
        extra=_pruned,
    ),
    "bm3": Official(
        "BM3",
        {"image": {"v_feat": None}, "text": {"t_feat": None}, **_NORMS},
        vectors=_predicted,
        settings={"cl_weight": 2.0, "dropout": 0.0},
    ),
    "lattice": Official(
        "LATTICE",
        _NORMS,
        vectors=lambda m: m.forward(m.norm_adj, build_item_graph=True),
        settings={"weight_size": [64, 64], "cf_model": "lightgcn", "n_layers": 1},
        extra=_later,
    ),
    "mmgcn": Official("MMGCN", _NORMS, vectors=_halves, adapt=_narrow_latent),
    "grcn": Official(
        "GRCN",
        _NORMS,
        vectors=_halves,
        settings={"n_layers": 3},
        adapt=_route_to_users,
    ),
    "mgcn": Official("MGCN", _BOTH, vectors=_over_the_graph),
    "smore": Official("SMORE", _BOTH, vectors=_over_the_graph, settings={"dropout_rate": 0.0}),
    "lgmrec": Official(
        "LGMRec",
        {**_NORMS, "contrast": {"cl_weight": 0}},
        settings={"cf_model": "lightgcn", "keep_rate": 1.0},
        adapt=_given_noise,
    ),
    "slmrec": Official(
        "SLMRec",
        {"ssl": {"ssl_alpha": 0}},
        vectors=lambda m: m.compute(),
        settings={
            "mm_fusion_mode": "concat",
            "temp": 0.2,
            "init": "xavier",
            "adj_type": "pre",
            "ssl_task": "FAC",
        },
    ),
}


if __name__ == "__main__":
    write("mmrec", OfficialCode(REPOSITORY, prepare, model, record), CASES, STARTS)
