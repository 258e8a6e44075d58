"""Data sets by name."""

from mmjax.data.interactions import Interactions
from mmjax.data.readers import PathLike
from mmjax.data.source import get_source, package_directory


def load(
    name: str, *, data_dir: PathLike | None = None, manual_dir: PathLike | None = None
) -> Interactions:
    """The data set called `name`."""
    source = get_source(name)
    return source.read(package_directory(source), False)
