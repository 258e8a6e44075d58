"""Galleries without training, of pictures and of documents, by small random encoders."""

import pytest
from PIL import Image

from experiments.avg.__main__ import main
from mmjax.encoders.galleries import search_gallery
from mmjax.errors import UserError
from tests.encoders.sentences import clip_folder


def test_pictures_are_indexed_and_searched(tmp_path, capsys):
    photos, out = tmp_path / "photos", tmp_path / "gallery"
    photos.mkdir()
    for n in range(3):
        Image.new("RGB", (6, 5), (90 * n, 0, 60)).save(photos / f"p{n}.png")
    clip = clip_folder(tmp_path)
    flags = ["index", str(photos), "--encoder", str(clip), "--out", str(out)]
    assert main(flags) == 0
    assert main(["search", "red heart", "--gallery", str(out), "--k", "2"]) == 0
    assert (out / "search.html").read_text().count("<img") == 2
    found = search_gallery(out, "red heart", k=9)
    assert {f.title for f in found} == {"p0", "p1", "p2"}
    assert [f.score for f in found] == sorted((f.score for f in found), reverse=True)
    assert main(flags) == 2
    assert "is not empty" in capsys.readouterr().err
    assert main(["search", "red"]) == 2
    (photos / "bad.png").write_bytes(b"no picture")
    assert main([*flags[:-1], str(tmp_path / "other")]) == 2
    assert "bad.png" in capsys.readouterr().err and not (tmp_path / "other").exists()
    with pytest.raises(UserError, match="holds no gallery"):
        search_gallery(photos, "red")
