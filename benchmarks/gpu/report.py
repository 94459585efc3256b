"""rad_fast on a GPU beside its goals and its peers: python -m benchmarks.gpu.report --out DIR [--quick]

Builds the compiled module where rad_fast is not installed, runs pytest -m gpu and compute-sanitizer, then measures;
writes gpu.json, gpu.md, the figures gpu-*.png and logs.tgz to DIR: benchmarks/results, or the folder that a lent
machine sends back. Every part is a process with a time limit: what fails is reported, and the rest still runs.
--device cpu is a rehearsal: all of it on tiny stand-ins.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import build as gpu_build
from .build import FOLDER, ROOT
from .parts import FAILED, Budget, Outcome, Part, line, run_all, write_json

RESULTS = ROOT / "benchmarks" / "results"
NAME = "gpu"  # of the files
SECONDS = {"full": 460.0, "quick": 145.0, "rehearsal": 300.0}
BUILD_SECONDS = {"full": 170.0, "quick": 80.0, "rehearsal": 0.0}
PAGE_SECONDS = 12.0  # for the page and its figures

# Of every group the seconds that it is sure of, and the most that it may take, by size.
GROUP_SECONDS = {
    "selections": {"full": (70.0, 120.0), "quick": (42.0, 45.0)},
    "routes": {"full": (30.0, 60.0), "quick": (10.0, 30.0)},
    "games": {"full": (45.0, 90.0), "quick": (16.0, 45.0)},
    "scores": {"full": (55.0, 150.0), "quick": (20.0, 40.0)},
    "stages": {"full": (20.0, 45.0), "quick": (8.0, 25.0)},
    "graphs": {"full": (12.0, 30.0), "quick": (8.0, 20.0)},
}
TEST_SECONDS = {"full": (20.0, 120.0), "quick": (8.0, 25.0)}
SANITIZER_SECONDS = {"full": (15.0, 60.0), "quick": (8.0, 15.0)}
REHEARSED = "a rehearsal: there is no GPU"
WORKERS = 6  # of pytest-xdist, where that is installed: most of the suite's time is Triton's compiler


def main(argv: Sequence[str] | None = None) -> int:
    given = arguments().parse_args(argv)
    if given.inner is not None:
        return inner(given)
    size = size_of(given)
    out = place(given)
    out.mkdir(parents=True, exist_ok=True)
    budget = Budget(SECONDS[size])
    built = gpu_build.prepare(budget, BUILD_SECONDS[size], FOLDER)
    for outcome in built.outcomes:
        print(f"[{budget.spent():5.0f} s] {line(outcome)}", flush=True)
    account = FOLDER / "build.json"
    write_json(account, {"outcomes": [outcome.account() for outcome in built.outcomes], "installed": built.installed})
    # From the folder of the tree: there `rad_fast` is what is to be measured, here it may be sources alone.
    command = [sys.executable, "-m", "benchmarks.gpu.report", "--inner", str(account), "--out", str(out)]
    command += ["--device", given.device, "--seconds", f"{budget.left():.1f}", *(["--quick"] if given.quick else [])]
    command += [word for name in given.only or () for word in ("--only", name)]
    return subprocess.run(command, cwd=built.tree, env=built.environment(), check=False).returncode


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer sizes, two and a half minutes instead of eight")
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="where the page and the logs go")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a rehearsal without a GPU")
    parser.add_argument("--only", action="append", metavar="PART", help="this part alone, and others so named")
    parser.add_argument("--inner", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    return parser


def size_of(given: argparse.Namespace) -> str:
    return "rehearsal" if given.device == "cpu" else "quick" if given.quick else "full"


def place(given: argparse.Namespace) -> Path:
    """Where the page goes. A rehearsal's figures are no results."""
    out = Path(given.out).resolve()
    if given.device == "cpu" and out == RESULTS:
        raise SystemExit(f"--out: expected another folder than {RESULTS} for a rehearsal")
    return out


# ------------------------------------------------------------------------------------------ with an importable rad_fast


def inner(given: argparse.Namespace) -> int:
    """Every part, then the page; the exit status says whether all were done."""
    size, begin = size_of(given), time.monotonic()
    built = json.loads(given.inner.read_text())
    work, logs = given.inner.parent / "parts", given.inner.parent / "logs"
    work.mkdir(parents=True, exist_ok=True)
    planned = parts(size, given.device, work)
    if given.only:
        unknown = set(given.only) - {part.name for part in planned}
        if unknown:
            names = ", ".join(part.name for part in planned)
            raise SystemExit(f"--only: expected some of {names}; got {', '.join(sorted(unknown))}")
        planned = [part for part in planned if part.name in given.only]
    seconds = SECONDS[size] if given.seconds is None else given.seconds
    budget = Budget(seconds - PAGE_SECONDS)
    outcomes = run_all(planned, budget, logs, Path.cwd(), say=lambda text: print(text, flush=True))
    found = collected(size, outcomes, built, SECONDS[size] - seconds + time.monotonic() - begin)
    return report(found, place(given))


