"""The first minutes on a GPU, in one call: python -m benchmarks.gpu.drill --out DIR [--device cpu] [--seconds 560]

What is not known before a GPU is there, in the order of what one wants to know first: whether the module loads, whether
the kernels are right, whether they stay inside their memory, how fast they are, and where the time goes. Every part is
a process with a time limit, and its whole output goes to DIR; nothing stops at a failure. --device cpu rehearses it:
all that runs without a device, on stand-ins.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from . import build as gpu_build
from . import report as gpu_report
from .build import FOLDER, ROOT
from .parts import FAILED, Budget, Outcome, Part, line, run_all, write_json

SECONDS = 560.0  # of ten minutes
# (least, most) seconds of each part; those of the tests run at once. The least sum to what is given, less the build's.
BUILD = 120.0
PARTS = {
    "machine": (5.0, 30.0),
    "tests compiled": (60.0, 130.0),
    "tests Triton": (60.0, 130.0),
    "kernels": (60.0, 130.0),
    "memcheck": (15.0, 40.0),
    "racecheck": (10.0, 25.0),
    "selections": (45.0, 60.0),
    "routes": (40.0, 60.0),
    "games": (25.0, 45.0),
    "scores": (60.0, 110.0),
    "stages": (15.0, 30.0),
    "counters": (15.0, 45.0),
}
FILES = 8  # that come back


def main(argv: Sequence[str] | None = None) -> int:
    given = arguments().parse_args(argv)
    out = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    budget = Budget(given.seconds)
    summary = (out / "summary.txt").open("w", buffering=1)

    def say(text: str) -> None:
        print(text, flush=True)
        print(text, file=summary)

    rehearsal = given.device == "cpu"
    built = gpu_build.prepare(budget, 0.0 if rehearsal else BUILD, FOLDER)
    for outcome in built.outcomes:
        say(f"[{budget.spent():5.0f} s] {line(outcome)}")
    os.environ.update(built.environment())
    work, logs = FOLDER / "parts", FOLDER / "logs"
    work.mkdir(parents=True, exist_ok=True)
    planned = [part for part in parts(given.device, work) if not given.only or part.name in given.only]
    outcomes = run_all(planned, budget, logs, built.tree, say=say)
    account = {"outcomes": [outcome.account() for outcome in built.outcomes], "installed": built.installed}
    size = "rehearsal" if rehearsal else "quick"
    write_json(out / "drill.json", [outcome.account() for outcome in (*built.outcomes, *outcomes)])
    try:
        # The page imports rad_fast: what was measured, not the sources in the folder of the checkout.
        sys.path[:] = [str(built.tree), *(place for place in sys.path if Path(place or ".").resolve() != ROOT)]
        gpu_report.report(gpu_report.collected(size, outcomes, account, budget.spent()), out)
    finally:
        packed(out, logs, work)
    say(f"[{budget.spent():5.0f} s] {failures(outcomes)}; {out}: {', '.join(sorted(p.name for p in out.iterdir()))}")
    summary.close()
    return int(any(outcome.status == FAILED for outcome in outcomes))


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", required=True, help="an empty folder; all that is said goes there"
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a rehearsal without a GPU")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="what all of it may take")
    parser.add_argument("--only", action="append", metavar="PART", help="this part alone, and others so named")
    return parser


def parts(device: str, work: Path) -> list[Part]:
    """What is run, in this order."""
    size = "rehearsal" if device == "cpu" else "quick"
    measured = {part.name: part for part in gpu_report.parts(size, device, work)}
    made = {name: part for name, part in measured.items() if name in PARTS}
    made["tests compiled"] = suite("tests compiled", [str(ROOT / "tests" / "gpu"), "-k", "not triton"])
    made["tests Triton"] = suite("tests Triton", [str(ROOT / "tests" / "gpu"), "-k", "triton and not stages"])
    folder = ROOT / "tests" / "triton_kernels"
    files = [str(folder / f"kernels_{stage}.py") for stage in ("score", "game", "sample", "classes")]
    interpreted = (
        {"TRITON_INTERPRET": "1", "RAD_FAST_FEW_KERNELS": "1"} if device == "cpu" else {"TRITON_INTERPRET": "0"}
    )
    made["kernels"] = suite("kernels", files, interpreted)
    for tool in ("memcheck", "racecheck"):
        made[tool] = sanitizer(tool, device)
    made["counters"] = counters(device, work)
    return [with_seconds(made[name], *PARTS[name], device) for name in PARTS]


def with_seconds(part: Part, least: float, most: float, device: str) -> Part:
    return replace(part, least=1.0 if device == "cpu" else least, most=3 * most if device == "cpu" else most)


def suite(name: str, what: Sequence[str], environment: dict[str, str] | None = None) -> Part:
    """A part of the suite in processes of its own. -v: what was said is there however far it came."""
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    command += ["-v", "--tb=short", "-p", "no:cacheprovider", *what]
    if importlib.util.find_spec("xdist") is not None:  # three suites run at once, and share a card of 80 GB or more
        command += ["-p", "xdist", "-n", str(max(1, min(5, (os.cpu_count() or 1) // 3)))]
    if importlib.util.find_spec("pytest_timeout") is not None:
        command += ["-p", "pytest_timeout", "--timeout", "90"]
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "XLA_PYTHON_CLIENT_PREALLOCATE": "false", **(environment or {})}
    return Part(name, command, 0.0, 0.0, say=gpu_report.summary_of_pytest, environment=alone, together="tests")


def sanitizer(tool: str, device: str) -> Part:
    """Of the compiled kernels alone, and not of what they start: Triton's compiler would take all the time."""
    found = shutil.which("compute-sanitizer") or gpu_report.in_toolkit("compute-sanitizer")
    absent = gpu_report.REHEARSED if device == "cpu" else "" if found else "compute-sanitizer is not installed"
    command = [found or "compute-sanitizer", "--tool", tool, "--target-processes", "application-only"]
    command += ["--error-exitcode", "9", "--report-api-errors", "no"][: 4 if tool == "memcheck" else 2]
    command += [sys.executable, "-m", "benchmarks.gpu.sanitized", "--backend", "cuda"]
    command += ["--shapes", "1"] if tool == "racecheck" else []
    apart = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}  # or the next array lies where one ends
    return Part(tool, command, 0.0, 0.0, say=gpu_report.summary_of_sanitizer, absent=absent, environment=apart)


