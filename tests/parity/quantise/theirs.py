"""The small problems of quantisers by lucidrains' vector-quantize-pytorch.

    python -m tests.parity.quantise.theirs

writes `reference/quantise.npz`. Needs PyTorch and vector-quantize-pytorch (extra `parity`), not
JAX.
"""

import random
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from vector_quantize_pytorch import ResidualVQ, SimVQ, VectorQuantize

from tests.parity.common import records
from tests.parity.quantise.case import CASES, Case, inputs


def _quantiser(case: Case, given: dict[str, np.ndarray]) -> tuple[Any, list[Any]]:
    """The module in training mode with the given codebooks, and its codebooks' modules."""
    rotation = case.estimator == "rotation"
    if case.kind == "simvq":
        module = SimVQ(case.width, case.sizes[0], rotation_trick=rotation)
        module.frozen_codebook.copy_(torch.from_numpy(given["codebook_0"]))
        # PyTorch's linear layers multiply by the transpose of their weights.
        module.code_transform.weight.data.copy_(torch.from_numpy(given["map"].T))
        return module, []
    options = {
        "decay": case.decay,
        "ema_update": case.learning == "ema",
        "learnable_codebook": case.learning == "gradient",
        "rotation_trick": rotation,
        "use_cosine_sim": case.cosine,
    }
    if case.kind == "vq":
        module = VectorQuantize(case.width, case.sizes[0], **options)
        books = [module._codebook]
    else:
        module = ResidualVQ(
            dim=case.width,
            codebook_size=case.sizes,
            shared_codebook=case.shared,
            quantize_dropout=case.active > 0,
            quant_grad_frac=0.0 if case.residual == "detach" else 1.0,
            **options,
        )
        books = [layer._codebook for layer in module.layers][: 1 if case.shared else None]
    for m, book in enumerate(books):
        codebook = torch.from_numpy(given[f"codebook_{m}"])[None]
        book.embed.data.copy_(codebook)
        book.embed_avg.data.copy_(codebook)
    return module.train(), books


def _options(case: Case, where: torch.Tensor) -> dict[str, Any]:
    options: dict[str, Any] = {"mask": where[None]} if case.masked else {}
    if case.active:
        levels = len(case.sizes)
        seed = next(s for s in range(999) if random.Random(s).randrange(levels) == case.active - 1)
        options["rand_quantize_dropout_fixed_seed"] = seed
    return options


def reference(case: Case) -> dict[str, np.ndarray]:
    """Outputs, codes, losses, gradients and codebooks of every step."""
    given = inputs(case)
    module, books = _quantiser(case, given)
    record: dict[str, Any] = {}
    for step in range(case.steps):
        x = torch.from_numpy(given[f"x_{step}"]).requires_grad_()
        where, weight = (torch.from_numpy(given[f"{k}_{step}"]) for k in ("where", "weight"))
        output, codes, loss = module(x[None], **_options(case, where))
        module.zero_grad(set_to_none=True)
        ((output[0] * weight).sum() + loss.sum()).backward()
        found = {
            "output": output[0],
            "codes": codes[0].reshape(case.rows, -1),
            "loss": loss.reshape(-1),
            "grad/x": x.grad,
        }
        if case.kind == "simvq":
            found["grad/map"] = module.code_transform.weight.grad.T
        for m, book in enumerate(books):
            if case.learning == "gradient":
                grad = book.embed.grad
                grad = torch.zeros_like(book.embed) if grad is None else grad  # a dropped level
                found[f"grad/codebook_{m}"] = grad[0]
            else:
                found[f"codebook_{m}"] = book.embed[0]
                found[f"counts_{m}"] = book.cluster_size[0]
                found[f"sums_{m}"] = book.embed_avg[0]
        record |= {f"{step}/{k}": v.detach().numpy().copy() for k, v in found.items()}
    return record


def main() -> None:
    """Write one file for all cases."""
    path = records.reference("quantise", "quantise")
    record = {f"{n}/{k}": v for n, c in CASES.items() for k, v in reference(c).items()}
    versions = {name: version(name) for name in ("torch", "vector-quantize-pytorch")}
    records.save(path, record, dtype=np.float32, versions=versions)
    print(f"{path.name}: {path.stat().st_size} bytes, {versions}")


if __name__ == "__main__":
    main()
