"""The PyTorch process of `quantise`: lucidrains' ResidualVQ, timed whenever it is asked to."""

from typing import Any

import torch
from torch.nn import functional as F
from vector_quantize_pytorch import ResidualVQ

from experiments.benchmarks import harness
from experiments.benchmarks.quantise.problem import (
    DECAY,
    LEARNING_RATE,
    MODES,
    THRESHOLD,
    Problem,
    problem,
)


class Peer:
    """One quantiser and its optimiser."""

    def __init__(self, mode: str, inputs: Problem) -> None:
        follows = mode != "gradient"
        levels, size, width = inputs.codebooks.shape
        self.quantiser = ResidualVQ(
            dim=width,
            num_quantizers=levels,
            codebook_size=size,
            decay=DECAY,
            ema_update=follows,
            learnable_codebook=not follows,
            threshold_ema_dead_code=THRESHOLD if mode == "ema, revival" else 0,
            rotation_trick=False,
        )
        for layer, codebook in zip(self.quantiser.layers, inputs.codebooks, strict=True):
            layer._codebook.embed.data.copy_(torch.from_numpy(codebook)[None])
            if follows:
                layer._codebook.embed_avg.data.copy_(torch.from_numpy(codebook)[None])
        self.x = torch.from_numpy(inputs.x).requires_grad_()
        self.target = torch.from_numpy(inputs.target)
        self.optimiser = None
        if not follows:
            self.optimiser = torch.optim.Adam(self.quantiser.parameters(), LEARNING_RATE)
        self.loss = float("nan")

    def step(self) -> Any:
        """Forward, backward and the codebooks' update."""
        self.x.grad = None
        if self.optimiser is not None:
            self.optimiser.zero_grad(set_to_none=True)
        output, _, losses = self.quantiser(self.x)
        loss = F.mse_loss(output, self.target) + losses.sum()
        loss.backward()
        if self.optimiser is not None:
            self.optimiser.step()
        self.loss = loss.item()
        return self.x.grad


def main() -> None:
    """Serve until standard input closes."""
    inputs = harness.peer_inputs()
    candidates = {}
    for batch in inputs.batches:
        arrays = problem(batch, inputs.levels, inputs.codes, inputs.width)
        for mode in MODES:
            peer, name = Peer(mode, arrays), f"torch {mode}, {batch} rows"
            peer.step()
            candidates[f"{name} first loss"] = lambda loss=peer.loss: loss
            candidates[name] = harness.timed(
                peer.step, repeat=inputs.repeat, clock=harness.clock(inputs)
            )
    versions = harness.environment(("torch", "vector-quantize-pytorch", "numpy"))["versions"]
    harness.serve(candidates, {"peer": versions, "peer_threads": torch.get_num_threads()})


if __name__ == "__main__":
    main()
