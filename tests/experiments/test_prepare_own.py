"""Commands that prepare collections and captioned pictures."""

from PIL import Image

from experiments.prepare import captions, corpus
from mmjax.data import load_captions, load_corpus


def test_a_collection_from_tables(tmp_path, capsys):
    files = {"documents": "id,text\n1,wine\nNA,beer\n", "queries": "id,text\nq,red drink\n"}
    files["judgements"] = "query,document,grade\nq,NA,2\n"
    flags = []
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text)
        flags += [f"--{name}", str(tmp_path / f"{name}.csv")]
    out = ["--out", str(tmp_path / "drinks")]
    assert corpus.main([*flags, *out]) == 0
    read = load_corpus(tmp_path / "drinks")
    assert read.judgements["test"].grade.tolist() == [2] and read.document_ids == ("1", "NA")
    assert corpus.main([*flags, *out]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert corpus.main([*flags, "--out", str(tmp_path / "b"), "--test", "x.csv"]) == 2
    assert corpus.main([*flags[:2], "--queries", "none.csv", "--out", str(tmp_path / "b")]) == 2
    assert "none.csv: no such file" in capsys.readouterr().err


def test_captions_from_a_table(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    for n in range(6):
        Image.new("RGB", (3, 3)).save(tmp_path / "photos" / f"{n}.png")
    rows = "".join(f"{n}.png,a picture {n}\n" for n in range(6))
    (tmp_path / "photos" / "captions.csv").write_text("path,title\n" + rows)
    out, ratio = tmp_path / "table.jsonl", ["--ratio", "4", "1", "1"]
    assert captions.main([str(tmp_path / "photos"), "--out", str(out), *ratio]) == 0
    data = load_captions(out)
    assert sorted(data.split.tolist()) == [0, 0, 0, 0, 1, 2] and len(data.text) == 6
    assert captions.main([str(tmp_path / "photos"), "--out", str(out)]) == 2
    assert captions.main([str(tmp_path / "none"), "--out", str(tmp_path / "b.jsonl")]) == 2
    assert "no such file or folder" in capsys.readouterr().err
