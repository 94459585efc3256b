"""The page and its figures, from hand-made figures."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import page as gpu_page
from benchmarks.gpu.figures import duration
from benchmarks.gpu.results import Measured, cases
from rad_fast.bench.peers import READ


def test_goals_come_first_then_ratios_then_times(found: dict[str, Any]) -> None:
    text = gpu_page.markdown(found)
    heads = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert heads[:2] == ["Goals", "Parts"]
    assert heads.index("Scoring, of the bandwidth of a streaming read") < heads.index("Bandwidth and times")
    assert heads[-1] == "How"
    assert "rehearsal" not in text
    assert (
        "| select() at 20 GB: reads of the logits | cuda | ≤ 1.10 × | 1.22 × (1.21 × to 1.23 ×) | **missed** |" in text
    )
    assert "| select, 20 GB | triton | 1.10 (1.09 to 1.11) | 9.26 (8.95 to 9.27) | – | – |" in text


def test_each_way_through_the_kernels_has_a_column(found: dict[str, Any]) -> None:
    seconds = {READ: [1.0, 1.0], "rad_fast cuda": [1.5, 1.5], "rad_fast cuda, with quotas": [2.0, 2.0]}
    case = Measured("select, 7 points", 7, {"stage": "route"}, {}, seconds)
    text = gpu_page.markdown(found | {"groups": {"routes": {"cases": [asdict(case)]}}})
    assert "|  | cuda | cuda, with quotas |" in text
    assert "| select, 7 points | 1.50 (1.50 to 1.50) | 2.00 (2.00 to 2.00) |" in text


def test_few_rows_have_a_line_of_their_own(found: dict[str, Any]) -> None:
    about = {"stage": "scoring", "classes": 1000, "dtype": "float32"}
    seconds = {READ: [1.0, 1.0], "rad_fast cuda": [2.0, 2.0]}
    traffic = dict.fromkeys(seconds, 8)
    many = Measured("scoring", 9000, about, traffic, seconds)
    few = Measured("few", 7, {**about, "rows": 7}, traffic, {**seconds, "rad_fast cuda": [4.0, 4.0]})
    text = gpu_page.markdown(found | {"groups": {"scores": {"cases": [asdict(many), asdict(few)]}}})
    assert "| 1,000 | 50% (50% to 50%) |" in text
    assert "| 1,000, 7 rows | 25% (25% to 25%) |" in text


def test_what_failed_or_is_missing_is_said(found: dict[str, Any]) -> None:
    text = gpu_page.markdown(found, undrawn=["Stages: no matplotlib"])
    for said in (
        "| build | failed | 3 s | exit status 1 |",
        "nvcc fatal: no such file",
        "| games | left out | 0 s | it needs 40 s, 2 s were left for it |",
        "- select, 20 GB: torch compiled: RuntimeError: no compiler",
        "- scoring, 32 classes, failed: OutOfMemoryError: no room",
        "- softmax, left out: it needs some 6 s, 1 s were left",
        "- figure, Stages: no matplotlib",
        "Not everything was measured.",
    ):
        assert said in text


def test_what_a_stopped_part_did_not_reach_is_said(found: dict[str, Any]) -> None:
    found["groups"]["games"]["planned"] = ["game and sample, 1,000,000 points", "game and sample, 7 points"]
    text = gpu_page.markdown(found)
    assert text.count("not reached") == 1
    assert "- game and sample, 7 points, not reached: its part was stopped before" in text


def test_a_rehearsal_says_so_at_its_head(found: dict[str, Any]) -> None:
    lines = gpu_page.markdown(found | {"rehearsal": True}).splitlines()
    assert lines[0] == "# GPU benchmarks: a rehearsal"
    assert "says nothing" in lines[2]


def test_nothing_measured_still_makes_a_page(found: dict[str, Any], tmp_path: Path) -> None:
    undrawn = gpu_page.write(found | {"groups": {}}, tmp_path, "gpu")
    assert len(undrawn) == 3
    assert "not measured" in (tmp_path / "gpu.md").read_text()
    assert not list(tmp_path.glob("*.png"))


def test_figures_are_written_and_named_on_the_page(found: dict[str, Any], tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib.image")
    assert gpu_page.write(found, tmp_path, "gpu") == []
    text = (tmp_path / "gpu.md").read_text()
    for name in ("roofline", "times", "stages"):
        assert f"(gpu-{name}.png)" in text
        height, width = matplotlib.imread(tmp_path / f"gpu-{name}.png").shape[:2]
        assert 200 < height < width < 1500


def test_without_matplotlib_there_is_a_page_without_figures(
    found: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    (tmp_path / "gpu-times.png").write_text("of an earlier run")
    undrawn = gpu_page.write(found, tmp_path, "gpu")
    assert len(undrawn) == 3
    assert all("matplotlib" in why for why in undrawn)
    assert "Goals" in (tmp_path / "gpu.md").read_text()
    assert not list(tmp_path.glob("*.png"))


def test_lines_are_of_one_contender_in_the_order_of_size(found: dict[str, Any]) -> None:
    lines = gpu_page.series(
        cases(found, "game"), lambda case: float(case.points), Measured.time, lambda name: "," not in name, str.upper
    )
    assert [line.label for line in lines] == ["RAD_FAST TRITON", "TORCH EAGER"]
    assert list(lines[1].x) == [1e6, 1e8]
    assert [point.median for point in lines[1].y] == pytest.approx([1e-4, 1e-2])


def test_stages_and_the_host_make_up_the_whole(found: dict[str, Any]) -> None:
    (bar,) = gpu_page.bars(found)
    assert bar.label == "triton, 10,000,000 × 1,000, bfloat16"
    assert sum(bar.stages.values()) == pytest.approx(6e-3)
    assert bar.stages["the host, and waiting"] == pytest.approx(6e-4)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.0, "2 s"), (0.0123, "12.3 ms"), (55e-6, "55 µs"), (999.9e-6, "1 ms"), (3e-8, "0.03 µs")],
)
def test_durations_are_in_the_unit_that_suits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_cell_cannot_break_the_table() -> None:
    assert gpu_page.table(["a"], [["x | y\nz"]]).splitlines()[-1] == "| x \\| y z |"
    assert gpu_page.table(["a"], []) == ""
