"""Sources of images with captions that a user gets by hand."""

from functools import partial

from mmjax.data.core.captioned import CaptionedImages
from mmjax.data.formats.captions import CAPTIONS, load_caption_files
from mmjax.data.sets.common.source import DataSource


def captioned(name: str, homepage: str, licence: str) -> DataSource[CaptionedImages]:
    """The source of a data set in one of the forms of `mmjax.data.formats.captions`."""
    return DataSource(
        name=name,
        kind="captioned",
        homepage=homepage,
        licence=licence,
        read=partial(load_caption_files, name=name, homepage=homepage),
        manual=(f"dataset_{name}.json", f"{name}_split_captions.json", "captions*.parquet"),
        origin=f"{CAPTIONS} (captions) and {homepage} (images)",
    )
