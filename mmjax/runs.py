"""A finished run as an object: it recommends from what the run wrote, wherever the data now lie.

    run = mmjax.load_run("runs/mine")
    run.recommend(["alice"], k=5)              # rows with user, rank, item, title, score
    run.recommend_to([["Heat", "Ronin"]], k=5)  # someone who was not trained on

Axes: u users, i items, h items of a history.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from mmjax.api import task
from mmjax.blocks.ranking.fold_in import fold_in
from mmjax.data.core.catalogue import Catalogue
from mmjax.data.core.checks import DataError
from mmjax.data.core.interactions import Interactions
from mmjax.data.core.sequences import Sequences, Windows, from_lists, in_order_of_time
from mmjax.data.formats.catalogue_files import read_catalogue
from mmjax.data.formats.mmrec import load_mmrec
from mmjax.data.loading import load
from mmjax.data.registry import SOURCES
from mmjax.data.synthetic.interactions import chains, communities, topics
from mmjax.errors import UserError, user_errors
from mmjax.models.common.sequence_task import SequenceTask
from mmjax.models.registry import METHODS
from mmjax.objective import Variables
from mmjax.retriever import (
    Model,
    TopK,
    Vectors,
    by_inner_product,
    given_vectors,
    index_of,
    retrieve,
)
from mmjax.training.best import Best, load_best
from mmjax.training.config import flatten
from mmjax.training.run_config import override
from mmjax.training.seeds import CATALOGUE

Row = dict[str, Any]
"""user, rank, item, title and score of one recommended item; "note" where it is none of the
model's."""
_SYNTHETIC = {"communities": communities, "topics": topics, "chains": chains}
UNTRAINED = "no training row: popular items"
"""Note of the rows of users whom the model does not know."""


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """A trained recommender with its data; made by `load_run`.

    Attributes:
        folder: of the run.
        method: key of `mmjax.models.registry.METHODS`.
        config: the method's hyper-parameters.
        settings: everything that the run wrote about itself, plain JSON values.
        data: its data set.
        seeds: that were trained.
        every: the best variables of each of them.
    """

    folder: Path
    method: str
    config: Any
    settings: Mapping[str, Any]
    data: Interactions | Sequences
    seeds: tuple[int, ...]
    every: tuple[Variables, ...]

    def __repr__(self) -> str:
        return f"FinishedRun({self.method} on {self.data.name}, seeds {list(self.seeds)})"

    @property
    def variables(self) -> Variables:
        """The best variables of the first seed."""
        return self.every[0]

    @cached_property
    def model(self) -> Model:
        """The method on the data of the run; on sequences, after each whole history."""
        if isinstance(self.data, Sequences):
            return self._after(self.data, self._whole(np.arange(self.data.n_users)))
        task_ = task(self.data, dtype=self.settings.get("dtype", "float32"))
        return METHODS[self.method].builder()(self.config, task_)

    def recommend(
        self,
        users: Sequence[str | int] | np.ndarray | None = None,
        k: int = 10,
        *,
        include_seen: bool = False,
        candidates: Mapping[str | int, Sequence[str | int]] | None = None,
    ) -> list[Row]:
        """The k best items of each user with their titles.

        Users without a training row, whom the model does not know, get the most popular items, and
        their rows say so in "note".

        Args:
            users: raw ids; None takes all.
            k: items per user; where fewer are left, there are fewer rows.
            include_seen: recommend items that the user has in training too.
            candidates: raw user id -> raw item ids that may be recommended to that user; users that
                it does not name may get any.

        Raises:
            LookupError: no such user or item; the message suggests similar ids.
            ValueError: k is below 1, or a user is given twice.
        """
        return self.rows(self.numbers(users), k, include_seen=include_seen, candidates=candidates)

    def numbers(self, users: Sequence[str | int] | np.ndarray | None) -> np.ndarray:
        """Numbers of the users with these raw ids, each once; of all for None.

        Raises:
            LookupError: no such user.
        """
        if users is None:
            return np.arange(self.data.n_users)
        return np.array([self.data.user_index(u) for u in dict.fromkeys(users)], int)

    def top(self, users: np.ndarray, k: int, *, include_seen: bool = False) -> TopK:
        """The k best items of users by number; without their training items.

        Raises:
            ValueError: k is below 1.
        """
        queries = users.astype(np.int32)
        if isinstance(self.data, Sequences):
            windows = self._whole(users)
            exclude = None if include_seen else self.data.pairs(windows)
            retriever = self._after(self.data, windows).retriever
            queries = np.arange(len(users), dtype=np.int32)
            return retrieve(retriever, self.variables, queries, k=k, exclude=exclude)
        exclude = None if include_seen else seen_rows(self.data, users)
        return retrieve(self.model.retriever, self.variables, queries, k=k, exclude=exclude)

    def rows(
        self,
        users: np.ndarray,
        k: int,
        *,
        include_seen: bool = False,
        candidates: Mapping[str | int, Sequence[str | int]] | None = None,
    ) -> list[Row]:
        """As `recommend`, of users by number."""
        if k < 1:
            raise ValueError(f"recommend: k = {k}; it must be 1 or more")
        known = self._counts(0) > 0
        wide = k if candidates is None else self.data.n_items
        found = np.full((len(users), wide), -1), np.zeros((len(users), wide))
        warm = np.flatnonzero(known[users])
        if len(warm):
            ids, scores = self.top(users[warm], wide, include_seen=include_seen)
            found[0][warm], found[1][warm] = np.asarray(ids), np.asarray(scores)
        popular = self._counts(1)
        best = np.argsort(-popular, kind="stable")[:wide]
        cold = np.flatnonzero(~known[users])
        found[0][np.ix_(cold, np.arange(len(best)))] = best
        found[1][np.ix_(cold, np.arange(len(best)))] = popular[best]
        if candidates is not None:
            found = self._among(users, candidates, found, k)
        lines = result_rows(self.data, users, found)
        names = {self.data.user_id(int(u)) for u in users[cold]}
        return [r | {"note": UNTRAINED} if r["user"] in names else r for r in lines]

    def recommend_to(
        self,
        histories: Sequence[Sequence[str | int]],
        k: int = 10,
        *,
        ridge: float = 1.0,
        unobserved: float = 0.1,
    ) -> list[Row]:
        """The k best items for people who were not trained on, from what they have.

        A method of sequences reads the history as it does any other. A method that scores by inner
        products gets a vector by least squares on its frozen items (`blocks.ranking.fold_in`).

        Args:
            histories: raw ids of the items of each person, oldest first; rows of the answer number
                the people from 0.
            k: items per person, none of its history.
            ridge, unobserved: of `fold_in`.

        Raises:
            LookupError: no such item.
            UserError: the method needs more than a history; the message says what.
        """
        lists = [[self.data.item_index(raw) for raw in history] for history in histories]
        if not lists or not all(lists):
            raise UserError("recommend_to: give at least one item for each person")
        seen = np.array([(row, i) for row, own in enumerate(lists) for i in own], np.int64)
        if isinstance(self.data, Sequences):
            columns = self.data.columns() | {"user_ids": None, "n_users": len(lists)}
            for name in ("name", "n_users", "n_items", "split"):
                columns.pop(name)
            data = from_lists(lists, self.data.n_items, name=self.data.name, **columns)
            users = np.arange(len(lists), dtype=np.int32)
            model = self._after(data, Windows(users, data.offsets[:-1], data.offsets[1:]))
            found = retrieve(model.retriever, self.variables, users, k=k, exclude=seen)
            return result_rows(_numbered(self.data, len(lists)), users, found)
        vectors = self.vectors()
        longest = max(map(len, lists))
        items = np.zeros((len(lists), longest), np.int32)
        where = np.arange(longest)[None] < np.array([len(own) for own in lists])[:, None]
        for row, own in enumerate(lists):
            items[row, : len(own)] = own
        options = {"ridge": ridge, "unobserved": unobserved}
        tastes = fold_in(vectors.items, jnp.asarray(items), jnp.asarray(where), **options)
        found = self._nearest(Vectors(tastes, vectors.items), seen, k)
        return result_rows(_numbered(self.data, len(lists)), np.arange(len(lists)), found)

    def vectors(self) -> Vectors:
        """Vectors of all users and items, of a method that scores by their inner products.

        Raises:
            UserError: the method scores otherwise.
        """
        retriever = self.model.retriever
        if isinstance(self.data, Sequences) or not by_inner_product(retriever):
            raise UserError(
                f"{self.method} does not score by inner products of users and items, so that a "
                "new person has no vector: train with that person's rows, or choose another method"
            )
        return Vectors(*index_of(retriever, self.variables))

    def _nearest(self, vectors: Vectors, seen: np.ndarray, k: int) -> TopK:
        users = np.arange(len(vectors.users), dtype=np.int32)
        return retrieve(given_vectors(self.data.n_items), vectors, users, k=k, exclude=seen)

    def _counts(self, column: int) -> np.ndarray:
        """Training rows of each user (0) or item (1)."""
        sizes = self.data.n_users, self.data.n_items
        data = self.data
        if isinstance(data, Sequences):
            user = np.repeat(np.arange(data.n_users), data.lengths)
            return np.bincount((user, data.items)[column], minlength=sizes[column])
        return np.bincount(data.train[:, column], minlength=sizes[column])

    def _among(
        self,
        users: np.ndarray,
        candidates: Mapping[str | int, Sequence[str | int]],
        found: tuple[np.ndarray, np.ndarray],
        k: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The first k of what each user may get."""
        allowed = np.ones((len(users), self.data.n_items), bool)
        row_of = {int(user): row for row, user in enumerate(users)}
        for raw, items in candidates.items():
            row = row_of.get(self.data.user_index(raw))
            if row is not None:
                allowed[row] = False
                allowed[row, [self.data.item_index(item) for item in items]] = True
        ids, scores = found
        kept = (ids >= 0) & np.take_along_axis(allowed, np.maximum(ids, 0), 1)
        order = np.argsort(~kept, axis=1, kind="stable")[:, :k]
        there = np.take_along_axis(kept, order, 1)
        return (
            np.where(there, np.take_along_axis(ids, order, 1), -1),
            np.take_along_axis(scores, order, 1),
        )

    def _whole(self, users: np.ndarray) -> Windows:
        data = self.data
        assert isinstance(data, Sequences)
        return Windows(users.astype(np.int32), data.offsets[users], data.offsets[users + 1])

    def _after(self, data: Sequences, windows: Windows) -> Model:
        labels = {name: a.labels for name, a in self.data.attributes.items()}
        sequences = SequenceTask(
            data.items,
            windows.start,
            windows.stop,
            data.n_items,
            self.data.features,
            labels,
            windows.user,
        )
        return METHODS[self.method].builder()(self.config, sequences)


def load_run(
    folder: str | Path,
    data: str | Path | Interactions | Sequences | None = None,
    *,
    data_dir: str | Path | None = None,
    manual_dir: str | Path | None = None,
) -> FinishedRun:
    """The recommender that a run trained, from the files of its folder.

    Args:
        folder: of a run (with several seeds one after the other: of one, such as runs/x/seed_0).
        data: the data set, or where it lies now; None looks where the run found it.
        data_dir, manual_dir: see `mmjax.data.load`.

    Raises:
        UserError: no checkpoint there, no run of a recommender, a method that only its experiment
            can rebuild, data that are not there, or other data than the run was trained on: says
            which users and items are new or gone.
    """
    folder = Path(folder)
    best = load_best(folder)
    settings = _settings(folder, best)
    with user_errors():
        kind = METHODS[settings["method"]].kind
        found = _data(settings, data, kind, data_dir, manual_dir)
    return rebuilt(folder, best, found)


def rebuilt(folder: Path, best: Best, data: Interactions | Sequences) -> FinishedRun:
    """The recommender of a run whose checkpoint and data are read already.

    Raises:
        UserError: as `load_run`.
    """
    settings = _settings(folder, best)
    check_content(folder, settings, data)
    config = METHODS[settings["method"]].config_class()()
    config = override(config, flatten(dict(settings["model"])))
    return FinishedRun(
        folder, settings["method"], config, settings, data, best.seeds, tuple(best.variables)
    )


def _settings(folder: Path, best: Best) -> Mapping[str, Any]:
    """What a run of a recommender that can be rebuilt here wrote about itself."""
    settings = best.description.get("run")
    if not isinstance(settings, Mapping) or settings.get("method") not in METHODS:
        raise UserError(f"{folder} holds no run of a recommender")
    method = METHODS[settings["method"]]
    command = f"python -m experiments.{settings['method']} recommend --workdir {folder}"
    if method.kind not in ("interactions", "sequences") or settings["method"] in _BY_COMMAND:
        raise UserError(f"{method.title}: rebuilt by its experiment alone; use {command}")
    return settings


_BY_COMMAND = ("tiger", "mmgrec")


def _data(
    settings: Mapping[str, Any],
    data: str | Path | Interactions | Sequences | None,
    kind: str,
    data_dir: str | Path | None,
    manual_dir: str | Path | None,
) -> Interactions | Sequences:
    if isinstance(data, Interactions | Sequences):
        found = data
    else:
        place = str(settings["data"] if data is None else data)
        if place in _SYNTHETIC:
            found = _SYNTHETIC[place]()
        elif place in SOURCES:
            named: Any = {"data_dir": data_dir, "manual_dir": manual_dir}
            chosen: Any = kind
            found = load(place, kind=chosen, allow_missing_features=True, **named)
        elif Path(place).is_dir():
            found = load_mmrec(place)
        else:
            raise DataError(
                f"{place}: no such folder, though the run was trained on it; if the data were "
                "moved, name their place by data= (--data)"
            )
    if kind == "sequences":
        return in_order_of_time(found) if isinstance(found, Interactions) else found
    assert isinstance(found, Interactions)
    return found.filter_cold_users()


def check_content(folder: Path, settings: Mapping[str, Any], data: Catalogue) -> None:
    """Refuse data that are not those of the run.

    Raises:
        DataError: says what differs: users or items that are new or gone, or the content.
    """
    if settings.get("data_digest") in (None, data.digest):
        return
    kept = read_catalogue(folder / CATALOGUE)
    told = []
    for what, count in (("users", data.n_users), ("items", data.n_items)):
        ids = getattr(data, f"{what[:-1]}_ids")
        before = None if kept is None else kept[f"{what[:-1]}_ids"]
        if kept is not None and kept[f"n_{what}"] != count:
            told.append(f"{kept[f'n_{what}']:,} {what} then, {count:,} now")
        if before is not None and ids is not None:
            old, new = set(map(str, before)), set(map(str, ids))
            for word, names in (("new", new - old), ("gone", old - new)):
                if names:
                    told.append(f"{len(names):,} {what} {word}, such as {min(names)}")
    differs = "; ".join(told) or "the same users and items, but other interactions or features"
    raise DataError(
        f"{data.name} is not what the run in {folder} was trained on: {differs}. Name the data of "
        "that time by data= (--data), or train again"
    )


def seen_rows(data: Interactions, users: np.ndarray) -> np.ndarray:
    """(row of `users`, item) of every training pair of these distinct users."""
    row = np.full(data.n_users, -1)
    row[users] = np.arange(len(users))
    pairs = np.stack([row[data.train[:, 0]], data.train[:, 1]], 1)
    return pairs[pairs[:, 0] >= 0].astype(np.int32)


def result_rows(data: Catalogue, users: np.ndarray, found: Any) -> list[Row]:
    """One row per retrieved item: user, rank, item, title, score; -1 is no item.

    Args:
        data: names of users and items.
        users: numbers of the users.
        found: ids and scores, a row for each of them.
    """
    ids, scores = (np.asarray(x) for x in found)
    return [
        {
            "user": data.user_id(int(user)),
            "rank": rank + 1,
            "item": data.item_id(int(item)),
            "title": data.item_title(int(item)),
            "score": float(score),
        }
        for user, items, values in zip(users, ids, scores, strict=True)
        for rank, (item, score) in enumerate(zip(items, values, strict=True))
        if item >= 0
    ]


def _numbered(data: Catalogue, people: int) -> Catalogue:
    """The items' names, with people by number."""
    columns = data.columns() | {"user_ids": None, "n_users": people}
    return Catalogue(**columns)
