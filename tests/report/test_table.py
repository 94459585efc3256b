"""The selected points as a table, in every library and file, and the reasons in it."""

from __future__ import annotations

import csv
import io
import sys

import numpy as np
import pytest

import rad_fast
from rad_fast.report.table import Picks, found, reasons, write_csv, write_parquet

NAMES = ["index", "label", "gain", "correctness", "probability", "weight", "why"]


@pytest.fixture(scope="module")
def chosen() -> rad_fast.Selection:
    logits = np.random.default_rng(5).normal(0, 4, size=(3000, 6)).astype(np.float32)
    return rad_fast.Selector(150, quotas=None).fit(logits, exclude=np.arange(10))


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_a_table_has_a_row_for_each_selected_point_in_order(chosen: rad_fast.Selection, library: str) -> None:
    pytest.importorskip(library)
    table = chosen.table(library)
    assert type(table).__module__.partition(".")[0] == library
    columns = {name: np.asarray(table[name]) for name in NAMES}
    assert list(getattr(table, "column_names", None) or table.columns) == NAMES
    at = chosen.indices
    np.testing.assert_array_equal(columns["index"], at)
    np.testing.assert_array_equal(columns["label"], chosen.labels[at])
    np.testing.assert_array_equal(columns["gain"], chosen.gain[at])
    np.testing.assert_array_equal(columns["correctness"], chosen.correctness[at])
    np.testing.assert_array_equal(columns["probability"], chosen.probabilities[at])
    np.testing.assert_array_equal(columns["weight"], chosen.weights)
    assert len(columns["why"]) == len(at)


def test_the_reason_is_the_effective_gain_and_the_threshold_that_it_passed(chosen: rad_fast.Selection) -> None:
    for words, at in zip(chosen._columns["why"], chosen.indices, strict=True):
        gain = (2.0 * float(chosen.correctness[at]) - 1.0) * float(chosen.gain[at])
        said = words.removeprefix("effective gain ").split(" above ")
        assert [float(number) for number in said] == pytest.approx([gain, chosen.threshold], abs=0.006)
        assert float(said[0]) > float(said[1]), "two numbers that look alike would say nothing"


def test_a_reason_names_the_quota_and_the_threshold_where_they_decided() -> None:
    half = np.full(3, 0.5)
    gain = np.array([0.71, 0.62, 0.6200004], np.float32)
    picks = Picks(
        at=np.arange(3),
        label=np.array([12, 0, 7], np.int32),
        gain=gain,
        correctness=np.ones(3, np.float32),
        probability=half,
        threshold=np.array([0.62, float(gain[1]), 0.62]),
        quota=True,
        before=np.zeros(3, bool),
    )
    assert reasons(picks) == [
        "class 12's quota, effective gain 0.71 above 0.62",
        "class 0's quota, effective gain 0.62, on the threshold",
        "class 7's quota, effective gain 0.6200004 above 0.62",
    ]
    assert reasons(picks._replace(quota=False))[0] == "effective gain 0.71 above 0.62"
    assert reasons(picks._replace(before=np.ones(3, bool)))[0] == "selected before, effective gain 0.71"


def test_torch_logits_give_the_same_table(chosen: rad_fast.Selection) -> None:
    torch, pandas = pytest.importorskip("torch"), pytest.importorskip("pandas")
    logits = np.random.default_rng(5).normal(0, 4, size=(3000, 6)).astype(np.float32)
    other = rad_fast.Selector(150, quotas=None).fit(torch.from_numpy(logits), exclude=np.arange(10))
    pandas.testing.assert_frame_equal(other.table("pandas"), chosen.table("pandas"))


def test_a_library_that_is_none_or_missing_is_named(
    chosen: rad_fast.Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="library: expected one of 'auto', 'pandas', 'polars', 'pyarrow', got 'excel'"):
        chosen.table("excel")
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ImportError, match=r"table\(\) needs polars.*pip install polars"):
        chosen.table("polars")


def test_the_library_that_a_program_has_imported_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pandas", "polars", "pyarrow"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", pytest)  # any module: it is only looked for
    assert found() == "pyarrow"


def test_csv_and_parquet_hold_what_the_table_holds(chosen: rad_fast.Selection) -> None:
    columns = chosen._columns
    file = io.BytesIO()
    write_csv(file, columns)
    lines = list(csv.reader(io.StringIO(file.getvalue().decode("utf-8"))))
    assert lines[0] == NAMES
    assert len(lines) == 151
    for place, name in enumerate(NAMES[:-1]):
        values = np.array([line[place] for line in lines[1:]], dtype=columns[name].dtype)
        np.testing.assert_array_equal(values, columns[name], err_msg=name)
    assert [line[-1] for line in lines[1:]] == columns["why"]
    parquet = pytest.importorskip("pyarrow.parquet")
    file = io.BytesIO()
    write_parquet(file, columns)
    file.seek(0)
    assert parquet.read_table(file).equals(chosen.table("pyarrow"))
