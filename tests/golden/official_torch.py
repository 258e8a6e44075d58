"""What all drivers of official PyTorch code share: double precision, weights, loss, gradients."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import run
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def commit(checkout: Path) -> str:
    """The commit that a checkout of an official repository stands at."""
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    return run(command, capture_output=True, text=True, check=True).stdout.strip()


def forget(checkout: Path) -> None:
    """Unload a checkout's modules: other repositories have files of the same names."""
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(checkout)):
            del sys.modules[name]
    sys.path[:] = [p for p in sys.path if not p.startswith(str(checkout))]


def on_cpu() -> None:
    """Let code that asks for a GPU by name run without one."""
    Tensor.cuda = lambda self, *args, **kwargs: self


def leaves(model: nn.Module) -> dict[str, Tensor]:
    """What learns: parameters, and tensors with a gradient that were never registered as such."""
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
