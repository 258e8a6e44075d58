"""Pictures of any mode as RGB with the right brightness, the right way up.  Needs Pillow."""

import io
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

_FAULTS = (OSError, ValueError, SyntaxError, EOFError, OverflowError, MemoryError)
"""What Pillow raises for files that are damaged (SyntaxError for PNG) or too large."""
_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")


def open_rgb(source: Any) -> Any:
    """The RGB picture of Pillow in a file, its bytes, or a picture of any mode; see `as_rgb`.

    Of an animation the first frame, turned as its camera says.

    Args:
        source: path, bytes of a file, or an image of Pillow.

    Raises:
        ValueError: a file that is missing, damaged, cut off or of more than 179 million pixels, or
            a picture whose brightness is unknown; says why, not which.
        ImportError: Pillow is not installed.
    """
    pillow, ops = _pillow()
    try:
        with warnings.catch_warnings():
            # Pillow warns of half the size that it refuses; what it reads is read.
            warnings.simplefilter("ignore", pillow.DecompressionBombWarning)
            if isinstance(source, pillow.Image):
                return as_rgb(ops.exif_transpose(source))
            file = io.BytesIO(source) if isinstance(source, bytes) else Path(os.fspath(source))
            with pillow.open(file) as opened:
                depth = _depth(opened)
                opened.load()
                return as_rgb(ops.exif_transpose(opened), depth=depth)
    except (*_FAULTS, pillow.DecompressionBombError) as error:
        raise ValueError(str(error) or type(error).__name__) from error


def as_rgb(picture: Any, *, depth: int | None = None) -> Any:
    """An image of Pillow in RGB, on white where it is transparent.

    Wide greys are brought to 0..255: 16 bits by 257; 32-bit integers as 8 bits where all are at
    most 255, else as 16; floats in 0..1 times 255, up to 255 as they are, up to 65,535 by 257.

    Args:
        picture: of any mode.
        depth: bits of a number where the file says so, which tells a dark picture of 16 bits from
            one of 8.

    Raises:
        ValueError: it has no pixels, or numbers of none of these ranges.
    """
    pillow, _ = _pillow()
    if not picture.width or not picture.height:
        raise ValueError(f"{picture.width} x {picture.height} pixels; give a picture with some")
    if picture.mode == "F" or picture.mode.startswith("I"):
        wide = depth == 16 or picture.mode.startswith("I;16")
        grey = as_bytes(np.asarray(picture), sixteen=wide)
        return pillow.fromarray(grey).convert("RGB")
    if picture.mode in _ALPHA or "transparency" in picture.info:
        clear = picture.convert("RGBA")
        white = pillow.new("RGBA", clear.size, (255, 255, 255, 255))
        return pillow.alpha_composite(white, clear).convert("RGB")
    return picture.convert("RGB")


def as_bytes(numbers: np.ndarray, *, sixteen: bool = False) -> np.ndarray:
    """Numbers of pixels as uint8; the ranges of `as_rgb`, `sixteen` for those of 16 bits.

    Raises:
        ValueError: negative, too large or not finite.
    """
    if numbers.dtype == np.uint8:
        return numbers
    if numbers.dtype.kind not in "iuf":
        raise ValueError(f"{numbers.dtype} pixels; give numbers")
    if not np.isfinite(numbers).all():
        raise ValueError("pixels that are NaN or infinite; give numbers in 0..1 or 0..255")
    low, high = float(numbers.min()), float(numbers.max())
    if low < 0 or high > 65_535:
        raise ValueError(f"pixels in {low:g}..{high:g}; give numbers in 0..1, 0..255 or 0..65535")
    if sixteen or numbers.dtype == np.uint16 or high > 255:
        factor = 1 / 257
    else:
        factor = 255.0 if numbers.dtype.kind == "f" and high <= 1 else 1.0
    return np.rint(numbers.astype(np.float64) * factor).astype(np.uint8)


def _depth(picture: Any) -> int | None:
    """16 for a file whose numbers have 16 bits, though Pillow reads them as 32."""
    if picture.mode == "I" and picture.format in ("PNG", "PPM"):
        return 16
    return None


def _pillow() -> tuple[Any, Any]:
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ImportError('images are read by Pillow: pip install "mmjax[images]"') from error
    return Image, ImageOps
