"""Records of runs: older words for the rule of exclusion are read as today's."""

import json

import pytest

from mmjax.training.records import ROOT, load_record

OLD = ROOT / "experiments" / "mmgrec" / "results" / "lastfm_2k" / "mmgrec.json"


@pytest.mark.parametrize(
    ("word", "rule"),
    [("mmrec", "train"), ("mig_gt", "train+held_out"), ("train", "train"), ("none", "none")],
)
def test_rules_of_exclusion(tmp_path, word, rule):
    path = tmp_path / "record.json"
    path.write_text(json.dumps({**json.loads(OLD.read_text()), "mask": word}))
    assert load_record(path).exclude == rule


@pytest.mark.parametrize("content", ["{}", "[]", "{"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "record.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="is not a result record"):
        load_record(path)
