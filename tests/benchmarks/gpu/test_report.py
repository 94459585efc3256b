"""The whole report: its parts, a rehearsal from end to end, and the microbenchmarks' clock."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from benchmarks.gpu import bench_cases as bench_gpu
from benchmarks.gpu import report as gpu_report
from benchmarks.gpu.parts import ABSENT, DONE
from rad_fast.bench.timing import Case


def given(*words: str) -> argparse.Namespace:
    return gpu_report.arguments().parse_args(words)


def test_a_rehearsal_is_not_among_the_results() -> None:
    results = str(gpu_report.RESULTS)
    assert gpu_report.place(given("--out", results)) == gpu_report.RESULTS
    assert gpu_report.place(given("--device", "cpu", "--out", "/tmp/x")) == Path("/tmp/x")
    with pytest.raises(SystemExit, match="--out: expected another folder"):
        gpu_report.place(given("--device", "cpu", "--out", results))


def test_where_the_page_goes_has_to_be_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        given("--device", "cpu")
    assert "--out" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["full", "quick"])
def test_all_parts_fit_into_their_time(size: str) -> None:
    planned = gpu_report.parts(size, "cuda", Path("work"))
    assert [part.name for part in planned][:3] == ["machine", "pytest -m gpu", "compute-sanitizer"]
    assert set(gpu_report.GROUP_SECONDS) < {part.name for part in planned}
    sure = sum(part.least for part in planned) + gpu_report.PAGE_SECONDS
    assert sure <= gpu_report.SECONDS[size]
    assert gpu_report.SECONDS["full"] <= 480 - 8  # of eight minutes; a part that is stopped may take some seconds more
    assert all(part.least <= part.most for part in planned)


def test_parts_that_are_not_there_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(gpu_report, "in_toolkit", lambda name: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert gpu_report.sanitizer("full", "cuda").absent == "compute-sanitizer is not installed"
    assert gpu_report.tests("full", "cuda").absent == "pytest is not installed"


def test_the_gpu_tests_are_all_found() -> None:
    assert str(gpu_report.ROOT / "tests" / "gpu") in gpu_report.gpu_tests()


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("..F\n==== 1 failed, 2 passed in 3.10s ====\n", "1 failed, 2 passed in 3.10s"),
        ("....\n2 passed, 1 skipped in 1.00s\nSegmentation fault\n", "2 passed, 1 skipped in 1.00s"),
        ("Traceback\nImportError\n", "no test came to its end"),
        (
            "t.py::a PASSED [ 3%]\n[gw1] [ 6%] FAILED t.py::b\n[gw0] [ 9%] PASSED t.py::c\nt.py::d ",
            "2 passed, 1 failed",
        ),
    ],
)
def test_pytests_last_word(output: str, said: str) -> None:
    assert gpu_report.summary_of_pytest(output) == said


def test_the_sanitizers_last_word() -> None:
    output = "========= COMPUTE-SANITIZER\nsome\n========= ERROR SUMMARY: 2 errors\n"
    assert gpu_report.summary_of_sanitizer(output) == "ERROR SUMMARY: 2 errors"


def test_an_unknown_part_is_refused(tmp_path: Path) -> None:
    (tmp_path / "build.json").write_text('{"outcomes": [], "installed": ""}')
    with pytest.raises(SystemExit, match=r"--only: expected some of machine, .*; got nothing"):
        gpu_report.inner(
            given(
                "--device", "cpu", "--inner", str(tmp_path / "build.json"), "--only", "nothing", "--out", str(tmp_path)
            )
        )


def test_a_rehearsal_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts in processes of their own, as on a GPU."""
    monkeypatch.setattr(gpu_report, "FOLDER", tmp_path / "build")
    monkeypatch.setattr(os, "environ", {**os.environ, "MPLBACKEND": "Agg"})
    only = [word for name in ("machine", "compute-sanitizer", "stages", "graphs") for word in ("--only", name)]
    before = results()
    assert gpu_report.main(["--device", "cpu", "--out", str(tmp_path / "out"), *only]) == 0
    found = json.loads((tmp_path / "out" / "gpu.json").read_text())
    states = {part["name"]: part["status"] for part in found["parts"]}
    assert states == {"build": DONE, "machine": DONE, "compute-sanitizer": ABSENT, "stages": DONE, "graphs": DONE}
    assert found["rehearsal"]
    assert len(found["groups"]["stages"]["cases"]) == 2
    text = (tmp_path / "out" / "gpu.md").read_text()
    assert text.startswith("# GPU benchmarks: a rehearsal\n")
    assert "not measured" in text
    assert results() == before


def results() -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in gpu_report.RESULTS.glob("gpu*")}


class Benchmark:
    """As much of pytest-benchmark's fixture as is used: it times every round by a timer."""

    def __init__(self, timer: Any) -> None:
        self.timer, self.group, self.extra_info, self.seconds = timer, "", {}, []  # type: ignore[var-annotated]

    def pedantic(self, work: Any, rounds: int, warmup_rounds: int) -> None:
        for turn in range(-warmup_rounds, rounds):
            begin = self.timer()
            work()
            end = self.timer()
            self.seconds += [end - begin] if turn >= 0 else []


def test_microbenchmarks_take_the_reports_clock() -> None:
    benchmark = Benchmark(bench_gpu.TICKER)
    turns = iter([9.0, *[0.25] * bench_gpu.ROUNDS])
    case = Case("one", 5, {"mine": lambda: None}, traffic={"mine": 80}, about={"stage": "x"})
    bench_gpu.run(benchmark, case, "mine", lambda work: next(turns))
    assert benchmark.seconds == pytest.approx([0.25] * bench_gpu.ROUNDS)
    assert benchmark.group == "one"
    assert benchmark.extra_info == {"points": 5, "bytes": 80, "stage": "x"}
    with pytest.raises(pytest.skip.Exception, match="does not serve here"):
        bench_gpu.run(benchmark, case, "another")
