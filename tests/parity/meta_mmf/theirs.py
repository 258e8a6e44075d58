"""The small problems of MetaMMF by its authors' modules, a checkout of hanliu95/MetaMMF.

    python -m tests.parity.meta_mmf.theirs CHECKOUT

writes `reference/*.npz`. Needs PyTorch (extra `parity`) and torch_geometric.

Its sizes are those of MovieLens, written in the code; here the modules are put together at small
ones. The loss stands in its training script, which cannot be imported: BPR over the triples, with
1e-10 inside the logarithm.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.parity.common.official_torch import (
    OfficialCode,
    draw_weights,
    losses,
    numbers,
    weights,
    write,
)
from tests.parity.common.problem import Case, inputs
from tests.parity.meta_mmf.case import CASES, STARTS

REPOSITORY = "hanliu95/MetaMMF"


def prepare(checkout: Path) -> None:
    """Make a checkout importable; what it casts to single precision stays in double."""
    sys.path.insert(0, str(checkout))
    Tensor.float = Tensor.double


def _xavier(*shape: int) -> nn.Parameter:
    """A matrix that starts as all of the authors' do."""
    return nn.Parameter(nn.init.xavier_uniform_(torch.empty(shape)))


def _factored(layer: type[Any]) -> type[Any]:
    """The authors' layer with a whole tensor, which the paper's factors (section 2.3) make."""

    class Factored(layer):
        def __init__(self, rank: int, k: int, p: int, q: int) -> None:
            super().__init__(k, p, q)
            del self._parameters["T_1"]
            for name, shape in (("A", (p, rank)), ("B", (rank, q)), ("C", (rank * k, 1))):
                setattr(self, name, _xavier(*shape))

        @property
        def T_1(self) -> Tensor:  # the name that the authors' forward pass reads
            modes = self.C.reshape(len(self.B), -1)
            whole = torch.einsum("rk,pr,rq->kpq", modes, self.A, self.B)
            return whole.reshape(modes.shape[1], -1)

    return Factored


def model(case: Case) -> Any:
    """The network of a case, as it starts."""
    torch.set_default_dtype(torch.float32)
    s, (cp, meta) = case.settings, map(importlib.import_module, ("cpd_layer", "meta_layer"))
    make = {
        "released": lambda p, q: cp.CPDLayer(s["R"], s["s_dim"], p, q),
        "cp": lambda p, q: _factored(meta.MetaLayer)(s["R"], s["s_dim"], p, q),
        "full": lambda p, q: meta.MetaLayer(s["s_dim"], p, q),
    }[s["layer"]]
    net, gcn = (
        object.__new__(getattr(importlib.import_module(f"{n}_model"), name))
        for n, name in (("Fusion", "Net"), ("GCN", "GCN"))
    )
    for module in (net, gcn):
        nn.Module.__init__(module)
    first, widths = sum(case.widths.values()), s["widths"]
    net.mlp_signal = nn.Sequential(nn.Linear(first, first), nn.ReLU(), nn.Linear(first, s["s_dim"]))
    net.item_E = _xavier(case.n_items, widths[-1])
    for n, (p, q) in enumerate(zip((first, *widths), widths, strict=False), 1):
        setattr(net, f"layer_{n}", make(p, q))
    net.activation = nn.LeakyReLU()
    convolution = importlib.import_module("GCN_model").SAGEConv
    gcn.conv1, gcn.conv2 = (convolution(2 * widths[-1], 2 * widths[-1]) for _ in range(2))
    gcn.fus, gcn.device = net, "cpu"
    gcn.USER_NUM, gcn.ITEM_NUM = case.n_users, case.n_items
    gcn.user = _xavier(case.n_users, 2 * widths[-1])
    return gcn.eval()


def record(case: Case) -> dict[str, np.ndarray]:
    """The results of the released modules on a case."""
    given, net = inputs(case), model(case)
    draw_weights(net, case.seed, scale=0.3)
    features = [given[f"features/{name}"] for name in case.widths]
    pairs = torch.from_numpy(given["pairs"]) + torch.tensor([0, case.n_users])
    edges = torch.cat([pairs, pairs.flip(1)]).T.contiguous()
    user, item, negatives = (torch.from_numpy(given[k]) for k in ("user", "item", "negatives"))

    def vectors() -> Tensor:
        if case.settings["gcn"]:
            return net(*features, edges)
        content = (torch.from_numpy(x).double() for x in features)
        return torch.cat([net.user, net.fus(*content, range(case.n_items))])

    def loss() -> Tensor:
        users, items = vectors().split([case.n_users, case.n_items])
        margins = (users[user] * (items[item] - items[negatives[:, 0]])).sum(1)
        return -torch.log(torch.sigmoid(margins) + 1e-10).mean()

    users, items = vectors().split([case.n_users, case.n_items])
    final = {"users": users, "items": items, "scores": users @ items.T}
    return {
        **given,
        **weights(net),
        **losses(net, loss, {}),
        **{k: numbers(x) for k, x in final.items()},
    }


if __name__ == "__main__":
    write("meta_mmf", OfficialCode(REPOSITORY, prepare, model, record), CASES, STARTS)
