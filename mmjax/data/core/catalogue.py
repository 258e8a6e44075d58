"""Users and items of any data set: names, titles, features, classes.

Axes: u users, i items, d features.
"""

import dataclasses
import difflib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import numpy as np

from mmjax.data.core.checks import DataError, check_features, check_ids

CatalogueT = TypeVar("CatalogueT", bound="Catalogue")


class Attribute(NamedTuple):
    """A categorical attribute of the items, such as their brand."""

    labels: np.ndarray
    """Class of each item, int32 ``[i]``, from 0; what is not known is a class of its own."""
    classes: tuple[str, ...]
    """Names of the classes by label; a class may have no item."""


def attribute_of(values: Sequence[str]) -> Attribute:
    """The attribute whose class is `values[i]` for item i; classes by the alphabet."""
    classes, labels = np.unique(np.array(values, str), return_inverse=True)
    return Attribute(labels.astype(np.int32), tuple(classes.tolist()))


@dataclass(frozen=True, eq=False, kw_only=True)
class Catalogue:
    """Users and items of a data set; what happened between them is for those who extend it.

    All arrays are read-only. Construction checks nothing about the content.

    Attributes:
        name: name of the data set.
        split: name of the split, part of every result (`mmrec`, `leave-one-out`, ...).
        n_users, n_items: ids run over ``0..n-1``; items without any interaction count.
        features: modality -> float32 ``[i d]``, as published (never normalised here).
        user_ids, item_ids: raw ids by index, ``[u]`` and ``[i]``, strings or integers, or None.
        titles: names of the items to show, strings ``[i]``, or None.
        source: where the data came from, for people.
        item_tags: per item its tags, separated by commas, or None.
        attributes: name -> `Attribute`, classes of the items.
        texts: per item what is written about it, "" where nothing is, or None.
        pictures: per item the path of its picture, "" where there is none, or None.
        absent: modality -> bool ``[i]``, items whose row of the features was imputed.
        provenance: how the data set came about, for people: rows dropped by reason, rules.
    """

    name: str
    split: str
    n_users: int
    n_items: int
    features: Mapping[str, np.ndarray] = field(default_factory=dict)
    user_ids: np.ndarray | None = None
    item_ids: np.ndarray | None = None
    titles: np.ndarray | None = None
    source: str = ""
    item_tags: tuple[str, ...] | list[str] | None = None
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    texts: tuple[str, ...] | None = None
    pictures: tuple[str, ...] | None = None
    absent: Mapping[str, np.ndarray] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("user_ids", "item_ids", "titles"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else read_only(_strings(value)))
        features = {name: read_only(self.features[name]) for name in sorted(self.features)}
        object.__setattr__(self, "features", MappingProxyType(features))
        if self.item_tags is not None:
            object.__setattr__(self, "item_tags", tuple(self.item_tags))
        attributes = {
            name: Attribute(read_only(labels), tuple(classes))
            for name, (labels, classes) in sorted(self.attributes.items())
        }
        object.__setattr__(self, "attributes", MappingProxyType(attributes))
        absent = {name: read_only(self.absent[name]) for name in sorted(self.absent)}
        object.__setattr__(self, "absent", MappingProxyType(absent))
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))
        for name in ("texts", "pictures"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, tuple(getattr(self, name)))

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities, sorted."""
        return tuple(self.features)

    def widths(self) -> str:
        """Modalities with their widths, as text."""
        shapes = (f"{name} {array.shape[1]}" for name, array in self.features.items())
        return ", ".join(shapes) or "none"

    def with_features(self: CatalogueT, **features: np.ndarray | None) -> CatalogueT:
        """With these modalities added or replaced, float32 ``[i d]``; None takes one away.

        Raises:
            DataError: a matrix has the wrong shape or dtype, or holds NaN or inf.
        """
        merged = {**self.features, **features}
        kept = {name: array for name, array in merged.items() if array is not None}
        for name in features.keys() & kept.keys():
            _check_modality(name, kept[name], self.n_items, f"features[{name!r}]")
        return dataclasses.replace(self, features=kept)

    def columns(self) -> dict[str, Any]:
        """The fields of a catalogue alone, to make another data set on the same items."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(Catalogue)}

    def events(self) -> dict[str, np.ndarray]:
        """The arrays that say what happened, by name; what extends a catalogue names its own."""
        return {}

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all content (split, sizes, events, features, ids, titles, tags, attributes,
        texts).

        Names, times, paths of pictures and what is for people are left out: the same content under
        another name is the same data.
        """
        digest = hashlib.sha256(f"{self.split}\n{self.n_users}\n{self.n_items}\n".encode())
        arrays: dict[str, np.ndarray | None] = {**self.events()}
        arrays |= {f"features/{name}": array for name, array in self.features.items()}
        arrays |= {name: getattr(self, name) for name in ("user_ids", "item_ids", "titles")}
        for name, (labels, classes) in self.attributes.items():
            arrays |= {f"attributes/{name}": labels, f"classes/{name}": np.array(classes, str)}
        for name, array in arrays.items():
            digest.update(f"{name} {None if array is None else array.shape}\n".encode())
            if array is None:
                continue
            if array.dtype.kind == "U":
                # The padding of fixed-width strings depends on the longest; the text does not.
                digest.update("\0".join(array.tolist()).encode())
            else:
                digest.update(f"{array.dtype.str}\n".encode())
                digest.update(np.ascontiguousarray(array).data)
        digest.update("\0".join(self.item_tags or ()).encode())
        if self.texts is not None:
            digest.update(b"texts\n" + "\0".join(self.texts).encode())
        return digest.hexdigest()

    def user_index(self, raw: str | int) -> int:
        """The index of the user with this raw id (of the index itself if there are no raw ids).

        Raises:
            LookupError: no such user; the message suggests similar ids.
        """
        return _index(self._users, raw, self.n_users, "user")

    def item_index(self, raw: str | int) -> int:
        """The index of the item with this raw id (of the index itself if there are no raw ids).

        Raises:
            LookupError: no such item; the message suggests similar ids.
        """
        return _index(self._items, raw, self.n_items, "item")

    def title_index(self, title: str) -> int:
        """The index of the first item with this title; case does not matter.

        Raises:
            LookupError: no such title; the message suggests similar ones.
        """
        if self.titles is None:
            raise LookupError(f"{self.name} has no titles; look items up by raw id")
        if title.casefold() in self._titles:
            return self._titles[title.casefold()]
        close = difflib.get_close_matches(title.casefold(), list(self._titles), n=3)
        raise _unknown("title", title, [str(self.titles[self._titles[key]]) for key in close])

    def user_id(self, index: int) -> str:
        """Raw id of a user, or its index where there are no raw ids, as a string."""
        return str(index if self.user_ids is None else self.user_ids[index])

    def item_id(self, index: int) -> str:
        """Raw id of an item, or its index where there are no raw ids, as a string."""
        return str(index if self.item_ids is None else self.item_ids[index])

    def item_title(self, index: int) -> str:
        """Title of an item; its raw id, or else its index, where there is none."""
        return self.item_id(index) if self.titles is None else str(self.titles[index])

    @cached_property
    def _users(self) -> dict[str, int] | None:
        return None if self.user_ids is None else _lookup(map(str, self.user_ids.tolist()))

    @cached_property
    def _items(self) -> dict[str, int] | None:
        return None if self.item_ids is None else _lookup(map(str, self.item_ids.tolist()))

    @cached_property
    def _titles(self) -> dict[str, int]:
        titles = [] if self.titles is None else self.titles.tolist()
        return _lookup(str(title).casefold() for title in titles)


def validate_catalogue(data: Catalogue, names: Mapping[str, str]) -> None:
    """Check what a data set says about its items and users; `names` as in `validate`.

    Raises:
        DataError: a feature is NaN or infinite, the number of feature rows, raw ids, titles, tags
            or labels is not the number of items or users, or a label has no class.
    """
    for name, array in data.features.items():
        where = names.get(f"features/{name}", f"features[{name!r}]")
        _check_modality(name, array, data.n_items, where)
    for name, count in (
        ("user_ids", data.n_users),
        ("item_ids", data.n_items),
        ("titles", data.n_items),
        ("item_tags", data.n_items),
        ("texts", data.n_items),
        ("pictures", data.n_items),
    ):
        _check_column(getattr(data, name), count, names.get(name, name), name.endswith("_ids"))
    for name, mask in data.absent.items():
        if name not in data.features or mask.dtype != bool or mask.shape != (data.n_items,):
            raise DataError(
                f"absent[{name!r}]: {mask.dtype}{list(mask.shape)}; give a bool for each of "
                f"{data.n_items} items, of a modality among {', '.join(data.features) or 'none'}"
            )
    for name, attribute in data.attributes.items():
        where = names.get(f"attributes/{name}", f"attributes[{name!r}]")
        _check_attribute(name, attribute, data.n_items, where)


def _strings(value: Any) -> np.ndarray:
    """Arrays of Python strings, such as pandas gives them, as arrays of strings."""
    array = np.asarray(value)
    if array.dtype == object and all(isinstance(entry, str) for entry in array.flat):
        return array.astype(str)
    return array


def _check_modality(name: str, array: np.ndarray, n_items: int, where: str) -> None:
    if not name.isidentifier():
        raise DataError(f"modality {name!r}: choose a name of letters, digits and underscores")
    if array.dtype != np.float32:
        raise DataError(f"{where}: dtype {array.dtype}; convert to float32")
    check_features(array, n_items=n_items, where=where)


def _check_column(column: Sequence | np.ndarray | None, count: int, where: str, ids: bool) -> None:
    if column is None:
        return
    if isinstance(column, np.ndarray) and column.dtype.kind not in "iuU":
        found = f"dtype {column.dtype}"
        if column.dtype == object:
            row = next(n for n, entry in enumerate(column.flat) if not isinstance(entry, str))
            found = f"entry {row} is {column.flat[row]!r}, a {type(column.flat[row]).__name__}"
        raise DataError(f"{where}: {found}; give strings or integers, one kind for all")
    if len(column) != count:
        raise DataError(f"{where}: {len(column)} entries, expected {count}, one per index")
    if ids and len(set(np.asarray(column).tolist())) < count:
        values, repeats = np.unique(np.asarray(column), return_counts=True)
        value = values[np.argmax(repeats)]
        raise DataError(f"{where}: raw id {value!s} stands for more than one index")


def _check_attribute(name: str, attribute: Attribute, n_items: int, where: str) -> None:
    labels, classes = attribute
    if not name.isidentifier():
        raise DataError(f"attribute {name!r}: choose a name of letters, digits and underscores")
    if labels.dtype != np.int32 or labels.ndim != 1:
        raise DataError(
            f"{where}: {labels.dtype}{list(labels.shape)}; give the class of each item as a flat "
            "int32 array"
        )
    if len(labels) != n_items:
        raise DataError(f"{where}: {len(labels)} labels for {n_items} items; give one per item")
    if repeated := {c for c in classes if classes.count(c) > 1}:
        raise DataError(f"{where}: class {min(repeated)!r} occurs twice; name each class once")
    check_ids(labels, where=where, what="label", count=len(classes))


def read_only(array: np.ndarray) -> np.ndarray:
    """A view that cannot be written to; the caller's array stays as it is."""
    view = np.asarray(array).view()
    view.setflags(write=False)
    return view


def _lookup(names) -> dict[str, int]:
    """Name -> index; the first of equal names."""
    table: dict[str, int] = {}
    for index, name in enumerate(names):
        table.setdefault(name, index)
    return table


def _index(table: Mapping[str, int] | None, raw: str | int, count: int, what: str) -> int:
    if table is not None:
        if str(raw) in table:
            return table[str(raw)]
        raise _unknown(what, str(raw), difflib.get_close_matches(str(raw), list(table), n=3))
    if str(raw).isdecimal() and int(raw) < count:
        return int(raw)
    raise LookupError(f"no {what} {str(raw)!r}; there are no raw ids, give an index 0..{count - 1}")


def _unknown(what: str, name: str, close: list[str]) -> LookupError:
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
    return LookupError(f"no {what} {name!r}{hint}")
