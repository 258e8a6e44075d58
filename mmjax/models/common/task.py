"""Tasks of recommenders: training pairs and item content, as plain arrays.

Axes: e pairs, u users, i items, n = u + i nodes, m features of a modality.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import jax.numpy as jnp
import jraph
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from mmjax.blocks.common.projection import l2_normalise
from mmjax.blocks.graphs.graph import bipartite
from mmjax.blocks.graphs.graph import normalise as normalise_graph
from mmjax.blocks.graphs.knn import knn_graph
from mmjax.blocks.graphs.sparse import Operator, operator

T = TypeVar("T")


class GraphCache:
    """Graphs and features of one task by what they were made with, each made at its first use.

    A cache belongs to its task and ends with it, so that no graph outlives the data; all models
    that are built on the task read the same arrays.
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, Any] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of `key`, which `make` gives the first time."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


@dataclass(frozen=True, eq=False)
class Task:
    """Training pairs of users and items, and the items' features and labels.

    Graphs are made when they are first asked for and kept in `graphs`, so that all models of one
    task share them.

    Attributes:
        train: distinct (user, item) pairs, ids in range.
        n_users, n_items: ids run over ``0..n-1``.
        features: item features by modality, as published.
        labels: by attribute, the class of each item, from 0.
        graphs: what the methods below have made; a copy of the task starts an empty one.
    """

    train: Int[np.ndarray, "e 2"]
    n_users: int
    n_items: int
    features: Mapping[str, Float[Array, "i m"] | Float[np.ndarray, "i m"]] = field(
        default_factory=dict
    )
    labels: Mapping[str, Int[np.ndarray, "i"]] = field(default_factory=dict)
    graphs: GraphCache = field(default_factory=GraphCache, init=False, repr=False)

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers of users and items."""
        return self.n_users, self.n_items

    @property
    def n_nodes(self) -> int:
        """Users and items together; users are the first nodes."""
        return self.n_users + self.n_items

    def content(
        self, modalities: tuple[str, ...] = (), *, normalise: bool = True
    ) -> dict[str, Float[Array, "i m"]]:
        """Features by modality, in the order asked for; none named means all.

        Args:
            modalities: names.
            normalise: scale every row to length one.

        Raises:
            ValueError: there are no features, or a modality is not among them.
        """
        names = modalities or tuple(self.features)
        if missing := [n for n in names if n not in self.features]:
            raise ValueError(f"modalities {missing} are not among the features {[*self.features]}")
        if not names:
            raise ValueError("the method reads item features, but the data have none")
        return {
            n: self.graphs.get(("content", n, normalise), lambda n=n: self._scaled(n, normalise))
            for n in names
        }

    def _scaled(self, name: str, normalise: bool) -> Array:
        x = jnp.asarray(self.features[name])
        return l2_normalise(x) if normalise else x

    def adjacency(self, *, kind: str = "sym", self_loops: bool = False) -> Operator:
        """The user-item graph over all nodes, both directions, normalised as `graph.normalise`."""
        return self.graphs.get(
            ("adjacency", kind, self_loops),
            lambda: operator(normalise_graph(self.pairs_graph(self_loops=self_loops), kind)),
        )

    def pairs_graph(self, *, self_loops: bool = False) -> jraph.GraphsTuple:
        """The user-item graph over all nodes with unit weights."""
        return bipartite(self.train, *self.sizes, self_loops=self_loops)

    def one_way(self, to: str, *, kind: str = "sym") -> Operator:
        """The half of `adjacency` in which "users" read items, or "items" read users.

        Its product is zero at the other kind's nodes.
        """

        def make() -> Operator:
            graph = normalise_graph(self.pairs_graph(), kind)
            receivers = np.asarray(graph.receivers)
            keep = receivers < self.n_users if to == "users" else receivers >= self.n_users
            edges, senders = np.asarray(graph.edges)[keep], np.asarray(graph.senders)[keep]
            return operator(
                graph._replace(
                    edges=edges,
                    senders=senders,
                    receivers=receivers[keep],
                    n_edge=np.array([int(keep.sum())], np.int32),
                )
            )

        if to not in ("users", "items"):
            raise ValueError(f"one_way: to must be 'users' or 'items', got {to!r}")
        return self.graphs.get(("one_way", to, kind), make)

    def item_graph(self, modality: str, *, k: int = 10, kind: str = "bin") -> jraph.GraphsTuple:
        """Each item's k nearest items in a modality; see `knn.knn_graph`."""
        features = self.content((modality,), normalise=False)[modality]
        return self.graphs.get(
            ("items", modality, k, kind),
            lambda: knn_graph(np.asarray(features, np.float32), k=min(k, self.n_items), kind=kind),
        )
