"""`python -m experiments prepare`: from one's own tables to a folder that every command takes."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from experiments.prepare import exit_status
from mmjax.errors import UserError, user_errors

PROGRAM = "python -m experiments prepare"


@dataclass(frozen=True, kw_only=True)
class Prepare:
    """Read a table of interactions, and perhaps one of items, into a data folder."""

    table: Annotated[Path, tyro.conf.Positional]
    """CSV, TSV or any delimited file, Parquet, JSON lines, or RecBole's .inter; .gz too."""
    out: Path
    """Folder to write; it must be new or empty."""
    items: Path | None = None
    """Table of the items: titles, texts, paths of pictures, attributes."""
    name: str | None = None
    """Name of the data set; default that of the file."""
    user: str | None = None
    """Column of raw user ids; common spellings are known, here and below."""
    item: str | None = None
    """Column of raw item ids."""
    time: str | None = None
    """Column of times, numbers or ISO dates."""
    rating: str | None = None
    """Column of ratings."""
    delimiter: str | None = None
    """What separates columns, such as ";" or "::"; default what the first line shows."""
    columns: tuple[str, ...] | None = None
    """Names of all columns of a file without a header line."""
    min_rating: float | None = None
    """Drop ratings below this one."""
    k_core: int = 5
    """Fewest interactions of a user and of an item; 0 keeps all."""
    split: str = "mmrec"
    """mmrec, random-8:1:1, leave-one-out, global-time, items-8:1:1, or none (all to train)."""
    seed: int = 0
    """Of a random split."""
    key: str | None = None
    """Column of raw item ids in the table of items."""
    title: str | None = None
    """Column of titles in it."""
    text: tuple[str, ...] = ()
    """Columns of texts in it, joined."""
    picture: str | None = None
    """Column of paths of pictures in it."""
    tags: str | None = None
    """Column of tags in it, separated by commas or bars."""
    attributes: tuple[str, ...] = ()
    """Columns of classes in it, such as brand."""
    pictures: Path | None = None
    """Folder in which relative paths of pictures lie; default that of the table of items."""
    features: tuple[str, ...] = ()
    """Vectors that are there already: modality=file.npy, a row for each row of the items."""
    encode: tuple[str, ...] = ()
    """Encoders to run: text=FOLDER image=FOLDER, of published weights or a name on the hub."""
    missing: Literal["zero", "mean"] = "zero"
    """Vectors of items without a text or picture: zeros, or the mean of the others."""
    batch_size: int = 64
    """Texts or pictures that are encoded at once."""
    cache: Path | None = None
    """Folder where vectors are kept on the way, so that what was cut short goes on; default
    ~/.cache/mmjax/vectors."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status, 2 for an error that the user can mend."""
    flags = tyro.cli(Prepare, args=arguments, prog=PROGRAM)
    return exit_status(lambda: run(flags))


def run(flags: Prepare) -> str:
    """Write the folder; what was read and dropped, and which commands come next, as text.

    Raises:
        UserError: as `mmjax.data.prepare`, or an encoder that is not there.
    """
    from mmjax.data.formats.preparation import check_new, prepare

    with user_errors():
        check_new(flags.out)
        features = dict(_assigned(words, "--features") for words in flags.features)
        encode = {m: _encoder(flags, m, folder) for m, folder in _encoders(flags).items()}
        own = {"table", "out", "features", "encode", "batch_size", "cache"}
        options = {f.name: getattr(flags, f.name) for f in fields(flags) if f.name not in own}
        data = prepare(flags.table, out=flags.out, features=features, encode=encode, **options)
    return _told(flags, data)


def _encoders(flags: Prepare) -> dict[str, str]:
    found = dict(_assigned(words, "--encode") for words in flags.encode)
    if found and flags.items is None:
        raise UserError("--encode: give the table of items by --items")
    return found


def _assigned(words: str, flag: str) -> tuple[str, str]:
    name, sign, value = words.partition("=")
    if not sign or not value or not name.isidentifier():
        raise UserError(f"{flag} {words}: give modality=folder, such as text=models/minilm")
    return name, value


def _encoder(flags: Prepare, modality: str, folder: str) -> Callable[[list[Any]], Any]:
    # Loaded before any row is read: a folder that is no encoder is told at once.
    from mmjax.encoders import load_image_encoder, load_text_encoder

    load = load_image_encoder if modality == "image" else load_text_encoder
    cache = flags.cache or Path.home() / ".cache" / "mmjax" / "vectors"
    return functools.partial(load(folder).encode, batch_size=flags.batch_size, cache=cache)


def _told(flags: Prepare, data: Any) -> str:
    found = data.provenance
    lines = [f"read {found['rows']:,} rows of {flags.table}"]
    lines += [f"  dropped {count:,}: {reason}" for reason, count in found["dropped"].items()]
    lines += [
        "  columns " + ", ".join(f"{role} = {column}" for role, column in found["columns"].items()),
        str(data),
    ]
    for name, mask in data.absent.items():
        lines.append(f"  {mask.sum():,} items have no {name}: {flags.missing}")
    if data.empty_splits():
        lines.append(f"  no rows for {' and '.join(data.empty_splits())}")
    method = "" if data.features else " --method light_gcn"
    sequences = f"\n  python -m experiments.tiger --method sasrec --data {flags.out}"
    return (
        "\n".join(lines)
        + (
            f"\nwrote {flags.out}; next\n"
            f"  python -m experiments.bench --data {flags.out}\n"
            f"  python -m experiments.mig_gt{method} --data {flags.out} "
            f"--workdir runs/{data.name}\n"
            f"  python -m experiments.mig_gt recommend --workdir runs/{data.name}"
        )
        + (sequences if data.times else "")
    )
