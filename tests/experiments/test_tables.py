"""Published tables are those of the records."""

import json

import pytest

from experiments.ad_drl import analysis as ad_drl
from experiments.bench import analysis as bench
from experiments.benchmarks import tables as benchmarks
from experiments.common import baselines, readme
from experiments.common.readme import filled, records
from experiments.meta_mmf import analysis as meta_mmf
from experiments.mig_gt import analysis as mig_gt
from experiments.mig_gt.analysis import PUBLISHED, RESULTS
from experiments.mig_gt.config import DATA

TABLES = [ad_drl, benchmarks, bench, meta_mmf, mig_gt]


@pytest.mark.parametrize("tables", TABLES, ids=lambda m: m.__name__)
def test_readme_tables_are_those_of_the_records(tables):
    text = (tables.FOLDER / "README.md").read_text()
    bodies = tables.bodies()
    assert readme.filled(text, bodies) == text
    assert all(f"table:{name} -->" in text for name in bodies)


def test_records_of_the_bench_say_where_they_come_from():
    rows = [record for rows in bench.records().values() for record in rows]
    assert rows
    for record in rows:
        assert record.command.startswith(
            ("python -m experiments.bench", "python -m experiments.mig")
        )
        assert record.commit not in ("", "unknown")
        assert not record.commit.endswith("+changes")


def test_a_changed_record_changes_the_table(tmp_path, monkeypatch):
    name, rows = next(iter(records(RESULTS).items()))
    for stem, record in rows.items():
        worse = {metric: [0.0 for _ in values] for metric, values in record.test.items()}
        content = json.loads((RESULTS / name / f"{stem}.json").read_text())
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / f"{stem}.json").write_text(json.dumps(content | {"test": worse}))
    monkeypatch.setattr(mig_gt, "RESULTS", tmp_path)
    marker = f"<!-- table:{name} -->\n<!-- end -->"
    changed = filled(marker, mig_gt.bodies())
    assert changed != marker and ".4" not in changed.split("seeds")[0]


def test_an_unknown_marker_is_refused():
    with pytest.raises(ValueError, match="'nothing'"):
        filled("<!-- table:nothing -->\n<!-- end -->", mig_gt.bodies())


def test_records_say_where_they_come_from():
    for rows in records(RESULTS).values():
        for record in rows.values():
            assert record.command.startswith("python -m experiments.mig_gt")
            assert record.commit not in ("", "unknown")
            assert len(record.test["recall@20"]) == max(1, len(record.seeds))


def test_published_figures_belong_to_known_methods():
    known = ("mig_gt", *baselines.METHODS)
    assert all(method in known and data in DATA for method, data in PUBLISHED)
