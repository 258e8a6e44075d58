"""A folder of weights by its name: a local path, or a repository of the Hugging Face hub."""

import os
import re
from pathlib import Path

from mmjax.encoders.loading.weights import WeightsError

FETCHED_FILES = ("*.safetensors", "*.json", "*.txt")
"""Files that are fetched: weights, settings and vocabularies, nothing pickled."""
_SKIPPED_FILES = ("onnx/*", "openvino/*")
_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def local_folder(name: str | os.PathLike[str], *, revision: str | None = None) -> Path:
    """The folder itself, or where the repository ``owner/name`` has been downloaded to.

    What was downloaded once is not fetched again; without a network the copy is used.

    Args:
        name: a folder, or the name of a repository where there is no such folder.
        revision: branch, tag or commit of a repository; None is its main branch.

    Raises:
        WeightsError: there is no such folder, and no repository that the hub gives.
        ImportError: `name` looks like a repository, and huggingface_hub is not installed.
    """
    folder = Path(name)
    if folder.is_dir():
        return folder
    if not (isinstance(name, str) and _NAME.fullmatch(name)) or folder.parent.is_dir():
        raise WeightsError(f"{folder} is no folder")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ImportError(
            f'{name} is no folder; to fetch it from the hub: pip install "mmjax[hub]"'
        ) from error
    try:
        downloaded = snapshot_download(
            name,
            revision=revision,
            allow_patterns=list(FETCHED_FILES),
            ignore_patterns=list(_SKIPPED_FILES),
        )
    except (OSError, ValueError, RuntimeError) as error:  # all of its errors are one of these
        raise WeightsError(
            f"{name} is no folder, and the hub does not give it ({type(error).__name__}: {error}); "
            "check the name and the network, or name a local folder"
        ) from error
    return Path(downloaded)
