"""benchmarks/cpu/scale.py: that it measures the selection it says, in memory and in files, and draws it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_every_decade_is_measured_in_memory_and_in_files(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    command = [sys.executable, "-m", "benchmarks.cpu.scale", "--least", "2e4", "--most", "2e5", "--turns", "2"]
    command += ["--scores", str(tmp_path / "scores"), "--out", str(tmp_path / "scale")]
    done = subprocess.run(
        [*command, "--picture", str(tmp_path / "scale.png")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "scale.json").read_text())
    assert set(found["series"]) == {"in memory", "in files"}
    for rows in found["series"].values():
        assert [row["points"] for row in rows] == [20_000, 200_000]
        for row in rows:
            assert row["selected"] == row["points"] // 1000
            assert min(row["score_ns"], row["select_ns"], row["first_use_ns"], row["new_memory_ns"]) > 0
            assert row["score_ns"] + row["select_ns"] == min(row["turns_ns"])
            assert len(row["turns_ns"]) == 2
    assert not (tmp_path / "scores").exists(), "the files are gone"
    assert (tmp_path / "scale.png").read_bytes()[:4] == b"\x89PNG"
