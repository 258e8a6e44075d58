"""Delimited text: every row is read whole, or one error names the row."""

import csv
import gzip
import io
import warnings

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmjax.data.core.checks import DataError
from mmjax.data.io.tables import guess_delimiter, header, read_table
from mmjax.data.io.times import parse_times

WORDS = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00\r\x1f", exclude_categories=["Cs"]),
    max_size=8,
) | st.sampled_from(["NA", "nan", "null", "None", "NaN", '"', '"Heroes', 'a "b" c', "ü,ö", "1e9"])
ROWS = st.lists(st.tuples(WORDS, WORDS, st.integers(0, 99).map(str)), min_size=1, max_size=8)


def text(column):
    return ["" if value is None else value for value in column.to_pylist()]


@given(
    rows=ROWS,
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    bom=st.booleans(),
    end=st.sampled_from(["\n", "\r\n"]),
    zipped=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_what_a_csv_writer_wrote_comes_back(tmp_path_factory, rows, delimiter, bom, end, zipped):
    file = io.StringIO(newline="")
    # Lines of one empty field alone could not be told from blank ones; the last is a number.
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end)
    writer.writerows([("a", "b", "c"), *rows])
    content = ("\ufeff" * bom + file.getvalue()).encode()
    path = tmp_path_factory.mktemp("csv") / ("t.csv.gz" if zipped else "t.csv")
    path.write_bytes(gzip.compress(content) if zipped else content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = read_table(path, dict.fromkeys("abc", "string"), delimiter=delimiter, nulls=True)
    assert list(zip(*(text(table[name]) for name in "abc"), strict=True)) == rows


@given(rows=ROWS, at=st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_with_stray_quotes_all_rows_or_one_error_with_the_row(tmp_path_factory, rows, at):
    """Fields as they are, without the quoting that would protect them, and one stray quote."""
    plain = [[x.replace(",", ".").replace("\n", " ").replace('"', "") for x in r] for r in rows]
    row = at % len(plain)
    plain[row][0] = '"' + plain[row][0]
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_text("a,b,c\n" + "".join(",".join(r) + "\n" for r in plain), encoding="utf-8")
    with pytest.warns(UserWarning, match=f"row {row + 2}: a quote that opens there"):
        table = read_table(path, dict.fromkeys("abc", "string"), delimiter=",", nulls=True)
    assert [list(r) for r in zip(*(text(table[n]) for n in "abc"), strict=True)] == plain


def test_a_quote_that_would_swallow_what_no_line_explains(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('a,b\n1,"x, y"\n2,"open\n3,z\n4,"p, q"\n')
    with pytest.raises(DataError, match=r"row 3: a quote opens.*'2,\"open'"):
        read_table(path, {"a": "string"}, delimiter=",")
    # One that closes later swallows the lines between; each of them has its columns.
    path.write_text('a,b\n1,"Heroes\n2,x\n3,Live"\n')
    with pytest.warns(UserWarning, match="row 2"):
        assert read_table(path, {"a": "int64"}, delimiter=",").num_rows == 3
    path.write_text('a,b\n1,"two\nlines"\n2,x\n')
    table = read_table(path, {"a": "int64", "b": "string"}, delimiter=",")
    assert table["b"].to_pylist() == ["two\nlines", "x"]


def test_tab_files_know_no_quotes(tmp_path):
    path = tmp_path / "t.inter"
    path.write_text('a:token\tb:float\n"x\t1\ny"\t2\n')
    table = read_table(path, {"a": "string", "b": "float64"}, quoting=False)
    assert table["a"].to_pylist() == ['"x', 'y"']


def test_delimiters(tmp_path):
    path = tmp_path / "t.dat"
    path.write_text("a::b\n1::x:y\n")
    assert (guess_delimiter(path), header(path, "::")) == ("::", ["a", "b"])
    assert read_table(path, {"b": "string"}, delimiter="::")["b"].to_pylist() == ["x:y"]
    for bad in ("", '"', "\n"):
        with pytest.raises(DataError, match="delimiter"):
            read_table(path, {"b": "string"}, delimiter=bad)
    for mark in ",;|\t":
        path.write_text(f"a{mark}b{mark}c\n")
        assert guess_delimiter(path) == mark


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a,b\n1,2\n1\n", "Row #3: Expected 2 columns, got 1"),
        (b"a,b\n1,\xff\n", "row 2: not UTF-8"),
        (b"a,a\n1,2\n", "two columns are called a"),
        (b"b\n1\n", "no column a"),
        (b"", "empty"),
    ],
)
def test_faults_are_named(tmp_path, content, says):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_table(path, {"a": "string"}, delimiter=",")


@pytest.mark.parametrize(
    ("entries", "want"),
    [
        (
            ["1700000000000000001", "1700000000000000000"],
            [1700000000000000001, 1700000000000000000],
        ),
        (["1.400e+09", "1400000001"], [1_400_000_000, 1_400_000_001]),
        (["0.5", "1"], [0.5, 1.0]),
        (["1970-01-02", "1970-01-01"], [86_400, 0]),
        (["1970-01-01 00:00:01", "1970-01-01T00:00:02"], [1, 2]),
        (["1970-01-01T01:00:00+01:00", "1970-01-01T00:00:00.5Z"], [0, 500_000]),
    ],
)
def test_times_keep_every_digit(entries, want):
    times, there = parse_times(pa.chunked_array([entries]), where="x")
    assert times.tolist() == want and there.all()
    assert times.dtype == (np.float64 if 0.5 in want else np.int64)


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        (["1", "inf"], "row 3: the time inf is not finite"),
        (["1", "nan"], "row 3: the time nan"),
        (["2020-01-01", "soon"], "row 3: 'soon' is no time"),
        (["2020-01-01", "7"], "no time; give numbers, or ISO dates"),
    ],
)
def test_what_is_no_time_is_named(entries, says):
    with pytest.raises(DataError, match=says):
        parse_times(pa.chunked_array([entries]), where="x")


def test_times_that_are_not_there():
    times, there = parse_times(pa.chunked_array([["5", " ", None]]), where="x")
    assert times[0] == 5 and there.tolist() == [True, False, False]
