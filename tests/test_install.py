"""`.ci/install.py`: an environment that is made once, mended when broken, and free to move."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = """
[project]
dependencies = ["pip"]
[project.optional-dependencies]
test = ["pip>1"]
bad = ["pip>9999"]
"""


@pytest.fixture
def checkout(tmp_path):
    """A tiny project with the real installer, in a folder with a space in its name."""
    root = tmp_path / "my checkout"
    (root / ".ci").mkdir(parents=True)
    (root / ".ci/install.py").write_text((ROOT / ".ci/install.py").read_text())
    (root / "pyproject.toml").write_text(PROJECT)
    (root / "constraints.txt").write_text("numpy==2.1.3\n")
    (root / "marked.py").write_text("HERE = True\n")
    return root


def install(root, *extras):
    command = [sys.executable, ".ci/install.py", ".venv", "constraints.txt", *extras]
    offline = os.environ | {"PIP_NO_INDEX": "1"}
    done = subprocess.run(
        command, cwd=root, env=offline, capture_output=True, text=True, timeout=300, check=False
    )
    return done.returncode, done.stdout + done.stderr


def sees_checkout(root, cwd):
    command = [root / ".venv/bin/python", "-c", "import marked; print(marked.__file__)"]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True)
    return Path(done.stdout.strip()) == root / "marked.py"


@pytest.mark.process
def test_an_unknown_extra_is_named(checkout):
    code, said = install(checkout, "tset")
    assert code == 1
    assert "No extra tset" in said
    assert "test, bad" in said
    assert not (checkout / ".venv").exists()


@pytest.mark.slow
@pytest.mark.process
def test_install_again_mend_and_move(checkout, tmp_path):
    assert install(checkout)[0] == 0
    record = checkout / ".venv/installed.json"
    assert install(checkout) == (0, "")  # nothing to do, nothing said

    code, said = install(checkout, "test")
    assert code == 0, said
    assert json.loads(record.read_text())["extras"] == ["test"]
    assert install(checkout) == (0, "")  # fewer extras than it holds

    code, said = install(checkout, "bad")  # pip fails: what was held is still held
    assert code == 1
    assert "pip could not install" in said
    assert install(checkout, "test") == (0, "")

    (checkout / "constraints.txt").write_text("numpy==2.1.2\n")
    assert "Installing" in install(checkout)[1]

    (checkout / ".venv/install-under-way").touch()  # killed in the middle
    assert "building it anew" in install(checkout)[1]
    (checkout / ".venv/bin/python").unlink()  # its Python is gone
    assert "building it anew" in install(checkout)[1]

    moved = checkout.rename(tmp_path / "another: name")
    assert install(moved) == (0, "")
    assert sees_checkout(moved, tmp_path)
