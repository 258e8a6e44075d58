"""LightGCN, FREEDOM and MMGCN in plain PyTorch, for `recommenders`: from the papers' equations.

Nodes are users first, then items. Products are `torch.sparse` CSR; negatives are drawn for the
whole batch at once and not rejected, which is less work than what they are measured against.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.benchmarks import harness


class Graph:
    """The bipartite graph and its normalised forms."""

    def __init__(self, pairs: np.ndarray, n_users: int, n_items: int) -> None:
        self.pairs = torch.from_numpy(pairs.astype(np.int64))
        self.n_users, self.n_items, self.n = n_users, n_items, n_users + n_items
        self.degree = torch.bincount(self._ends(self.pairs)[0], minlength=self.n).float()

    def _ends(self, pairs: Tensor) -> Tensor:
        users, items = pairs[:, 0], pairs[:, 1] + self.n_users
        return torch.stack([torch.cat([users, items]), torch.cat([items, users])])

    def matrix(self, pairs: Tensor, *, mean: bool = False) -> Tensor:
        """D^-1/2 A D^-1/2, or D^-1 A, of some of the pairs."""
        rows, columns = self._ends(pairs)
        degree = torch.bincount(rows, minlength=self.n).float().clamp(min=1)
        values = 1 / degree[rows] if mean else (degree[rows] * degree[columns]).rsqrt()
        size = (self.n, self.n)
        return torch.sparse_coo_tensor(torch.stack([rows, columns]), values, size).to_sparse_csr()


def lightgcn(a: Tensor, x: Tensor, layers: int) -> Tensor:
    """Mean of layers 0 to `layers`."""
    total = x
    for _ in range(layers):
        x = a @ x
        total = total + x
    return total / (layers + 1)


class LightGCN(nn.Module):
    """BPR on propagated ids, norms of the batch's rows."""

    def __init__(self, graph: Graph, features: dict[str, Tensor], layers: int = 2) -> None:
        super().__init__()
        self.graph, self.layers = graph, layers
        self.a = graph.matrix(graph.pairs)
        self.user = nn.Parameter(nn.init.xavier_uniform_(torch.empty(graph.n_users, 64)))
        self.item = nn.Parameter(nn.init.xavier_uniform_(torch.empty(graph.n_items, 64)))

    def start_epoch(self) -> None:
        """Nothing changes between epochs."""

    def loss(self, u: Tensor, i: Tensor, j: Tensor) -> Tensor:
        """BPR and the norms."""
        first = torch.cat([self.user, self.item])
        x = lightgcn(self.a, first, self.layers)
        i, j = i + self.graph.n_users, j + self.graph.n_users
        rank = F.softplus(((x[u] * x[j]) - (x[u] * x[i])).sum(1)).mean()
        return rank + 1e-4 * sum(first[k].norm() for k in (u, i, j)) / len(u)


