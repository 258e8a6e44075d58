"""The registry of data sets: one row each, and the rows that load as a kind.

A new data set is a package `mmjax/data/sets/<name>` whose `source.SOURCE` stands in `SOURCES` here
and whose TFDS builder stands in `mmjax.data.sets.builders`.
"""

import difflib
from typing import TYPE_CHECKING, Any

from mmjax.data.sets.amazon_baby.source import SOURCE as AMAZON_BABY
from mmjax.data.sets.amazon_beauty.source import SOURCE as AMAZON_BEAUTY
from mmjax.data.sets.amazon_clothing.source import SOURCE as AMAZON_CLOTHING
from mmjax.data.sets.amazon_sports.source import SOURCE as AMAZON_SPORTS
from mmjax.data.sets.amazon_toys.source import SOURCE as AMAZON_TOYS
from mmjax.data.sets.coco.source import SOURCE as COCO
from mmjax.data.sets.common.source import KINDS, DataSource, Kind
from mmjax.data.sets.flickr8k.source import SOURCE as FLICKR8K
from mmjax.data.sets.flickr30k.source import SOURCE as FLICKR30K
from mmjax.data.sets.lastfm_2k.source import SOURCE as LASTFM_2K
from mmjax.data.sets.ml_small_mm.source import SOURCE as ML_SMALL_MM
from mmjax.data.sets.noto_emoji.source import SOURCE as NOTO_EMOJI
from mmjax.data.sets.nq_qed.source import SOURCE as NQ_QED
from mmjax.data.sets.squad_sentences.source import SOURCE as SQUAD_SENTENCES
from mmjax.data.sets.tiktok.source import SOURCE as TIKTOK
from mmjax.data.sets.xquad.source import SOURCE as XQUAD

if TYPE_CHECKING:
    from mmjax.data.sets.common.builder import SourceBuilder

_ROWS: tuple[DataSource[Any], ...] = (
    LASTFM_2K,
    TIKTOK,
    ML_SMALL_MM,
    AMAZON_BABY,
    AMAZON_SPORTS,
    AMAZON_CLOTHING,
    AMAZON_BEAUTY,
    AMAZON_TOYS,
    NOTO_EMOJI,
    FLICKR8K,
    FLICKR30K,
    COCO,
    XQUAD,
    NQ_QED,
    SQUAD_SENTENCES,
)
SOURCES: dict[str, DataSource[Any]] = {source.name: source for source in _ROWS}
"""Name -> row."""
_OWN_FILES: dict[str, str] = {
    "interactions": "mmjax.data.load_mmrec or load_ratings_csv",
    "sequences": "mmjax.data.load_sequences_csv",
    "captioned": "mmjax.data.load_caption_files",
}


def names(kind: str | None = None) -> tuple[str, ...]:
    """Names of the data sets that load as `kind`; None lists all.

    Raises:
        ValueError: no such kind.
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind {kind!r} is none of {', '.join(KINDS)}")
    return tuple(n for n, source in SOURCES.items() if kind is None or kind in kinds_of(source))


def kinds_of(source: DataSource[Any]) -> tuple[Kind, ...]:
    """Kinds that a data set loads as, its own first."""
    return ("sequences", "interactions") if source.kind == "sequences" else (source.kind,)


def find(name: str, kind: str | None = None) -> DataSource[Any]:
    """The row of a data set, which loads as `kind`.

    Raises:
        ValueError: no such kind, or no data set of that name and kind; the message lists what
            there is, the nearest name first.
    """
    known = names(kind)
    if name in known:
        return SOURCES[name]
    if name in SOURCES:
        fault = f"{name} does not load as {kind}, only as {', '.join(kinds_of(SOURCES[name]))}"
    else:
        fault = f"no data set {name!r}"
    nearest = sorted(known, key=lambda n: difflib.SequenceMatcher(None, n, name).ratio())[::-1]
    own = _OWN_FILES.get(kind or "interactions")
    remedy = f", or read your own files by {own}" if own else ""
    raise ValueError(f"{fault}; choose {', '.join(nearest)}{remedy}")


def listing() -> str:
    """The registry as a table of text, a data set a line."""
    rows = [("name", "kind", "files", "licence")]
    for name, source in SOURCES.items():
        rows.append((name, source.kind, "shipped" if source.shipped else "manual", source.licence))
    widths = [max(len(row[n]) for row in rows) for n in range(3)]
    return "\n".join(
        "  ".join([*(text.ljust(n) for text, n in zip(row[:3], widths, strict=True)), row[3]])
        for row in rows
    )


def builder(name: str) -> "type[SourceBuilder]":
    """The TFDS builder of a data set; imports tensorflow-datasets.

    Raises:
        ValueError: no data set of that name.
    """
    # Here, because loading a data set that is cached needs no tensorflow-datasets.
    from mmjax.data.sets.builders import BUILDERS

    return BUILDERS[find(name).name]
