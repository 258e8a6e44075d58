"""Names of folders and of repositories; nothing here asks a network."""

import huggingface_hub
import pytest

from mmjax.encoders.loading.hub import FETCHED_FILES, local_folder
from mmjax.encoders.loading.weights import WeightsError


@pytest.fixture
def asked(monkeypatch, tmp_path):
    calls = []

    def download(name, **options):
        calls.append((name, options))
        if "gone" in name:
            raise huggingface_hub.errors.LocalEntryNotFoundError("no network")
        return str(tmp_path / "copy")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.chdir(tmp_path)
    return calls


def test_a_folder_is_itself(asked, tmp_path):
    (tmp_path / "owner/name").mkdir(parents=True)
    assert local_folder("owner/name").resolve() == tmp_path / "owner/name"
    assert asked == []


def test_a_repository_is_fetched_without_pickles(asked, tmp_path):
    assert local_folder("owner/name", revision="abc") == tmp_path / "copy"
    name, options = asked[0]
    assert (name, options["revision"]) == ("owner/name", "abc")
    assert options["allow_patterns"] == list(FETCHED_FILES) == ["*.safetensors", "*.json", "*.txt"]


def test_what_is_neither(asked, tmp_path):
    (tmp_path / "models").mkdir()
    for name in ("nowhere", "a/b/c", "models/misspelt", tmp_path / "x/y", "/x/y", "../x"):
        with pytest.raises(WeightsError, match="is no folder$"):
            local_folder(name)
    assert asked == []
    with pytest.raises(WeightsError, match="the hub does not give it.*no network.*local folder"):
        local_folder("owner/gone")


def test_without_the_package(monkeypatch, asked):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r'pip install "mmjax\[hub\]"'):
        local_folder("owner/name")
