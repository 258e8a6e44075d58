"""PyTorch's side of the propagation benchmark; started by it, in a Python that has PyTorch.

Four ways a PyTorch user would write it: `torch.sparse.mm` on CSR with 64-bit and with 32-bit
indices (MKL on Intel-compatible CPUs), a gather with `index_add`, and CSR with the transpose kept
and the gradient written by hand, which is the fastest we know.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from experiments.benchmarks import harness


class TwoWay(torch.autograd.Function):
    """A x forward, A' g backward, both from stored CSR."""

    @staticmethod
    def forward(ctx: Any, matrix: torch.Tensor, turned: torch.Tensor, x: torch.Tensor) -> Any:
        """The product."""
        ctx.turned = turned
        return matrix @ x

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        """The transposed product."""
        return None, None, ctx.turned @ grads[0]


def candidates(inputs: Any) -> dict[str, harness.Candidate]:
    """Forward and backward passes by "task: name"."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with np.load(inputs.graph) as file:
        arrays = {name: torch.from_numpy(file[name]).to(device) for name in file.files}
    g, weights = arrays["x"], arrays["weights"]
    senders, receivers = arrays["senders"].long(), arrays["receivers"].long()
    n = len(g)

    def csr(rows: torch.Tensor, columns: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
        matrix = torch.sparse_coo_tensor(torch.stack([rows, columns]), weights, (n, n))
        matrix = matrix.coalesce().to_sparse_csr()
        return torch.sparse_csr_tensor(
            matrix.crow_indices().to(kind), matrix.col_indices().to(kind), matrix.values(), (n, n)
        )

    wide = csr(receivers, senders, torch.int64)
    narrow = csr(receivers, senders, torch.int32)
    turned = csr(senders, receivers, torch.int32)

    def constant(product: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[], Any]:
        def run() -> Any:
            x = g.detach().requires_grad_()
            product(x).backward(g)
            return x.grad

        return run

    def index_add(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x).index_add(0, receivers, w[:, None] * x[senders])

    def learned() -> Any:
        x, w = g.detach().requires_grad_(), weights.detach().requires_grad_()
        index_add(x, w).backward(g)
        return x.grad, w.grad

    runs = {
        "constant: torch csr, 64-bit": constant(lambda x: torch.sparse.mm(wide, x)),
        "constant: torch csr, 32-bit": constant(lambda x: torch.sparse.mm(narrow, x)),
        "constant: torch csr both ways": constant(lambda x: TwoWay.apply(narrow, turned, x)),
        "constant: torch index_add": constant(lambda x: index_add(x, weights)),
        "learned: torch index_add": learned,
    }

    def wait(result: Any) -> Any:
        if device.type == "cuda":
            torch.cuda.synchronize()
        return result

    return {
        name: harness.calibrated(run, wait=wait, clock=harness.clock(inputs))
        for name, run in runs.items()
    }


def main() -> None:
    """Serve the timings of the graph that the inputs name."""
    warnings.filterwarnings("ignore", message="Sparse")
    about = {"version": torch.__version__, "threads": torch.get_num_threads()}
    harness.serve(candidates(harness.peer_inputs()), about)


if __name__ == "__main__":
    main()
