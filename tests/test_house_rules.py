"""The checkers of `house_rules` find what they are for, and nothing else."""

import pytest

from tests.house_rules import (
    ADDRESS,
    PIN,
    SMELL,
    circle,
    classes_of_one_name,
    detours,
    hidden_imports,
    matches,
    packages,
    undocumented,
    wrong_arrows,
    wrong_inner_arrows,
)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("mmjax.blocks.graphs.graph", "from mmjax.data import files"),
        ("mmjax.blocks.graphs.graph", "import mmjax.objective"),
        ("mmjax.blocks.graphs.graph", "from ...layers.mlp import MLP"),
        ("mmjax.layers.mlp", "from mmjax import models"),
        ("mmjax.models.multimodal.freedom", "def f():\n    from mmjax.training.fitting import fit"),
        ("mmjax.models.multimodal.freedom", "import mmjax.data.loading"),
        ("mmjax.data.loading", "from mmjax.models import freedom"),
        ("mmjax.data.loading", "import jax.numpy as jnp"),
        ("mmjax.models.multimodal.freedom.config", "from flax import linen"),
        ("mmjax.training.fitting", "from mmjax.encoders.image_text.clip import CLIP"),
        ("mmjax.viz.curves", "import experiments.mig_gt"),
        ("mmjax.objective", "from .blocks import losses"),
        ("mmjax.__init__", "from . import blocks"),
        ("mmjax.data.io.files", "import pickle"),
    ],
)
def test_a_wrong_arrow_is_found(module, source):
    assert len(wrong_arrows({module: source})) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "mmjax.blocks.graphs.graph",
            "from mmjax.blocks import losses\nfrom .losses import bpr\nimport jax",
        ),
        (
            "mmjax.models.multimodal.freedom",
            "from mmjax.objective import Aux\nfrom mmjax.blocks import graph",
        ),
        ("mmjax.training.fitting", "from mmjax.data.io.files import atomic_path\nimport optax"),
        ("mmjax.data.__init__", "from .loading import load"),
        ("mmjax.data.loading", "from mmjax import __version__"),
    ],
)
def test_a_right_arrow_is_let_through(module, source):
    assert wrong_arrows({module: source}) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("mmjax.data.core.words", "from mmjax.data.io import files"),
        ("mmjax.data.core.words", "from ..io.files import atomic_path"),
        ("mmjax.data.io.files", "def f():\n    from mmjax.data.sets.builders import BUILDERS"),
        ("mmjax.data.formats.mmrec", "from mmjax.data import registry"),
        ("mmjax.data.sets.tiktok.source", "import mmjax.data.registry"),
        ("mmjax.data.registry", "from mmjax.data.loading import load"),
        ("mmjax.data.shelf.new", "from mmjax.data.core import words"),
    ],
)
def test_a_wrong_inner_arrow_is_found(module, source):
    assert len(wrong_inner_arrows({module: source})) == 1
    assert wrong_arrows({module: source}) == []


def test_a_right_inner_arrow_is_let_through():
    source = "from mmjax.data.io import files\nfrom mmjax.data.sets.common import source"
    assert wrong_inner_arrows({"mmjax.data.sets.tiktok.source": source}) == []
    assert wrong_inner_arrows({"mmjax.viz.files": source}) == []


def test_a_hidden_import_is_found():
    source = "import importlib\nimportlib.import_module(f'mmjax.{x}')\n__import__('os')"
    assert hidden_imports({"m": source}) == ["m:2: importlib.import_module(f'mmjax.{x}')"]


def test_a_circle_is_found():
    chain = {
        "mmjax.a": "from mmjax import b",
        "mmjax.b": "from mmjax.c.d import e",
        "mmjax.c.d": "",
    }
    assert circle(chain) == []
    assert set(circle({**chain, "mmjax.c.d": "def late():\n    import mmjax.a"})) == {
        "mmjax.a",
        "mmjax.b",
        "mmjax.c.d",
    }
    assert circle({"mmjax.p.__init__": "from .q import f", "mmjax.p.q": "from mmjax.p import g"})


def test_a_circle_between_packages_is_found():
    chain = {"p.a.x": "from p.b import y", "p.b.y": "", "p.b.z": "import q", "p.c": ""}
    assert circle(packages(chain, "p")) == []
    assert set(circle(packages({**chain, "p.b.z": "from p.a.w import v"}, "p"))) == {"p.a", "p.b"}


def test_classes_of_one_name_are_found():
    sources = {"m": "class A: ...\nclass _B: ...\nclass C: ...", "n": "class A: ...\nclass _B: ..."}
    assert classes_of_one_name(sources) == {"A": ["m", "n"]}


def test_missing_docstrings_are_found():
    assert undocumented({"m": "x = 1"}) == ["m"]
    source = '"""Doc."""\nclass A:\n    """Doc."""\n    def f(self): ...\n    def _g(self): ...\n'
    assert undocumented({"m": source}) == ["m.A.f:4"]
    assert undocumented({"m": '"""Doc."""\ndef f():\n    def inner(): ...\n'}) == ["m.f:2"]


@pytest.mark.parametrize(
    "bad", ["/".join(["", "root", "x"]), "see " + ".".join(["https://pypi", "org"])]
)
def test_addresses_are_found(bad):
    assert matches(ADDRESS, "f", f"one\n{bad}") == [f"f:2: {bad}"]
    assert matches(ADDRESS, "f", "a/work/b ~/tmp/x") == []


@pytest.mark.parametrize("bad", ["x = 1  # noqa", "# TO" + "DO later", "try: f()\nexcept: pass"])
def test_left_overs_are_found(bad):
    assert len(matches(SMELL, "f", bad)) == 1


def test_pins_with_addresses_are_refused():
    for bad in ("a @ file:x", "a>=1", "a==1 --hash=sha256:0", "-r other.txt", "# note", "./a"):
        assert not PIN.fullmatch(bad)
    assert PIN.fullmatch("jraph==0.0.6.dev0")


def test_detours_are_found():
    assert detours({"experiments.common.run": "from experiments.mig_gt import config"}) != []
    assert detours({"experiments.common.run": "from experiments.benchmarks import growth"}) != []
    assert detours({"experiments.tiger.run": "from experiments.avg import run"}) != []
    assert detours({"experiments.tiger.run": "from experiments.common import readme"}) == []
    assert detours({"experiments.bench.run": "from experiments.mig_gt import config"}) == []
