"""The progress bar of everything that takes long: plain in a terminal, of widgets in a notebook."""

import warnings

from tqdm import TqdmWarning

with warnings.catch_warnings():
    # In a notebook without ipywidgets a plain bar is what there is; the user can do without.
    warnings.simplefilter("ignore", TqdmWarning)
    from tqdm.auto import tqdm

__all__ = ["tqdm"]
