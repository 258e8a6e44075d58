"""The PyTorch process of `incdsi`: rows by L-BFGS, timed whenever it is asked to."""

import torch

from experiments.benchmarks import harness
from experiments.benchmarks.incdsi.problem import (
    BALANCE,
    DECAY,
    NEW,
    OLD,
    STEPS,
    TOLERANCE,
    Problem,
    problem,
)


class Peer:
    """Tables with room for the new documents."""

    def __init__(self, inputs: Problem) -> None:
        self.inputs = Problem(*map(torch.from_numpy, inputs))
        self.losses: list[float] = []

    def run(self) -> torch.Tensor:
        """All new rows, one after the other."""
        rows, queries, new, starts = self.inputs
        self.losses = []
        for query, start in zip(new, starts, strict=True):
            row = self._solve(rows, queries, query, start)
            rows, queries = torch.cat([rows, row[None]]), torch.cat([queries, query[None]])
        return rows

    def _solve(
        self,
        rows: torch.Tensor,
        queries: torch.Tensor,
        query: torch.Tensor,
        start: torch.Tensor,
    ) -> torch.Tensor:
        wanted = (rows @ query).max() + NEW
        most = (rows * queries).sum(1) - OLD
        x = start.clone().requires_grad_()
        optimiser = torch.optim.LBFGS(
            [x], lr=1.0, tolerance_change=TOLERANCE, line_search_fn="strong_wolfe"
        )

        def loss() -> torch.Tensor:
            optimiser.zero_grad()
            new = (wanted - x @ query).clamp(min=0) ** 2
            old = ((queries @ x - most).clamp(min=0) ** 2).sum()
            value = BALANCE * new + (1 - BALANCE) * old + DECAY * (x**2).sum()
            value.backward()
            return value

        for _ in range(STEPS):
            before = x.detach().clone()
            value = optimiser.step(loss)
            if value == 0 or (x.detach() - before).norm() < TOLERANCE:
                break
        self.losses.append(loss().item())
        return x.detach()


def main() -> None:
    """Serve until standard input closes."""
    inputs = harness.peer_inputs()
    candidates = {}
    for documents in inputs.documents:
        peer = Peer(problem(documents, inputs.width, inputs.new))
        peer.run()
        mean = sum(peer.losses) / len(peer.losses)
        candidates[f"torch {documents} loss"] = lambda mean=mean: mean
        candidates[f"torch {documents}"] = harness.timed(peer.run, clock=harness.clock(inputs))
    versions = harness.environment(("torch", "numpy"))["versions"]
    harness.serve(candidates, {"peer": versions, "peer_threads": torch.get_num_threads()})


if __name__ == "__main__":
    main()
