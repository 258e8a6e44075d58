"""What a data set is before TFDS has prepared it: its files, their origin, who may use them."""

import hashlib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mmjax.data.checks import DataError
from mmjax.data.interactions import Interactions

NAMES = ("lastfm_2k", "tiktok", "amazon_baby", "amazon_sports", "amazon_clothing")
"""The data sets with a builder; each is a package `mmjax.data.<name>`."""


@dataclass(frozen=True)
class Source:
    """A named data set.

    Attributes:
        name: its name, also of its package and TFDS builder.
        version: of the builder; a higher one means other content.
        description: what it is, for people.
        licence: terms of use, for people.
        homepage: where it is published.
        read: ``read(directory, allow_missing_features) -> Interactions``, validated.
        shipped: file -> SHA-256 of the files inside its package; empty if there are none.
        folder: what MMRec calls the data set, hence its folder and `.inter` file, for those that
            are read from a directory of the user.
    """

    name: str
    version: str
    description: str
    licence: str
    homepage: str
    read: Callable[[Path, bool], Interactions]
    shipped: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""


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
    return importlib.import_module(f"mmjax.data.{name}.source").SOURCE


def package_directory(source: Source) -> Path:
    """Where the files that are shipped with a data set lie."""
    return Path(__file__).parent / source.name


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


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
