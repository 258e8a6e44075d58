"""What a data set is before TFDS has prepared it: its files, their origin, who may use them."""

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmjax.data.core.checks import DataError
from mmjax.data.core.interactions import SPLITS, Interactions
from mmjax.data.io.cache import file_sha256

NAMES = (
    "lastfm_2k",
    "tiktok",
    "amazon_baby",
    "amazon_sports",
    "amazon_clothing",
    "ml_small_mm",
    "amazon_beauty",
    "amazon_toys",
)
"""The data sets with a builder; each is a package `mmjax.data.sets.<name>`."""


@dataclass(frozen=True)
class Source:
    """A named data set.

    Attributes:
        name: its name, also of its package and TFDS builder.
        version: of the builder; a higher one means other content.
        homepage: where it is published.
        licence: terms of use, for people.
        modalities: of the items.
        attributes: of the items.
        read: ``read(directory) -> Interactions``, validated.
        shipped: file -> SHA-256 of the files inside its package; empty if the user has to get it.
        folder: for those, the name that the family of MMRec gives it.
        interactions: for those, the files any of which may hold the interactions.
        origin: for those, where to get the files.
        ordered: whether the rows of each user stand in the order of time, so that they are a
            sequence too.
    """

    name: str
    version: str
    homepage: str
    licence: str
    modalities: tuple[str, ...]
    read: Callable[[Path], Interactions]
    attributes: tuple[str, ...] = ()
    shipped: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""
    interactions: tuple[str, ...] = ()
    origin: str = ""
    ordered: bool = False

    @property
    def feature_files(self) -> tuple[str, ...]:
        """The feature files that a user has to get, one a modality."""
        return tuple(f"{name}_feat.npy" for name in self.modalities)

    @property
    def instructions(self) -> str:
        """What a user has to get, from where, and where to put it."""
        files = " and ".join((self.interactions[0], *self.feature_files))
        return f"Put {files} from {self.origin} into the manual folder."

    def require(self, directory: Path, allow_missing_features: bool = False) -> None:
        """Check that the files a user has to get are in `directory`.

        Raises:
            FileNotFoundError: naming all that are missing, where from, and where to put them.
        """
        missing, hint = [], ""
        if not any((directory / file).exists() for file in self.interactions):
            missing.append(" or ".join(self.interactions))
        if not allow_missing_features:
            features = [file for file in self.feature_files if not (directory / file).exists()]
            missing += features
            if features:
                hint = " To go on without a modality, say allow_missing_features=True."
        if missing:
            raise FileNotFoundError(
                f"{self.name} cannot be shipped, and {directory} lacks {', '.join(missing)}. "
                f"Get them from {self.origin}, and put them there, or give their folder as "
                f"manual_dir.{hint}"
            )


def get_source(name: str) -> Source:
    """The source called `name`.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in NAMES:
        raise ValueError(
            f"no data set {name!r}; choose {', '.join(NAMES)}, or read your own folder by "
            "mmjax.data.load_mmrec"
        )
    return importlib.import_module(f"mmjax.data.sets.{name}.source").SOURCE


def package_directory(source: Source) -> Path:
    """Where the files that are shipped with a data set lie."""
    return Path(__file__).parents[1] / "sets" / source.name


def locate(source: Source, manual_dir: Path) -> Path:
    """The folder of a data set: `<name>/` or `<folder>/` in `manual_dir`, or that itself if it
    holds any of the files; otherwise `<name>/`, where they should be put.
    """
    for candidate in (manual_dir / source.name, manual_dir / source.folder):
        if candidate.is_dir():
            return candidate
    if any((manual_dir / file).exists() for file in (*source.interactions, *source.feature_files)):
        return manual_dir
    return manual_dir / source.name


def check_shipped(directory: Path, shipped: Mapping[str, str]) -> None:
    """Check the SHA-256 of the files shipped with a data set.

    Raises:
        DataError: a file is missing or is not the one that was shipped.
    """
    for name, expected in shipped.items():
        path = directory / name
        if not path.exists():
            raise DataError(f"{path}: missing; it is part of mmjax, so install it again")
        if file_sha256(path) != expected:
            raise DataError(
                f"{path}: not the file that was shipped (SHA-256 differs: truncated or changed); "
                "install mmjax again"
            )


def sorted_by_user(data: Interactions) -> Interactions:
    """The same data set with the rows of each split in the order of users, otherwise as before:
    the order in which named data sets come, whatever files they were read from.
    """
    parts = {
        split: pairs[np.argsort(pairs[:, 0], kind="stable")]
        for split, pairs in ((split, data.pairs(split)) for split in SPLITS)
    }
    return dataclasses.replace(data, **parts)
