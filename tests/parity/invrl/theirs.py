"""The small problems of InvRL's stages by its authors' code, a checkout of nickwzk/InvRL.

    python -m tests.parity.invrl.theirs CHECKOUT

writes `reference/*.npz`. Needs PyTorch (extra `parity`).
"""

import contextlib
import importlib
import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

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
from tests.parity.invrl.case import CASES, STARTS, environments, mask

REPOSITORY = "nickwzk/InvRL"


def prepare(checkout: Path) -> None:
    """Make a checkout importable."""
    sys.path.insert(0, str(checkout))


def record(case: Case) -> dict[str, np.ndarray]:
    """The results of the released code on a case, in the stage that its model names."""
    given = inputs(case)
    rows = [torch.from_numpy(given[k]) for k in ("user", "item", "negatives")]
    return given | _STAGES[case.model](case, *_problem(case, given), rows)


def model(case: Case) -> nn.Module:
    """The recommender of a case, as it starts."""
    return importlib.import_module("UltraGCN").UltraGCNNet(*_problem(case, inputs(case)), logging)


def _problem(case: Case, given: dict[str, np.ndarray]) -> tuple[SimpleNamespace, SimpleNamespace]:
    """Data and arguments, as the released code takes them."""
    torch.set_default_dtype(torch.float32)
    features = [torch.from_numpy(given[f"features/{n}"]) for n in case.widths]
    data = SimpleNamespace(usz=case.n_users, isz=case.n_items, dim=case.width, train=given["pairs"])
    data.sz = len(data.train)
    data.v_feat, data.a_feat, data.t_feat = features[0], None, features[1]
    data.feature = torch.cat(features, 1)
    settings = {
        "device": "cpu",
        "dataset": "small",
        "feat_dim": case.width,
        "sigma": 0.0,
        "lr": 0.1,
    }
    return data, SimpleNamespace(**settings, **case.settings)


def _in_double(net: Any) -> None:
    net.constraint_mat = {k: v.double() for k, v in net.constraint_mat.items()}


def _recommender(case: Case, data: Any, args: Any, rows: list[Tensor]) -> dict[str, np.ndarray]:
    """UltraGCN on all content, or on masked content."""
    chosen = torch.from_numpy(mask(case)) if args.masked else None
    net = importlib.import_module("UltraGCN").UltraGCNNet(data, args, logging, chosen)
    draw_weights(net, case.seed)
    _in_double(net)
    free = SimpleNamespace(**{**vars(args), "p_emb": [0, 0], "p_proj": [0, 0]})
    found = {**weights(net), **losses(net, lambda: net(*rows), {"l2": {"args": free}})}
    users, items = net.user_emb, net.item_emb
    found |= {"users": numbers(users), "items": numbers(items), "scores": numbers(users @ items.T)}
    return found | ({"mask": mask(case)} if args.masked else {})


def _environments(case: Case, data: Any, args: Any, rows: list[Tensor]) -> dict[str, np.ndarray]:
    """A model of each environment on the rows that are its own, and where each pair fits best."""
    front = importlib.import_module("InvRL").FrontModel
    models = nn.ModuleList(front(data, args, logging) for _ in range(args.num_domains))
    draw_weights(models, case.seed)
    group = torch.from_numpy(environments(case))
    for model in models:
        _in_double(model.net)
        model.net.U.data, model.net.V.data = models[0].net.U.data, models[0].net.V.data
        model.weight = torch.from_numpy(mask(case)).double()
    found = weights(models)
    for model in models:
        model.net.U.requires_grad = model.net.V.requires_grad = False

    def loss() -> Tensor:
        own = ([x[group == e] for x in rows] for e in range(len(models)))
        return sum(m.net(*x) + m.reg_loss() for m, x in zip(models, own, strict=True))

    found |= {k: x for k, x in losses(models, loss, {}).items() if k != "part/rank"}
    scores = [m.net.predict(*torch.from_numpy(data.train).T) for m in models]
    found["best"] = torch.stack(scores).argmax(0).numpy()
    return {**found, "environment": group.numpy(), "mask": mask(case)}


class _Stepped(Exception):
    """The first step of an optimiser."""


class _Optimiser:
    """Stops where a step would be made."""

    def __init__(self, groups: list[dict[str, Any]], **_: Any) -> None:
        del groups

    def zero_grad(self) -> None:
        pass

    def step(self) -> None:
        raise _Stepped


def _mask(case: Case, data: Any, args: Any, rows: list[Tensor]) -> dict[str, np.ndarray]:
    """The first step of learning the mask."""
    module, group = importlib.import_module("InvRL"), torch.from_numpy(environments(case))
    model = module.InvRL(data, args, logging)
    both = nn.ModuleDict({"net": model.backmodel, "fs": model.fs})
    draw_weights(both, case.seed)
    _in_double(model.backmodel)
    found, parts, combine = weights(both), {}, model.loss_p

    def combined(mean: Tensor, *args: Any) -> Any:
        total, penalty, density = combine(mean, *args)
        parts.update(loss=total, penalty=model.alpha * penalty)
        parts["gate"] = total - mean - parts["penalty"]
        return total, penalty, density

    def fixed() -> None:
        model.backmodel.U.requires_grad = model.backmodel.V.requires_grad = False

    model.loss_p, model.init_backmodel = combined, fixed
    none = (None, None, None)
    data.sample = lambda _, e: iter([[x[group == e] for x in rows], none])
    quiet = mock.patch.object(module, "tqdm", iter)
    first = mock.patch.object(torch.optim, "Adam", _Optimiser)
    with quiet, first, contextlib.suppress(_Stepped):
        model.backend()
    learnt = {"net.MLP.weight": model.backmodel.MLP.weight, "fs.mu": model.fs.mu}
    found |= {f"grad/{k}": numbers(x.grad) for k, x in learnt.items()}
    found["loss"] = numbers(parts.pop("loss"))
    found |= {f"part/{k}": numbers(x) for k, x in parts.items()}
    return {**found, "environment": group.numpy()}


_STAGES = {"invrl": _recommender, "invrl_environments": _environments, "invrl_mask": _mask}


if __name__ == "__main__":
    write("invrl", OfficialCode(REPOSITORY, prepare, model, record), CASES, STARTS)
