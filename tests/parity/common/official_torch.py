"""Shared parts of the runs of official PyTorch code: weights, loss, gradients, writing."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from subprocess import run
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from tests.parity.common.problem import Case
from tests.parity.common.records import reference, save


class OfficialCode(NamedTuple):
    """The official code of a method.

    Attributes:
        repository: on GitHub, as owner and name.
        prepare: makes a checkout importable.
        model: the model of a case, as it starts.
        record: the results on a case.
    """

    repository: str
    prepare: Callable[[Path], None]
    model: Callable[[Case], nn.Module]
    record: Callable[[Case], dict[str, np.ndarray]]


def write(
    method: str, official: OfficialCode, cases: Mapping[str, Case], starts: Mapping[str, Case]
) -> None:
    """Write a method's references with the checkout that the command line names.

    They are one file a case, and `start.npz`, the deviations of parameters as they start. Each
    says which repository and commit gave it, and holds numbers alone.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("checkout", type=Path, help=f"of {official.repository}")
    checkout = parser.parse_args().checkout
    on_cpu()
    official.prepare(checkout)
    header = {"repository": official.repository, "commit": commit(checkout)}
    header["torch"] = torch.__version__
    for name, case in cases.items():
        _write(reference(method, name), official.record(case), **header, case=asdict(case))
    torch.manual_seed(0)
    models = {name: official.model(case) for name, case in starts.items()}
    spreads = {f"{n}/{k}": spread(x) for n, m in models.items() for k, x in leaves(m).items()}
    _write(reference(method, "start"), spreads, **header)


def _write(path: Path, record: dict[str, np.ndarray], **header: object) -> None:
    save(path, record, dtype="float32", **header)
    print(f"{path.name}: {path.stat().st_size} bytes")


def commit(checkout: Path) -> str:
    """The commit that a checkout of an official repository stands at."""
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    return run(command, capture_output=True, text=True, check=True).stdout.strip()


def on_cpu() -> None:
    """Let code that asks for a GPU by name run without one."""
    Tensor.cuda = lambda self, *args, **kwargs: self


def leaves(model: nn.Module) -> dict[str, Tensor]:
    """All that learns: parameters, and tensors with a gradient, though never registered as such."""
    found = {k: x for k, x in model.named_parameters() if x.requires_grad}
    for prefix, module in model.named_modules():
        for name, x in vars(module).items():
            if isinstance(x, Tensor) and x.requires_grad and x.is_leaf:
                found[f"{prefix}.{name}".lstrip(".")] = x
    return found


def draw_weights(model: nn.Module, seed: int, scale: float = 0.5) -> None:
    """Double precision from here on, and every weight drawn; the values are exact in float32."""
    torch.set_default_dtype(torch.float64)
    model.double()
    for module in model.modules():
        for name, x in list(vars(module).items()):
            if isinstance(x, Tensor) and x.is_floating_point():
                setattr(module, name, x.detach().double().requires_grad_(x.requires_grad))
    draw = np.random.default_rng(1000 + seed)
    for x in leaves(model).values():
        values = draw.normal(0, scale, x.shape).astype(np.float32)
        x.data = torch.from_numpy(values.astype(np.float64))


def spread(x: Tensor) -> np.ndarray:
    """Standard deviation and shape of a parameter."""
    return np.array([x.detach().double().std(correction=0), *x.shape], np.float32)


def weights(model: nn.Module) -> dict[str, np.ndarray]:
    """The weights, as a record holds them."""
    return {f"state/{k}": numbers(x) for k, x in leaves(model).items()}


def numbers(x: Any) -> np.ndarray:
    """A tensor as float32, in which records are kept.

    Raises:
        ValueError: it has entries that are not finite.
    """
    values = np.asarray(x.detach()) if isinstance(x, Tensor) else np.asarray(x)
    if not np.isfinite(values).all():
        raise ValueError("the official code gives numbers that are not finite; change the seed")
    return values.astype(np.float32)


def gradients(model: nn.Module, loss: Tensor) -> dict[str, np.ndarray]:
    """``grad/<name>`` of everything that learns; zero where the loss does not depend on it."""
    found = leaves(model)
    grads = torch.autograd.grad(loss, list(found.values()), allow_unused=True)
    pairs = zip(found.items(), grads, strict=True)
    return {f"grad/{k}": numbers(torch.zeros_like(x) if g is None else g) for (k, x), g in pairs}


def losses(
    model: nn.Module, loss: Callable[[], Tensor], parts: Mapping[str, Mapping[str, Any]]
) -> dict[str, np.ndarray]:
    """The loss, its gradients, and its parts by leaving each out.

    Args:
        model: whose attributes (or entries of its `config`) hold the weights of the parts.
        loss: what the model loses.
        parts: attributes and the values under which a part vanishes.
    """
    total = loss().sum()
    record = {"loss": numbers(total), **gradients(model, total)}
    rest = total
    for name, values in parts.items():
        kept = {k: _get(model, k) for k in values}
        for k, v in values.items():
            _set(model, k, v)
        part = total - loss().sum()
        for k, v in kept.items():
            _set(model, k, v)
        record[f"part/{name}"], rest = numbers(part), rest - part
    return {**record, "part/rank": numbers(rest)}


def _get(model: nn.Module, name: str) -> Any:
    return getattr(model, name) if hasattr(model, name) else model.config[name]


def _set(model: nn.Module, name: str, value: Any) -> None:
    if hasattr(model, name):
        setattr(model, name, value)
    else:
        model.config[name] = value
