"""Make a virtual environment hold the pinned dependencies; do nothing when it already does.

    python3 .ci/install.py VENV CONSTRAINTS [EXTRA ...]

VENV remembers what it holds in `installed.json`: with the same extras, requirements and pins the
next call ends at once and asks no network. The project itself is not installed: a path file with
a relative path puts the checkout on the environment's module path, so that a checkout may be
moved or renamed. An install that was killed is recognised by its marker and built anew.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)


def requirements(extras):
    """Base requirements of pyproject.toml and those of `extras`, sorted."""
    import tomllib  # Python 3.11: only after the version was looked at

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    known = project["optional-dependencies"]
    unknown = sorted(set(extras) - set(known))
    if unknown:
        sys.exit(f"No extra {', '.join(unknown)} in pyproject.toml; there are {', '.join(known)}.")
    return sorted({*project["dependencies"], *(r for extra in extras for r in known[extra])})


def works(python):
    """Whether `python` runs and has pip; a moved base interpreter or a half venv has not."""
    if not python.exists():
        return False
    done = subprocess.run([python, "-c", "import pip"], capture_output=True, check=False)
    return done.returncode == 0


def create(venv, marker):
    """A new, empty environment in place of whatever is there."""
    if venv.exists():
        print(f"{venv.name} is incomplete or its Python is gone: building it anew.", flush=True)
        shutil.rmtree(venv)
    venv.mkdir()
    marker.touch()
    done = subprocess.run([sys.executable, "-m", "venv", venv], check=False)
    if done.returncode:
        sys.exit(
            f"{sys.executable} could not create {venv.name}. On Debian and Ubuntu the package "
            "python3-venv is needed; other Pythons: make PYTHON=/path/to/python3 ..."
        )


def link_checkout(python):
    """Put the checkout on the module path, by a path relative to the environment."""
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(
        subprocess.run(
            [python, "-c", ask], text=True, capture_output=True, check=True
        ).stdout.strip()
    )
    (site / "mmjax-checkout.pth").write_text(os.path.relpath(ROOT, site) + "\n")


def install(venv, constraints, extras):
    """Bring `venv` to `constraints` and to at least `extras`."""
    record, marker = venv / "installed.json", venv / "install-under-way"
    python = venv / "bin" / "python"
    held = json.loads(record.read_text()) if record.exists() else {"extras": [], "digest": ""}
    extras = sorted({*extras, *held["extras"]})
    wanted = requirements(extras)
    digest = hashlib.sha256("\n".join([constraints.read_text(), *wanted]).encode()).hexdigest()
    complete = not marker.exists() and works(python)
    if complete and held["digest"] == digest:
        return
    if not complete:
        create(venv, marker)
    marker.touch()
    print(
        f"Installing pinned packages into {venv.name} (the first time takes minutes) ...",
        flush=True,
    )
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    quiet = [] if sys.stdout.isatty() else ["--quiet"]
    done = subprocess.run([*pip, *quiet, "-c", constraints, *wanted], check=False)
    if done.returncode:
        if complete:  # pip undoes a failed install: what was held is still held
            marker.unlink()
        sys.exit(f"pip could not install into {venv.name}: see its message above.")
    link_checkout(python)
    fresh = record.with_suffix(".new")
    fresh.write_text(json.dumps({"extras": extras, "digest": digest}))
    fresh.replace(record)
    marker.unlink()


def main():
    """Read the command line, hold the lock, install."""
    if sys.version_info < OLDEST:
        sys.exit(
            f"mmjax needs Python >= {OLDEST[0]}.{OLDEST[1]}; {sys.executable} is "
            f"{sys.version.split()[0]}. Name another one: make PYTHON=python3.12 ..."
        )
    venv, constraints, *extras = sys.argv[1:]
    with open(ROOT / "pyproject.toml") as lock:  # two makes at once take turns
        fcntl.flock(lock, fcntl.LOCK_EX)
        install(ROOT / venv, ROOT / constraints, extras)


if __name__ == "__main__":
    main()
