"""Where rad-fast select puts the selected points: the end of the name says in which form."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import rad_fast
from rad_fast import cli

NAMES = ["index", "label", "gain", "correctness", "probability", "weight", "why"]


@pytest.fixture
def logits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    monkeypatch.chdir(tmp_path)
    logits = np.random.default_rng(0).normal(0, 3, (2000, 5)).astype(np.float32)
    np.save("logits.npy", logits)
    return logits


def test_csv_and_parquet_have_the_rows_of_the_table(logits: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    expected = rad_fast.Selector("2%", mistakes="1%").fit(logits).table("pandas")
    for name in ("picks.csv", "picks.parquet"):
        assert cli.main(["select", "logits.npy", "--budget", "2%", "--mistakes", "1%", "--out", name]) == 0
        assert f"the selected points in {name}, the report in picks.json" in capsys.readouterr().out
        assert json.loads(Path("picks.json").read_text())["indices"] == name
        read = pandas.read_csv if name.endswith("csv") else pandas.read_parquet
        table = read(name).astype({"gain": "float32", "correctness": "float32"})
        pandas.testing.assert_frame_equal(table.astype(expected.dtypes), expected)
    assert Path("picks.csv").read_text(encoding="utf-8").splitlines()[0] == ",".join(NAMES)


def test_a_report_is_found_beside_a_table(logits: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert cli.main(["select", "logits.npy", "--budget", "40", "--out", "picks.csv"]) == 0
    before = Path("picks.csv").read_bytes()
    assert cli.main(["report", "picks.csv"]) == 0
    assert Path("picks.html").exists()
    assert cli.main(["report", "picks.csv", "--out", "picks.csv"]) == 1
    assert Path("picks.csv").read_bytes() == before
    assert "expected a place other than RESULT's" in capsys.readouterr().err


def test_another_form_is_refused_before_any_work(logits: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["select", "logits.npy", "--budget", "40", "--out", "picks.xlsx"])
    assert "--out: expected a name that ends in .npy, .csv, .parquet, got picks.xlsx" in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["logits.npy"]


@pytest.mark.filterwarnings("ignore::rad_fast.UnreliableTeacherWarning")
def test_all_labels_may_be_mistaken_on_the_command_line_too(
    logits: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["select", "logits.npy", "--budget", "40", "--mistakes", "100%", "--out", "picks.npy"]) == 0
    assert json.loads(Path("picks.json").read_text())["mistakes"] == 2000
    assert "nothing is promised" in capsys.readouterr().out
