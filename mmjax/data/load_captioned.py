"""Images with texts about them, by name."""

import os
from pathlib import Path

from mmjax.data.core.captioned import CaptionedImages
from mmjax.data.formats.captions import HOMEPAGES, load_caption_files
from mmjax.data.io.readers import PathLike
from mmjax.data.load import VARIABLE
from mmjax.data.sets.noto_emoji.source import load_noto_emoji


def load_captioned(name: str, *, manual_dir: PathLike | None = None) -> CaptionedImages:
    """The images called `name`.

    Args:
        name: "noto_emoji" ships with mmjax; "flickr8k", "flickr30k" and "coco" are read from
            `manual_dir`, see `mmjax.data.formats.captions`.
        manual_dir: the folder with a data set's own files, or the one above it; default
            ``manual`` in what the environment variable MMJAX_DATA names, or in ``~/.cache/mmjax``.

    Raises:
        ValueError: no data set of that name.
        FileNotFoundError: files are missing; the message says which, from where, put where.
        DataError: a file is bad.
    """
    if name == "noto_emoji":
        return load_noto_emoji()
    if name not in HOMEPAGES:
        raise ValueError(f"no images called {name!r}; there are noto_emoji, {', '.join(HOMEPAGES)}")
    default = Path(os.environ.get(VARIABLE) or Path.home() / ".cache" / "mmjax") / "manual"
    folder = Path(manual_dir or default).expanduser()
    return load_caption_files(name, folder / name if (folder / name).is_dir() else folder)
