"""Captioned pictures of one's own, from every form, and what is refused."""

import json

import numpy as np
import pytest
from PIL import Image

from mmjax.data import DataError, load_captions


@pytest.fixture
def pictures(tmp_path):
    for n in range(10):
        Image.new("RGB", (4, 3), (25 * n, 0, 0)).save(tmp_path / f"{n}.png")
    return tmp_path


def table(folder, rows, head="filename,caption"):
    (folder / "captions.csv").write_text("\n".join([head, *rows]) + "\n")
    return folder / "captions.csv"


def test_a_table_with_several_rows_a_picture(pictures):
    rows = [f'{n}.png,"a, {n}"' for n in range(10)]
    data = load_captions(table(pictures, [*rows, "3.png,another\tone"]))
    assert data.image_ids[3] == "3.png" and data.text[3] == "a, 3"
    assert data.text[-1] == "another one" and data.image[-1] == 3
    assert np.bincount(data.split).tolist() == [8, 1, 1]
    assert data.pixels(np.array([4]), 4)[0, 1, 1].tolist() == [100, 0, 0]
    assert load_captions(pictures).digest == data.digest


def test_coco_and_karpathy(pictures):
    coco = {
        "images": [{"id": n, "file_name": f"{n}.png"} for n in range(10)],
        "annotations": [{"image_id": n, "caption": f"c{n}"} for n in range(10)],
    }
    path = pictures / "coco.json"
    path.write_text(json.dumps(coco))
    assert load_captions(path).text == tuple(f"c{n}" for n in range(10))
    parts = ("train", "restval", "val", "test")
    images = [
        {"filename": f"{n}.png", "split": part, "sentences": [{"raw": "x\ud800"}, {"raw": "y"}]}
        for n, part in enumerate(parts)
    ]
    path.write_text(json.dumps({"images": images}))
    data = load_captions(path, name="mine")
    assert data.split.tolist() == [0, 0, 1, 2] and data.text[:2] == ("x\ufffd", "y")
    assert data.name == "mine"
    coco["annotations"][2]["image_id"] = 99
    path.write_text(json.dumps(coco))
    with pytest.raises(DataError, match="annotation 3: image_id 99"):
        load_captions(path)
    path.write_text("[]")
    with pytest.raises(DataError, match="neither captions of COCO"):
        load_captions(path)


@pytest.mark.parametrize(
    ("rows", "head", "message"),
    [
        (["0.png,a", "no.png,b"], "filename,caption", r"1 of 2 pictures .* such as no\.png"),
        (["0.png,a", "bad.png,b"], "filename,caption", r"1 of 2 pictures: .*bad\.png"),
        (["0.png,a", "1.png,"], "filename,caption", "row 3: no caption"),
        (["0.png,a"], "filename,words", "hold none of caption"),
        (["0.png,a,later"], "filename,caption,split", "row 2: split 'later'"),
        (["0.png,a,test", "0.png,b,train"], "filename,caption,split", "row 3: 0.png is of"),
        (["0.png,a,test", "1.png,b,"], "filename,caption,split", "only 1 of 2"),
        (["0.png,a", "1.png,b"], "filename,caption", "too few"),
    ],
)
def test_what_is_wrong_is_named(pictures, rows, head, message):
    (pictures / "bad.png").write_bytes((pictures / "0.png").read_bytes()[:40])
    with pytest.raises(DataError, match=message):
        load_captions(table(pictures, rows, head))
