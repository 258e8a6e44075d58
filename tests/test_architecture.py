"""The house rules of the project, read from its source text."""

import pytest

from tests.house_rules import (
    ADDRESS,
    LINES,
    PIN,
    PRESCRIBED,
    ROOT,
    SMELL,
    circle,
    classes_of_one_name,
    committed,
    detours,
    hidden_imports,
    matches,
    modules,
    packages,
    python,
    undocumented,
    wrong_arrows,
    wrong_inner_arrows,
)


def test_arrows_between_rooms_run_down():
    assert wrong_arrows(modules("mmjax")) == []


def test_arrows_inside_rooms_run_down():
    assert wrong_inner_arrows(modules("mmjax")) == []


def test_no_import_is_hidden_in_a_string():
    assert hidden_imports(modules("mmjax")) == []


@pytest.mark.parametrize("folder", ["mmjax", "experiments"])
def test_no_import_circle(folder):
    assert circle(modules(folder)) == []


def test_no_circle_between_packages_of_encoders():
    assert circle(packages(modules("mmjax"), "mmjax.encoders")) == []


def test_a_class_name_stands_once():
    twice = classes_of_one_name(modules("mmjax"))
    assert {name: twice[name] for name in twice.keys() - PRESCRIBED} == {}


def test_experiments_make_no_detour():
    assert detours(modules("experiments")) == []


PAPER_FILES = {"__init__", "__main__", "config", "run", "analysis"}


def test_a_paper_is_one_folder_of_few_files():
    papers = {}
    for module in modules("experiments"):
        parts = module.split(".")
        if len(parts) == 3 and parts[1] not in ("common", "benchmarks", "bench", "prepare"):
            papers.setdefault(parts[1], set()).add(parts[2])
    assert len(papers) >= 7
    assert {
        name: files - PAPER_FILES for name, files in papers.items() if files - PAPER_FILES
    } == {}


def test_public_names_have_docstrings():
    assert undocumented(modules("mmjax")) == []


@pytest.mark.parametrize("folder", ["mmjax", "experiments", "tests"])
def test_files_are_of_one_topic(folder):
    assert [m for m, source in modules(folder).items() if source.count("\n") > LINES] == []


@pytest.mark.parametrize("folder", ["mmjax", "experiments"])
def test_no_pragmas_left_overs_or_silent_excepts(folder):
    assert [hit for m, source in modules(folder).items() for hit in matches(SMELL, m, source)] == []


def test_no_machine_paths_or_registry_addresses():
    hits = [
        hit
        for f in committed()
        for hit in matches(ADDRESS, str(f.relative_to(ROOT)), f.read_text(errors="replace"))
    ]
    assert hits == []


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-colab.txt"])
def test_constraints_are_plain_pins(name):
    lines = (ROOT / name).read_text().splitlines()
    assert [line for line in lines if not PIN.fullmatch(line)] == []
    names = [line.partition("==")[0].lower().replace("_", "-") for line in lines]
    assert len(names) == len(set(names))


@pytest.mark.process
@pytest.mark.parametrize(
    "module",
    [
        "mmjax",
        "mmjax.data",
        "mmjax.viz",
        "mmjax.models.multimodal.mig_gt.config",
        "mmjax.training.config",
    ],
)
def test_importing_settings_does_not_import_jax(module):
    done = python(f"import {module}, sys; sys.exit('jax' in sys.modules)")
    assert done.returncode == 0, done.stderr


@pytest.mark.process
def test_help_does_not_import_jax():
    done = python(
        "import runpy, sys\n"
        "sys.argv = ['mig_gt', '--help']\n"
        "try:\n"
        "    runpy.run_module('experiments.mig_gt', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        "print('jax' in sys.modules)"
    )
    assert done.stdout.splitlines()[-1:] == ["False"], done.stdout + done.stderr
    assert "--workdir" in done.stdout