class FREEDOM(nn.Module):
    """LightGCN on a graph pruned every epoch, plus one layer over the frozen item graph."""

    def __init__(self, graph: Graph, features: dict[str, Tensor], k: int = 10) -> None:
        super().__init__()
        self.graph = graph
        self.user = nn.Parameter(nn.init.xavier_uniform_(torch.empty(graph.n_users, 64)))
        self.item = nn.Parameter(nn.init.xavier_uniform_(torch.empty(graph.n_items, 64)))
        self.features = nn.ParameterList(features.values())
        self.linear = nn.ModuleList(nn.Linear(x.shape[1], 64) for x in features.values())
        dense = torch.zeros(graph.n_items, graph.n_items)
        for x in features.values():
            unit = F.normalize(x)
            near = (unit @ unit.T).topk(k).indices
            dense.scatter_add_(1, near, torch.full(near.shape, 1 / (k * len(features))))
        self.item_graph = dense.to_sparse_csr()

    def start_epoch(self) -> None:
        """Keep a fifth of the pairs, likelier between nodes of low degree."""
        users, items = self.graph.pairs[:, 0], self.graph.pairs[:, 1] + self.graph.n_users
        weight = (self.graph.degree[users] * self.graph.degree[items]).rsqrt()
        kept = torch.multinomial(weight, int(0.2 * len(users)))
        self.a = self.graph.matrix(self.graph.pairs[kept])

    def loss(self, u: Tensor, i: Tensor, j: Tensor) -> Tensor:
        """BPR of the fused vectors and of each modality's projection."""
        x = lightgcn(self.a, torch.cat([self.user, self.item]), 2)
        users, items = x[: self.graph.n_users], x[self.graph.n_users :]
        total = self._bpr(users[u], items + self.item_graph @ self.item, i, j)
        for linear, features in zip(self.linear, self.features, strict=True):
            total = total + 1e-3 * self._bpr(users[u], linear(features), i, j)
        return total

    @staticmethod
    def _bpr(users: Tensor, items: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return F.softplus((users * (items[j] - items[i])).sum(1)).mean()


class MMGCN(nn.Module):
    """Three layers of mean aggregation per modality with id residuals; outputs averaged."""

    def __init__(self, graph: Graph, features: dict[str, Tensor]) -> None:
        super().__init__()
        self.graph, self.features = graph, list(features.values())
        self.a = graph.matrix(graph.pairs, mean=True)
        self.ids = nn.Parameter(nn.init.xavier_normal_(torch.empty(graph.n, 64)))
        self.users = nn.ParameterList()
        self.layers = nn.ModuleList()
        for x in self.features:
            width = x.shape[1]
            self.users.append(nn.init.xavier_normal_(torch.empty(graph.n_users, width)))
            for a in (width, 64, 64):
                self.layers.append(nn.ModuleList([nn.Linear(a, a, False), nn.Linear(a, 64)]))
                self.layers.append(nn.Linear(a + 64, 64))

    def start_epoch(self) -> None:
        """Nothing changes between epochs."""

    def forward(self) -> Tensor:
        """Vectors of all nodes."""
        layers, outputs = iter(self.layers), []
        for users, features in zip(self.users, self.features, strict=True):
            x = F.normalize(torch.cat([users, features]))
            for _ in range(3):
                message, own = next(layers)
                h = F.leaky_relu(self.a @ message(x))
                residual = F.leaky_relu(own(x)) + self.ids
                x = F.leaky_relu(next(layers)(torch.cat([h, residual], 1)))
            outputs.append(x)
        return torch.stack(outputs).mean(0)

    def loss(self, u: Tensor, i: Tensor, j: Tensor) -> Tensor:
        """BPR and the squares of what the batch reads."""
        x = self.forward()
        i, j = i + self.graph.n_users, j + self.graph.n_users
        rank = F.softplus((x[u] * (x[j] - x[i])).sum(1)).mean()
        rows = torch.cat([u, i, u, j])
        return rank + 1e-3 * (self.ids[rows].square().mean() + self.users[0].square().mean())


MODELS = {"light_gcn": LightGCN, "freedom": FREEDOM, "mmgcn": MMGCN}


class Trainer:
    """Epochs of Adam over shuffled pairs."""

    def __init__(self, model: nn.Module, graph: Graph, batch_size: int = 2048) -> None:
        self.model, self.graph, self.batch_size = model, graph, batch_size
        self.optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
        self.last = float("nan")

    def _batches(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        order = self.graph.pairs[torch.randperm(len(self.graph.pairs))]
        for rows in order.split(self.batch_size):
            yield rows[:, 0], rows[:, 1], torch.randint(self.graph.n_items, (len(rows),))

    def epoch(self) -> None:
        """One epoch; `last` becomes the mean loss."""
        self.model.start_epoch()
        total = 0.0
        for u, i, j in self._batches():
            loss = self.model.loss(u, i, j)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.step()
            total += loss.item() * len(u)
        self.last = total / len(self.graph.pairs)


def main() -> None:
    """Serve until standard input closes."""
    inputs = harness.peer_inputs()
    with np.load(inputs.problem) as file:
        graph = Graph(file["pairs"], int(file["n_users"]), int(file["n_items"]))
        features = {
            name.removeprefix("x_"): torch.from_numpy(file[name])
            for name in file.files
            if name.startswith("x_")
        }
    torch.manual_seed(0)
    candidates = {}
    for name, build in MODELS.items():
        trainer = Trainer(build(graph, features), graph)
        candidates[name] = harness.timed(trainer.epoch, clock=harness.clock(inputs))
        candidates[f"{name} loss"] = lambda trainer=trainer: trainer.last
    harness.serve(candidates, {"torch": torch.__version__, "threads": torch.get_num_threads()})


if __name__ == "__main__":
    main()
