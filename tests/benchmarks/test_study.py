"""The study runs, and writes its table, figure and page."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the study needs torch")
pytest.importorskip("sklearn", reason="the study takes its digits from scikit-learn")
pytest.importorskip("matplotlib", reason="the study draws a figure")

ROOT = Path(__file__).resolve().parents[2]


def test_the_quick_study_on_the_digits(tmp_path):
    page = tmp_path / "study.md"
    command = [sys.executable, "-m", "benchmarks.study", "--quick", "--sets", "digits", "--seeds", "2"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(ROOT)]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--out", str(tmp_path), "--page", str(page)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    with (tmp_path / "study.csv").open() as file:
        rows = list(csv.DictReader(file))
    arms = {(row["strategy"], row["loss"]) for row in rows}
    assert len(rows) == len(arms) * 2 * 2  # two seeds, two configurations
    start = {(row["seed"], row["budget"]): row["round0"] for row in rows}
    assert all(row["round0"] == start[row["seed"], row["budget"]] for row in rows)  # paired: all begin alike
    assert all(0 <= float(row["round3"]) <= 100 for row in rows)
    text = page.read_text()
    assert "{{" not in text
    assert "| **rad** |" in text
    assert (tmp_path / "study.png").stat().st_size > 1000
