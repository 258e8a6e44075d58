"""Published tables are those of the records."""

import json

import pytest

from experiments.ad_drl import tables as ad_drl
from experiments.bench import tables as bench
from experiments.benchmarks import tables as benchmarks
from experiments.common import readme
from experiments.meta_mmf import tables as meta_mmf
from experiments.mig_gt.tables import FOLDER, PUBLISHED, filled, records


def test_readme_tables_are_those_of_the_records():
    text = (FOLDER / "README.md").read_text()
    assert filled(text) == text
    assert all(f"table:{name} -->" in text for name in records())


@pytest.mark.parametrize("tables", [ad_drl, benchmarks, bench, meta_mmf], ids=lambda m: m.__name__)
def test_figures_elsewhere_are_those_of_the_records(tables):
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
    from experiments.mig_gt import tables

    name, rows = next(iter(records().items()))
    for stem, record in rows.items():
        worse = {metric: [0.0 for _ in values] for metric, values in record.test.items()}
        content = json.loads((FOLDER / "results" / name / f"{stem}.json").read_text())
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / f"{stem}.json").write_text(json.dumps(content | {"test": worse}))
    changed = records(tmp_path)
    monkeypatch.setattr(tables, "records", lambda: changed)
    marker = f"<!-- table:{name} -->\n<!-- end -->"
    assert filled(marker) != marker and ".4" not in filled(marker).split("seeds")[0]


def test_an_unknown_marker_is_refused():
    with pytest.raises(ValueError, match="'nothing'"):
        filled("<!-- table:nothing -->\n<!-- end -->")


def test_records_say_where_they_come_from():
    for rows in records().values():
        for record in rows.values():
            assert record.command.startswith("python -m experiments.mig_gt")
            assert record.commit not in ("", "unknown")
            assert len(record.test["recall@20"]) == max(1, len(record.seeds))


def test_published_figures_belong_to_known_methods():
    from experiments.mig_gt.presets import DATA, METHODS

    assert all(method in METHODS and data in DATA for method, data in PUBLISHED)
