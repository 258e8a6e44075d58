"""The registry: every row complete, every data set with a builder and a page of its own."""

import pytest

from mmjax import data
from mmjax.data.registry import SOURCES, builder, find, kinds_of, listing, names
from mmjax.data.sets.builders import BUILDERS
from mmjax.data.sets.common.source import KINDS, package_directory

SETS = package_directory("common").parent


def test_every_package_is_in_the_registry():
    packages = {path.parent.name for path in SETS.glob("*/source.py")} - {"common"}
    assert packages == set(SOURCES) == set(BUILDERS)


@pytest.mark.parametrize("name", names())
def test_a_row_is_complete(name):
    source, folder = find(name), package_directory(name)
    assert source.name == name and source.homepage.startswith("https://") and source.licence
    assert source.files
    if source.shipped:
        assert all((folder / file).is_file() for file in source.files)
    else:
        assert source.origin in source.instructions
    for page in ("README.md", "CITATIONS.bib", "TAGS.txt"):
        assert (folder / page).read_text().strip()


@pytest.mark.parametrize("name", names())
def test_a_row_has_its_builder(name, tmp_path):
    made = builder(name)
    assert (made.name, made.SOURCE, str(made.VERSION)) == (name, find(name), find(name).version)
    info = made(data_dir=tmp_path).info
    assert (info.homepage, info.redistribution_info.license) == (
        find(name).homepage,
        find(name).licence,
    )


def test_names_by_kind():
    assert names("sequences") == ("amazon_beauty", "amazon_toys")
    assert set(names("sequences")) < set(names("interactions"))
    assert {n for kind in KINDS for n in names(kind)} == set(names())
    assert kinds_of(find("amazon_toys")) == ("sequences", "interactions")
    with pytest.raises(ValueError, match="'pictures' is none of interactions"):
        names("pictures")


def test_unknown_names_list_the_nearest_first():
    with pytest.raises(ValueError, match="no data set 'lastfm'; choose lastfm_2k, .*coco"):
        find("lastfm")
    with pytest.raises(ValueError, match="xquad does not load as captioned, only as passages"):
        find("xquad", "captioned")


def test_the_listing_has_a_line_a_data_set():
    lines = listing().splitlines()[1:]
    assert [line.split()[:3] for line in lines] == [
        [name, source.kind, "shipped" if source.shipped else "manual"]
        for name, source in SOURCES.items()
    ]


def test_public_names_are_there():
    assert sorted(data.__all__, key=str.casefold) == sorted(set(data.__all__), key=str.casefold)
    assert all(hasattr(data, name) for name in data.__all__)
