"""The library as it is installed: the front door works from a wheel, without the checkout."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 60e6
PROGRAM = """
import sys
import mmjax

assert "jax" not in sys.modules, "importing the library loads JAX"
assert mmjax.__file__.startswith({place!r}), mmjax.__file__
import optax
from mmjax.training import FitConfig

data = mmjax.data.communities()
model = mmjax.models.freedom.build(mmjax.models.freedom.FREEDOMConfig(width=16), mmjax.task(data))
brief = FitConfig(epochs=30, eval_every=3, metric="recall@20", quiet=True, tensorboard=False)
validate = mmjax.evaluator(data, "valid")
result = mmjax.fit(
    model, mmjax.pairs(data, 2048), optax.adam(1e-2), validate=validate, config=brief
)
found = mmjax.evaluate(model, result.variables[0], data, "test")
assert result.best_metric[0] == max(r["recall@20"] for r in result.history if "recall@20" in r)
assert "experiments" not in sys.modules
print(found["recall@20"])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this checkout, made without any network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
@pytest.mark.process
def test_the_wheel_holds_the_library_its_data_and_its_types(wheel):
    assert wheel.stat().st_size < LIMIT
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"mmjax/py.typed", "mmjax/__init__.pyi", "mmjax/models/__init__.pyi"} <= names
    assert "mmjax/data/sets/lastfm_2k/features_f16.npz" in names
    assert not [n for n in names if n.startswith(("experiments/", "tests/"))]
    assert not [n for n in names if "__pycache__" in n]


@pytest.mark.slow
@pytest.mark.process
def test_five_lines_train_and_evaluate_outside_the_checkout(wheel, tmp_path):
    place = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(place)
    code = PROGRAM.format(place=str(place))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(place), "PATH": "", "HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    # Twenty of two hundred items at random find a tenth.
    assert float(done.stdout.split()[-1]) > 0.15
