"""Sources of named data sets: their files, where these come from, and who may use them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal, TypeVar

from mmjax.data.core.checks import DataError
from mmjax.data.core.interactions import Interactions
from mmjax.data.io.cache import file_sha256

DataT = TypeVar("DataT")
Kind = Literal["interactions", "sequences", "captioned", "passages"]
KINDS: tuple[Kind, ...] = ("interactions", "sequences", "captioned", "passages")


@dataclass(frozen=True, kw_only=True)
class DataSource(Generic[DataT]):
    """A named data set before it is read: the row of the registry.

    Attributes:
        name: its name, also of its package `mmjax.data.sets.<name>` and of its TFDS builder.
        kind: form in which it loads unless another is asked for; "sequences" also load as
            "interactions".
        version: of the builder; a higher one means other content.
        homepage: where it is published.
        licence: terms of use, for people.
        read: ``read(directory) -> data``, validated; of sequences as interactions in order of time.
        shipped: file -> SHA-256 of the files inside its package; empty if the user has to get it.
        manual: for those, the files to get, or patterns of them.
        origin: for those, where to get the files.
        folder: for those, another name under which the files may lie.
    """

    name: str
    kind: Kind
    version: str = "1.0.0"
    homepage: str
    licence: str
    read: Callable[[Path], DataT]
    shipped: Mapping[str, str] = field(default_factory=dict)
    manual: tuple[str, ...] = ()
    origin: str = ""
    folder: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """The files that are shipped, or that a user has to get."""
        return tuple(self.shipped) or self.manual

    @property
    def instructions(self) -> str:
        """Sentence that tells a user what to get, from where, and where to put it."""
        return f"Put {' or '.join(self.files)} from {self.origin} into the manual folder."

    def directory(self, manual_dir: Path) -> Path:
        """The folder of the files: the package of a shipped set, or else a place in `manual_dir`.

        That is `<name>/` or `<folder>/` in `manual_dir`, or `manual_dir` itself if it holds any
        of the files; otherwise `<name>/`, where they should be put.
        """
        if self.shipped:
            return package_directory(self.name)
        for candidate in (manual_dir / self.name, manual_dir / (self.folder or self.name)):
            if candidate.is_dir():
                return candidate
        if any(any(manual_dir.glob(file)) for file in self.files):
            return manual_dir
        return manual_dir / self.name


@dataclass(frozen=True, kw_only=True)
class InteractionSource(DataSource[Interactions]):
    """A named data set of interactions.

    Attributes:
        modalities: of the items.
        attributes: of the items.
        interactions: where a user has to get it, the files any of which may hold the interactions.
    """

    kind: Kind = "interactions"
    modalities: tuple[str, ...]
    attributes: tuple[str, ...] = ()
    interactions: tuple[str, ...] = ()

    @property
    def feature_files(self) -> tuple[str, ...]:
        """The feature files that a user has to get, one a modality."""
        return tuple(f"{name}_feat.npy" for name in self.modalities)

    @property
    def files(self) -> tuple[str, ...]:
        """The files that are shipped, or that a user has to get."""
        return tuple(self.shipped) or (*self.interactions, *self.feature_files)

    @property
    def instructions(self) -> str:
        """Sentence that tells a user what to get, from where, and where to put it."""
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


def package_directory(name: str) -> Path:
    """The folder of the files that are shipped with a data set."""
    return Path(__file__).parents[1] / name


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
