"""MIG-GT in plain PyTorch: the peer of `mig_gt_epoch` and the reference of the parity tests.

Written from the equations of "Modality-Independent Graph Neural Networks with Global Transformers
for Multimodal Recommendation" (AAAI 2025, arXiv 2412.13994) and sharing no code with `mmjax`.
Nodes are users first, then items. Axes: n nodes, u users, i items, d width, s global samples.
"""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.benchmarks import harness
from experiments.benchmarks.mig_gt_epoch.problem import Problem, problem


@dataclass(frozen=True)
class Config:
    """Hyper-parameters of MIG-GT; the defaults are the paper's for Amazon Baby.

    A hop count of 0 leaves a modality unpropagated, -1 leaves it out.
    """

    width: int = 64
    hidden: int = 512
    hops_id: int = 4
    hops: Mapping[str, int] = field(default_factory=lambda: {"text": 2, "image": 1})
    alpha: float = 0.1
    beta: float = 0.9
    item_embeddings: bool = False
    drop_input: float = 0.3
    drop_hidden: float = 0.3
    drop_user: float = 0.3
    drop_item: float = 0.3
    drop_edge: float = 0.2
    drop_fused: float = 0.2
    transformer: bool = True
    samples: int = 10
    attention_width: int = 4
    mix: float = 0.1
    negatives: int = 1
    l2: float = 1e-5
    learning_rate: float = 1e-2
    decay: float = 0.99
    decay_floor: float = 0.0
    batch_size: int = 8000
    propagation: str = "csr"


def random_projection(x: Tensor, width: int, generator: torch.Generator | None = None) -> Tensor:
    """Project rows by a standard normal matrix, then divide them by their norm + 1e-8."""
    matrix = torch.randn(x.shape[1], width, generator=generator, dtype=x.dtype)
    projected = x @ matrix
    return projected / (projected.norm(dim=1, keepdim=True) + 1e-8)


class _TransposedProduct(torch.autograd.Function):
    """A @ x whose backward pass reads a transpose that was sorted once."""

    @staticmethod
    def forward(ctx, values, x, graph):
        ctx.save_for_backward(values)
        ctx.graph = graph
        return graph.matrix(values) @ x

    @staticmethod
    def backward(ctx, *grads):
        (values,) = ctx.saved_tensors
        graph = ctx.graph
        # The pattern is symmetric, so the transpose shares the row pointers and the columns.
        return None, graph.matrix(values[graph.transpose]) @ grads[0], None