METRICS = (
    "gpu__time_duration.sum", "dram__throughput.avg.pct_of_peak_sustained_elapsed",
    "sm__inst_issued.avg.pct_of_peak_sustained_active", "sm__inst_executed_pipe_alu.avg.pct_of_peak_sustained_active",
    "sm__inst_executed_pipe_xu.avg.pct_of_peak_sustained_active",
)  # fmt: skip
SELECTED = """
import torch, rad_fast
for points, classes in ((2_000_000, 1000), (10_000_000, 10)):
    x = torch.randn(points, classes, device="cuda", dtype=torch.bfloat16) * 4
    for backend in ("cuda", "triton"):
        rad_fast.select(x, points // 100, quotas=None, backend=backend)
"""


def counters(device: str, work: Path) -> Part:
    """Where the time of a selection goes, by the hardware's own counters: to be set beside benchmarks.gpu.counted."""
    absent = gpu_report.REHEARSED if device == "cpu" else "" if shutil.which("ncu") else "ncu is not installed"
    script = work / "selected.py"
    script.write_text(SELECTED)
    command = ["ncu", "--clock-control", "none", "--metrics", ",".join(METRICS), "--csv", sys.executable, str(script)]
    return Part("counters", command, 0.0, 0.0, absent=absent)


def packed(out: Path, logs: Path, work: Path) -> None:
    """The logs and the parts' figures as one file, so that few come back."""
    with tarfile.open(out / "logs.tgz", "w:gz") as to:
        for folder in (logs, work):
            to.add(folder, folder.name)


def failures(outcomes: Sequence[Outcome]) -> str:
    failed = [outcome.name for outcome in outcomes if outcome.status == FAILED]
    return f"failed: {', '.join(failed)}" if failed else "no part failed"


if __name__ == "__main__":
    raise SystemExit(main())