def parts(size: str, device: str, work: Path) -> list[Part]:
    """What is run, in this order; of the sizes each part says itself what it leaves out."""
    where = ["--device", device]
    machine = [sys.executable, "-m", "benchmarks.gpu.machine", *where, "--out", str(work / "machine.json")]
    made = [Part("machine", machine, 5, 40, work / "machine.json")]
    made += [tests(size, device), sanitizer(size, device)]
    for group, seconds in GROUP_SECONDS.items():
        least, most = seconds.get(size, (1.0, 60.0))
        file = work / f"{group}.json"
        command = [sys.executable, "-m", "benchmarks.gpu.measure", group, "--size", size, *where, "--out", str(file)]
        made.append(Part(group, command, least, most, file, timed=True))
    return made


def tests(size: str, device: str) -> Part:
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    command += ["-m", "gpu", "-q", "-p", "no:cacheprovider", "--tb=short", *gpu_tests()]
    if importlib.util.find_spec("xdist") is not None:
        command += ["-p", "xdist", "-n", str(max(1, min(WORKERS, (os.cpu_count() or 1) // 2)))]
    absent = REHEARSED if device == "cpu" else ""
    if importlib.util.find_spec("pytest") is None:
        absent = "pytest is not installed"
    least, most = TEST_SECONDS.get(size, (0.0, 0.0))
    # Other plugins of the machine have no part in this; some turn what they say into warnings, which are errors here.
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return Part("pytest -m gpu", command, least, most, say=summary_of_pytest, absent=absent, environment=alone)


def gpu_tests() -> list[str]:
    """The files and folders with tests so marked: to collect all others takes longer than these take."""
    found = [path for path in sorted((ROOT / "tests").rglob("*.py")) if "mark.gpu" in path.read_text()]
    return [str(path.parent if path.name == "conftest.py" else path) for path in found]


def sanitizer(size: str, device: str) -> Part:
    found = shutil.which("compute-sanitizer") or in_toolkit("compute-sanitizer")
    absent = REHEARSED if device == "cpu" else "" if found else "compute-sanitizer is not installed"
    command = [found or "compute-sanitizer", "--tool", "memcheck", "--error-exitcode", "9", "--report-api-errors", "no"]
    command[1:1] = ["--target-processes", "application-only"]  # not Triton's compiler, which it starts
    command += [sys.executable, "-m", "benchmarks.gpu.sanitized"]
    least, most = SANITIZER_SECONDS.get(size, (0.0, 0.0))
    environment = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}  # or the next array lies where one ends
    return Part(
        "compute-sanitizer", command, least, most, say=summary_of_sanitizer, absent=absent, environment=environment
    )


def in_toolkit(name: str) -> str | None:
    path = Path("/usr/local/cuda/bin") / name
    return str(path) if path.exists() else None


def summary_of_pytest(output: str) -> str:
    """ "3 failed, 120 passed in 61.20s": pytest's last word, or how far it came."""
    for text in reversed(output.splitlines()):
        if re.search(r"\d+ (passed|failed|skipped|deselected|error)", text):
            return text.strip("= ")
    ended = Counter(re.findall(r"^(?=.*::).*\b(PASSED|FAILED|SKIPPED|ERROR)\b", output, re.MULTILINE))  # of -v
    return ", ".join(f"{count} {word.lower()}" for word, count in ended.items()) or "no test came to its end"


def summary_of_sanitizer(output: str) -> str:
    for text in reversed(output.splitlines()):
        if " SUMMARY: " in text:
            return text.strip("= ")
    return ""


def collected(size: str, outcomes: Sequence[Outcome], built: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """Everything that is known of this run, as it goes to gpu.json."""
    data = {outcome.name: outcome.data for outcome in outcomes}
    return {
        "rehearsal": size == "rehearsal",
        "size": size,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "seconds": seconds,
        "machine": data.pop("machine", None),
        "parts": [*built["outcomes"], *(outcome.account() for outcome in outcomes)],
        "groups": {name: data[name] for name in GROUP_SECONDS if data.get(name)},
    }


def report(found: dict[str, Any], out: Path) -> int:
    """Write what was found; the exit status."""
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / f"{NAME}.json", found)
    from . import page as gpu_page  # only now: whatever it needs, the measurements are safe

    undrawn = gpu_page.write(found, out, NAME)
    if (FOLDER / "logs").exists():
        with tarfile.open(out / "logs.tgz", "w:gz") as to:
            to.add(FOLDER / "logs", "logs")
    print(gpu_page.goal_table(found))
    print(f"{out / NAME}.md, .json and figures; what every part said: {out / 'logs.tgz'}")
    for why in undrawn:
        print(f"not drawn: {why}")
    return int(any(part["status"] == FAILED for part in found["parts"]))


if __name__ == "__main__":
    raise SystemExit(main())