class Graph(nn.Module):
    """The bipartite graph with self-loops, normalised by both degrees, in CSR order."""

    row: Tensor
    col: Tensor
    pointers: Tensor
    transpose: Tensor
    values: Tensor

    def __init__(self, pairs: Tensor, n_users: int, n_items: int):
        super().__init__()
        n = n_users + n_items
        user, item = pairs[:, 0].long(), pairs[:, 1].long() + n_users
        loop = torch.arange(n)
        row, col = torch.cat([user, item, loop]), torch.cat([item, user, loop])
        order = torch.argsort(row * n + col)
        row, col = row[order], col[order]
        degree = torch.bincount(row, minlength=n)
        self.n = n
        self.register_buffer("row", row, persistent=False)
        self.register_buffer("col", col, persistent=False)
        pointers = F.pad(degree.cumsum(0), (1, 0))
        self.register_buffer("pointers", pointers, persistent=False)
        self.register_buffer("transpose", torch.argsort(col * n + row), persistent=False)
        values = (degree[row] * degree[col]).double().rsqrt().float()
        self.register_buffer("values", values, persistent=False)

    def double(self) -> "Graph":
        """Double precision, with the degrees' roots taken anew rather than widened."""
        super().double()
        degree = self.pointers.diff()
        self.values = (degree[self.row] * degree[self.col]).double().rsqrt()
        return self

    def matrix(self, values: Tensor) -> Tensor:
        """The sparse matrix that holds `values` in CSR order."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support")
            warnings.filterwarnings("ignore", "Sparse invariant checks")
            return torch.sparse_csr_tensor(
                self.pointers, self.col, values, (self.n, self.n), check_invariants=False
            )

    def product(self, values: Tensor, x: Tensor, how: str) -> Tensor:
        """y[r] = sum over the edges c -> r of value * x[c]."""
        if how == "csr":
            return torch.sparse.mm(self.matrix(values), x)
        if how == "transposed":
            return _TransposedProduct.apply(values, x, self)
        if how == "index_add":
            return torch.zeros_like(x).index_add(0, self.row, values[:, None] * x[self.col])
        raise ValueError(f"propagation is csr, transposed or index_add, not {how!r}")


def rows(table: Tensor, index: Tensor) -> Tensor:
    """`table[index]`; the gradient of `index_select` is several times faster on CPU."""
    return table.index_select(0, index.ravel()).view(*index.shape, *table.shape[1:])


def mgdcf(graph: Graph, h0: Tensor, values: Tensor, hops: int, config: Config) -> Tensor:
    """H^{k+1} = beta A H^k + alpha H^0, divided at the end by gamma (equation of MGDCF)."""
    alpha, beta = config.alpha, config.beta
    h = h0
    for _ in range(hops):
        h = beta * graph.product(values, h, config.propagation) + alpha * h0
    return h / (beta**hops + alpha * sum(beta**i for i in range(hops)))


class Encoder(nn.Sequential):
    """Dropout, linear, batch norm and PReLU, twice: a modality's features to the model's width."""

    def __init__(self, n_features: int, config: Config):
        first, second = (
            nn.Linear(n_features, config.hidden),
            nn.Linear(config.hidden, config.width),
        )
        for linear in (first, second):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
        super().__init__(
            nn.Dropout(config.drop_input),
            first,
            nn.BatchNorm1d(config.hidden, eps=1e-5, momentum=0.1),
            nn.PReLU(init=0.25),
            nn.Dropout(config.drop_hidden),
            second,
            nn.BatchNorm1d(config.width, eps=1e-5, momentum=0.1),
            nn.PReLU(init=0.25),
        )


class GlobalTransformer(nn.Module):
    """Every node attends to itself and to its sampled items: one head, values not projected."""

    def __init__(self, config: Config):
        super().__init__()
        self.query = nn.Linear(config.width, config.attention_width)
        self.key = nn.Linear(config.width, config.attention_width)
        self.mix = config.mix
        for linear in (self.query, self.key):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, memory: Tensor) -> Tensor:
        """O = mix softmax(Q K^T / sqrt(width)) M + (1 - mix) M, for memories [n, 1 + s, d]."""
        q, k = self.query(memory), self.key(memory)
        scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
        return self.mix * (scores.softmax(-1) @ memory) + (1 - self.mix) * memory


class MigGt(nn.Module):
    """MIG-GT over a fixed graph and fixed item features.

    Args:
        pairs: int[e, 2], the train edges (user, item).
        n_users: number of users.
        n_items: number of items.
        features: float[i, any width] per modality, already projected where the paper does.
        config: hyper-parameters; ``config.hops`` names the modalities.
    """

    user_embedding: nn.Parameter
    item_embedding: nn.Parameter

    def __init__(
        self,
        pairs: Tensor,
        n_users: int,
        n_items: int,
        features: Mapping[str, Tensor],
        config: Config,
    ):
        super().__init__()
        self.config, self.n_users, self.n_items = config, n_users, n_items
        self.graph = Graph(pairs, n_users, n_items)
        self.names = sorted(name for name, hops in config.hops.items() if hops >= 0)
        for name in self.names:
            self.register_buffer(f"features_{name}", features[name], persistent=False)
        self.encoders = nn.ModuleDict(
            {name: Encoder(features[name].shape[1], config) for name in self.names}
        )
        scale = config.width**-0.5
        if config.hops_id >= 0:
            self.user_embedding = nn.Parameter(torch.randn(n_users, config.width) * scale)
            if config.item_embeddings:
                self.item_embedding = nn.Parameter(torch.randn(n_items, config.width) * scale)
        if config.transformer:
            self.attention = GlobalTransformer(config)

    def double(self) -> "MigGt":
        """Double precision throughout, the normalised graph included."""
        super().double()
        self.graph.double()
        return self

    def _propagate(self, h0: Tensor, hops: int) -> Tensor:
        values = self.graph.values
        if hops > 0:
            values = F.dropout(values, self.config.drop_edge, self.training)
        return mgdcf(self.graph, h0, values, hops, self.config)

    def fused(self) -> Tensor:
        """H [n, d]: the modalities' propagated signals, summed."""
        config, training = self.config, self.training
        parts = []
        if config.hops_id >= 0:
            users = F.dropout(self.user_embedding, config.drop_user, training)
            items = users.new_zeros(self.n_items, config.width)
            if config.item_embeddings:
                items = F.dropout(self.item_embedding, config.drop_item, training)
            parts.append(self._propagate(torch.cat([users, items]), config.hops_id))
        for name in self.names:
            encoded = self.encoders[name](self.get_buffer(f"features_{name}"))
            items = F.dropout(encoded, config.drop_item, training)
            users = items.new_zeros(self.n_users, config.width)
            parts.append(self._propagate(torch.cat([users, items]), config.hops[name]))
        return F.dropout(torch.stack(parts).sum(0), config.drop_fused, training)

    def draw_samples(self) -> Tensor:
        """Item indices int[n, s], uniform with replacement."""
        shape = (self.n_users + self.n_items, self.config.samples)
        return torch.randint(self.n_items, shape)

    def forward(self, samples: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Final embeddings F [n, d] and the transformed memories O [n, 1 + s, d].

        `samples` int[n, s] are the global items of every node; drawn afresh when None. Without the
        transformer O is [n, 1, d] and F is H.
        """
        h = self.fused()
        if not self.config.transformer:
            return h, h[:, None]
        samples = self.draw_samples() if samples is None else samples
        memory = torch.cat([h[:, None], rows(h[self.n_users :], samples)], dim=1)
        outputs = self.attention(memory)
        return outputs[:, 0], outputs

    def losses(
        self, final: Tensor, outputs: Tensor, users: Tensor, items: Tensor, negatives: Tensor
    ) -> dict[str, Tensor]:
        """The parts of the loss, sums over the batch; `negatives` is int[batch, n]."""
        user_vectors, item_vectors = final.split([self.n_users, self.n_items])
        user = rows(user_vectors, users)
        candidates = torch.cat([items[:, None], negatives], dim=1)
        scores = torch.einsum("bd,bcd->bc", user, rows(item_vectors, candidates))
        parts = {
            "rank": -scores.log_softmax(-1)[:, 0].sum(),
            "l2": 0.5 * self.config.l2 * (final**2).sum(),
        }
        if self.config.transformer:
            tokens = torch.einsum("bd,btd->bt", user, rows(outputs, self.n_users + items))
            parts["tur"] = -tokens.log_softmax(-1)[:, 0].sum()
        return parts


def batches(pairs: Tensor, n_items: int, config: Config) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """One epoch of (users, items, negatives), shuffled, the last partial batch kept."""
    for index in torch.randperm(len(pairs)).split(config.batch_size):
        users, items = pairs[index].unbind(1)
        yield users, items, torch.randint(n_items, (len(index), config.negatives))


class Trainer:
    """Adam with the paper's decay of the learning rate after each epoch."""

    def __init__(self, model: MigGt, pairs: Tensor):
        self.model, self.pairs = model, pairs.long()
        self.optimizer = torch.optim.Adam(model.parameters(), lr=model.config.learning_rate)

    def step(self, users: Tensor, items: Tensor, negatives: Tensor) -> Tensor:
        """One update from one full-graph forward pass; the loss, detached."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = sum(
            self.model.losses(*self.model(), users, items, negatives).values(), torch.zeros(())
        )
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def decay(self) -> None:
        """Multiply the learning rate by the decay unless that would take it below the floor."""
        config = self.model.config
        for group in self.optimizer.param_groups:
            if group["lr"] * config.decay >= config.decay_floor:
                group["lr"] *= config.decay

    def epoch(self) -> float:
        """Train one epoch and decay the learning rate; the mean loss per edge."""
        self.model.train()
        total = torch.zeros(())
        for batch in batches(self.pairs, self.model.n_items, self.model.config):
            total += self.step(*batch)
        self.decay()
        return float(total) / len(self.pairs)


class Peer:
    """The model on the benchmark's problem, with one way of propagating."""

    def __init__(self, inputs: Problem, propagation: str, *, smoke: bool) -> None:
        torch.manual_seed(0)
        sizes = {"width": 8, "hidden": 16, "samples": 2} if smoke else {}
        config = Config(propagation=propagation, **sizes)
        features = {k: torch.from_numpy(v) for k, v in inputs.features.items()}
        features["image"] = random_projection(features["image"], 384)
        pairs = torch.from_numpy(inputs.pairs)
        model = MigGt(pairs, inputs.n_users, inputs.n_items, features, config)
        self._trainer = Trainer(model, pairs)
        self.loss = float("nan")

    def epoch(self) -> None:
        """Train one epoch; `loss` becomes its mean per edge."""
        self.loss = self._trainer.epoch()


def main() -> None:
    """Serve until standard input closes."""
    inputs = harness.peer_inputs()
    data = None if inputs.data is None else Path(inputs.data)
    edges = problem(data, smoke=inputs.smoke)
    peers = {f"torch {way}": Peer(edges, way, smoke=inputs.smoke) for way in inputs.peers}
    clock = harness.clock(inputs)
    candidates = {name: harness.timed(peer.epoch, clock=clock) for name, peer in peers.items()}
    for name, peer in peers.items():
        candidates[f"{name} loss"] = lambda peer=peer: peer.loss
    candidates["peak_rss_mib"] = harness.peak_rss_mib
    about = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    harness.serve(candidates, about)


if __name__ == "__main__":
    main()
