"""The codes of a catalogue in one file: without it, a trained generator's output means nothing.

Axes: n items, l levels.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from jaxtyping import Integer

from mmjax.data.core.checks import DataError
from mmjax.data.io.files import atomic_path
from mmjax.data.io.readers import PathLike, read_npz
from mmjax.semantic_ids.policies import APPENDING, POLICIES, collisions

_FORMAT = 1
_ARRAYS = ("codes", "item_ids", "codebooks")


@dataclass(frozen=True, eq=False)
class SidTable:
    """Semantic ids: the code of every item, and what they were made from.

    Attributes:
        codes: int32 [n, l], row i of item i; read-only. With an appending policy the last level is
            the token that tells items of equal codes apart.
        sizes: tokens of each level's vocabulary.
        policy: treatment of collisions, one of `mmjax.semantic_ids.policies.POLICIES`.
        item_ids: raw ids [n], strings or integers, each once: which item a row is.
        features: `arrays_sha256` of the features that were encoded; "" if not kept.
        quantiser: `arrays_sha256` of the quantiser's parameters; "" if not kept.
        codebooks: float32 [k, d] of every level, whose sum of rows stands for an item's vector and
            by which new vectors are encoded; none if something else than them made the codes.
        normalise: vectors are scaled to length one before they are encoded.

    Raises:
        DataError: on construction, if a code is no token of its level, a shape or dtype is wrong,
            the policy is unknown, or a raw id repeats.
    """

    codes: np.ndarray
    sizes: tuple[int, ...]
    policy: str
    item_ids: np.ndarray
    features: str = ""
    quantiser: str = ""
    codebooks: tuple[np.ndarray, ...] = ()
    normalise: bool = False

    def __post_init__(self) -> None:
        codes, item_ids = np.asarray(self.codes), np.asarray(self.item_ids)
        _check(codes, self.sizes, self.policy, item_ids)
        codebooks = tuple(np.array(book, np.float32) for book in self.codebooks)
        _check_codebooks(codebooks, self.sizes[: self.levels])
        for book in codebooks:
            book.setflags(write=False)
        object.__setattr__(self, "codebooks", codebooks)
        for name, array in (("codes", codes.astype(np.int32)), ("item_ids", item_ids.copy())):
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        object.__setattr__(self, "sizes", tuple(int(size) for size in self.sizes))

    @property
    def levels(self) -> int:
        """Levels that the quantiser gives, without the token of an appending policy."""
        return len(self.sizes) - (self.policy in APPENDING)

    @property
    def collision_rate(self) -> float:
        """Share of the items that a table without collisions would have more: (n - unique) / n."""
        return sum(len(group) - 1 for group in collisions(self.codes)) / len(self.codes)

    def with_items(
        self, codes: Integer[np.ndarray, "m l"], item_ids: np.ndarray | Sequence[str | int]
    ) -> "SidTable":
        """The table with new items behind the old, whose codes stay as they are.

        `codes` are those of the frozen quantiser. An appending policy gives each the next token
        that is free among the items of its code, and the last level grows where it must; a
        generator with fewer outputs cannot name such an item. Under other policies codes are taken
        as they are and may collide.

        Raises:
            DataError: codes of another number of levels, or what the class itself refuses.
        """
        codes, item_ids = np.asarray(codes), np.asarray(item_ids)
        if (item_ids.dtype.kind == "U") != (self.item_ids.dtype.kind == "U"):
            raise DataError(
                f"new item_ids are {item_ids.dtype}, the table's {self.item_ids.dtype}; give the "
                "same kind"
            )
        if codes.ndim != 2 or codes.shape[1] != self.levels:
            raise DataError(
                f"new codes have shape {list(codes.shape)}; the quantiser of this table has "
                f"{self.levels} levels"
            )
        sizes = self.sizes
        if self.policy in APPENDING:
            codes = np.column_stack([codes, self._next_free(codes)])
            sizes = (*sizes[:-1], max(sizes[-1], int(codes[:, -1].max(initial=-1)) + 1))
        return dataclasses.replace(
            self,
            codes=np.concatenate([self.codes, codes]),
            sizes=sizes,
            item_ids=np.concatenate([self.item_ids, item_ids]),
        )

    def _next_free(self, codes: np.ndarray) -> np.ndarray:
        first = int(self.codes[:, -1].min())
        following: dict[bytes, int] = {}
        for code, token in zip(self.codes[:, :-1].astype(np.int64), self.codes[:, -1], strict=True):
            key = code.tobytes()
            following[key] = max(following.get(key, first), int(token) + 1)
        tokens = np.empty(len(codes), np.int64)
        for row, code in enumerate(codes.astype(np.int64)):
            key = code.tobytes()
            tokens[row] = following.get(key, first)
            following[key] = int(tokens[row]) + 1
        return tokens

    def save(self, path: PathLike) -> None:
        """Write one `.npz` file, in one step.

        Raises:
            OSError: the file cannot be written, or the disk is full.
        """
        about = {
            "format": _FORMAT,
            "sizes": self.sizes,
            "policy": self.policy,
            "features": self.features,
            "quantiser": self.quantiser,
            "unit": self.normalise,  # the word of this format
        }
        none = np.zeros((0, 0), np.float32)
        codebooks = np.concatenate(self.codebooks) if self.codebooks else none
        text = json.dumps(about)
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(
                file,
                sid_table=np.array(text),
                sha256=np.array(_checksum(text, self.codes, self.item_ids, codebooks)),
                codes=self.codes,
                item_ids=self.item_ids,
                codebooks=codebooks,
            )

    @classmethod
    def load(
        cls, path: PathLike, *, features: str | None = None, quantiser: str | None = None
    ) -> "SidTable":
        """The table that `save` wrote; with hashes, only one made from just these.

        Raises:
            DataError: the file is truncated, changed, of another kind or version, or was made from
                other features or another quantiser.
            FileNotFoundError: there is no such file.
        """
        arrays = read_npz(path, ("sid_table", "sha256", *_ARRAYS))
        text, content = str(arrays["sid_table"]), [arrays[name] for name in _ARRAYS]
        if str(arrays["sha256"]) != _checksum(text, *content):
            raise DataError(f"{path}: its content does not fit its checksum; copy or make it again")
        about = json.loads(text)
        if about["format"] != _FORMAT:
            raise DataError(f"{path}: written by another version of mmjax; make it again")
        for name, expected in (("features", features), ("quantiser", quantiser)):
            made_from = about[name]
            if expected is not None and made_from != expected:
                raise DataError(
                    f"{path}: made from other {name} ({made_from[:12] or 'not kept'} instead of "
                    f"{expected[:12]}), so a code would mean another item; encode the catalogue "
                    "again"
                )
        codes, item_ids, codebooks = content
        sizes = tuple(about["sizes"])
        return cls(
            codes=codes,
            sizes=sizes,
            policy=about["policy"],
            item_ids=item_ids,
            features=about["features"],
            quantiser=about["quantiser"],
            codebooks=_split(codebooks, sizes),
            normalise=about["unit"],
        )


def arrays_sha256(*arrays: np.ndarray) -> str:
    """SHA-256 over the dtype, shape and content of arrays, in their order."""
    digest = hashlib.sha256()
    for array in map(np.asarray, arrays):
        digest.update(f"{array.dtype.str}{array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def expected_collisions(n: int, sizes: Sequence[int]) -> float:
    """Expected pairs of items of equal code, if codes were uniform: ``n (n - 1) / 2 / prod K``.

    Codes of real features are far from uniform and collide more often.
    """
    return n * (n - 1) / 2 / math.prod(sizes)


def suggest_sizes(n: int, *, length: int = 3, rate: float = 1e-3) -> tuple[int, ...]:
    """Equal powers of two for `length` levels that n items fit into with few collisions.

    The smallest size, 2 or more, at which fewer than ``rate * n`` pairs of uniform codes would be
    equal, yet no larger than n, since every code needs an item to be fitted to. 12,101 items get
    (256, 256, 256), the sizes that TIGER uses for them (arXiv 2305.05065).

    Raises:
        ValueError: n, length or rate is not positive.
    """
    if n < 1 or length < 1 or rate <= 0:
        raise ValueError(f"n, length and rate must be positive, got {n}, {length} and {rate}")
    size = 2
    while 2 * size <= n and expected_collisions(n, (size,) * length) >= rate * n:
        size *= 2
    return (size,) * length


def _check(codes: np.ndarray, sizes: Sequence[int], policy: str, item_ids: np.ndarray) -> None:
    if codes.dtype.kind not in "iu" or codes.ndim != 2 or not codes.size:
        raise DataError(
            f"codes are {codes.dtype}{list(codes.shape)}; give integers, a row an item and a "
            "column a level"
        )
    if len(sizes) != codes.shape[1]:
        raise DataError(
            f"{len(sizes)} sizes for codes of {codes.shape[1]} levels; give one a level"
        )
    check_levels(codes, sizes, where="codes")
    if policy not in POLICIES:
        raise DataError(f"policy must be one of {', '.join(POLICIES)}, got {policy!r}")
    if item_ids.dtype.kind not in "iuU" or item_ids.shape != (len(codes),):
        raise DataError(
            f"item_ids are {item_ids.dtype}{list(item_ids.shape)}; give a string or an integer for "
            f"each of {len(codes)} items"
        )
    values, counts = np.unique(item_ids, return_counts=True)
    if len(values) < len(item_ids):
        raise DataError(f"item_ids: raw id {values[np.argmax(counts)]!s} stands for several items")


def check_levels(codes: Integer[np.ndarray, "n l"], sizes: Sequence[int], *, where: str) -> None:
    """Refuse codes outside their levels.

    Raises:
        DataError: naming the row, the level and its range.
    """
    bad = (codes < 0) | (codes >= np.array([sizes]))
    if bad.any():
        row = int(np.argmax(bad.any(1)))
        level = int(np.argmax(bad[row]))
        raise DataError(
            f"{where}, row {row}: {codes[row].tolist()} has {codes[row, level]} at level "
            f"{level + 1}, outside 0..{sizes[level] - 1}; {int(bad.any(1).sum())} such rows: give "
            f"codes by level, without offsets, inside the sizes {tuple(sizes)}"
        )


def _check_codebooks(codebooks: Sequence[np.ndarray], sizes: Sequence[int]) -> None:
    shapes = [book.shape for book in codebooks]
    width = shapes[0][-1] if shapes else 0
    if codebooks and shapes != [(size, width) for size in sizes]:
        raise DataError(
            f"codebooks of shapes {shapes} for levels of {tuple(sizes)} codes; give one a level, "
            "all of one width"
        )


def _split(codebooks: np.ndarray, sizes: Sequence[int]) -> tuple[np.ndarray, ...]:
    """Codebooks that were written one below the other."""
    ends = [end for end in accumulate(sizes) if end <= len(codebooks)]
    return tuple(codebooks[start:end] for start, end in zip([0, *ends], ends, strict=False))


def _checksum(text: str, *arrays: np.ndarray) -> str:
    return hashlib.sha256(f"{text}\n{arrays_sha256(*arrays)}".encode()).hexdigest()
