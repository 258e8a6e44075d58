"""The tables of a README, made from the records beside it: ``<!-- table:NAME -->`` to
``<!-- end -->``."""

from collections.abc import Mapping
from pathlib import Path

from mmjax.data.io.files import atomic_write_text
from mmjax.training.records import Record, load_record


def filled(text: str, bodies: Mapping[str, str]) -> str:
    """`text` with everything between the two markers of a name replaced by its body.

    Raises:
        ValueError: a marker has no body or no end.
    """
    parts = text.split("<!-- table:")
    out = [parts[0]]
    for part in parts[1:]:
        name, _, rest = part.partition(" -->")
        _, end, tail = rest.partition("<!-- end -->")
        if not end or name not in bodies:
            raise ValueError(f"README.md: marker {name!r} has no end or no record in results/")
        out.append(f"{name} -->\n{bodies[name]}{end}{tail}")
    return "<!-- table:".join(out)


def fill(folder: Path, bodies: Mapping[str, str]) -> Path:
    """Fill the README.md of an experiment's folder; returns its path.

    Raises:
        ValueError: see `filled`.
    """
    path = folder / "README.md"
    atomic_write_text(path, filled(path.read_text(encoding="utf-8"), bodies))
    return path


def records(folder: Path) -> dict[str, dict[str, Record]]:
    """Records by table (a folder of `folder`) and by row (its file name), in order of names."""
    return {
        table.name: {path.stem: load_record(path) for path in sorted(table.glob("*.json"))}
        for table in sorted(folder.iterdir())
        if table.is_dir()
    }
