"""`python -m experiments prepare-captions`: captioned pictures, checked, as one table."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from experiments.prepare import exit_status
from mmjax.errors import UserError, user_errors

PROGRAM = "python -m experiments prepare-captions"


@dataclass(frozen=True)
class PrepareCaptions:
    """Flags of the command."""

    captions: tyro.conf.Positional[Path]
    """CSV, TSV, JSON lines, Parquet, or JSON of COCO or Karpathy; or a folder with one of these."""
    out: Path
    """Table to write, .jsonl: picture, split and caption of each row; `--data` of
    `experiments.avg` takes it."""
    images: Path | None = None
    """Folder of the pictures; default is that of the captions."""
    image: str = ""
    """Column of the pictures' paths; default is found by name."""
    text: str = ""
    """Column of the captions."""
    split: str = ""
    """Column of the splits."""
    ratio: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Shares of training, validation and test, where no split is given."""
    seed: int = 0
    """Of the pictures that are dealt."""


def prepare(flags: PrepareCaptions) -> str:
    """Read, check and write; returns what was written.

    Raises:
        UserError: captions or pictures are missing or broken, or the output cannot be written.
    """
    import json

    from mmjax.data import load_captions
    from mmjax.data.core.captioned import SPLITS
    from mmjax.data.io.files import atomic_write_text

    if flags.out.suffix != ".jsonl" or flags.out.exists():
        raise UserError(f"--out {flags.out}: name a new file that ends in .jsonl")
    columns = {name: getattr(flags, name) for name in ("image", "text", "split")}
    rules = {"ratio": flags.ratio, "seed": flags.seed, "images": flags.images}
    with user_errors():
        try:
            data = load_captions(flags.captions, **columns, **rules)
            flags.out.parent.mkdir(parents=True, exist_ok=True)
            base = flags.captions if flags.captions.is_dir() else flags.captions.parent
            folder = (flags.images or base).resolve()
            lines = []
            for text, image in zip(data.text, data.image.tolist(), strict=True):
                own = folder / data.image_ids[image]
                row = {
                    "image": str(own) if own.is_file() else data.image_ids[image],
                    "split": SPLITS[data.split[image]],
                    "caption": text,
                }
                lines.append(json.dumps(row, ensure_ascii=False))
            atomic_write_text(flags.out, "\n".join(lines) + "\n")
        except OSError as error:
            raise UserError(str(error)) from error
    return f"{data}\nwritten to {flags.out}"


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status, 2 for an error that the user can mend."""
    flags = tyro.cli(
        PrepareCaptions,
        args=arguments,
        prog=PROGRAM,
        description="Captioned pictures, checked, as one table with splits.",
    )
    return exit_status(lambda: prepare(flags))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
