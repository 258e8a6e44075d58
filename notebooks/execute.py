"""Execute notebooks from top to bottom; `--save` keeps the last picture of each.

Other outputs are left out, which keeps the files small and their changes readable.
MMJAX_SMOKE=1 in the environment shortens what trains.

python notebooks/execute.py [--save] [NAME.ipynb ...]
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import nbclient
import nbformat

HERE = Path(__file__).resolve().parent


def execute(path: Path, save: bool) -> None:
    """Run one notebook in a fresh kernel that sees this checkout."""
    notebook = nbformat.read(path, as_version=4)
    started = time.monotonic()
    resources = {"metadata": {"path": str(HERE)}}
    nbclient.NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources=resources
    ).execute()
    print(f"{path.name}: {time.monotonic() - started:.0f} s", flush=True)
    if save:
        strip(notebook)
        fresh = path.with_suffix(".new")
        nbformat.write(notebook, fresh)
        fresh.replace(path)


def strip(notebook: nbformat.NotebookNode) -> None:
    """Take away all outputs but the PNG of the last code cell, and time stamps and counts."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code:
        cell.metadata.pop("execution", None)
        cell.execution_count = None
        pictures = [
            out.data["image/png"] for out in cell.outputs if "image/png" in out.get("data", {})
        ]
        cell.outputs = []
        if cell is code[-1]:
            shown = [{"image/png": picture} for picture in pictures[-1:]]
            cell.outputs = [nbformat.v4.new_output("display_data", data=data) for data in shown]


def main(arguments: list[str]) -> None:
    """Execute the named notebooks, or all of them."""
    save = "--save" in arguments
    names = [a for a in arguments if a != "--save"]
    paths = [HERE / Path(n).name for n in names] if names else sorted(HERE.glob("*.ipynb"))
    if not paths:
        sys.exit(f"There is no notebook in {HERE.name}/.")
    os.environ["PYTHONPATH"] = str(HERE.parent)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{folder}/xla")
        for path in paths:
            execute(path, save)


if __name__ == "__main__":
    main(sys.argv[1:])
