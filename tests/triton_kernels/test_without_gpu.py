"""The Triton kernels on a machine without a GPU: interpreted against the reference, and compiled ahead of time.

Both need processes of their own: see conftest.py.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest

HERE = Path(__file__).parent
MOST_KERNELS = 40  # that the suite of a GPU has Triton compile
CAPABILITIES = (80, 90, 100)
STAGES = ("score", "game", "sample", "classes", "public", "pair")
PASSING = ("passed", "skipped")

# find_spec of a submodule: a folder that happens to be called triton is not Triton.
try:
    MISSING = importlib.util.find_spec("triton.language") is None
except ModuleNotFoundError:
    MISSING = True

pytestmark = [
    pytest.mark.skipif(MISSING, reason="Triton is not installed (pip install 'rad_fast[triton]')"),
    pytest.mark.slow,
]


def run(arguments: list[str], interpret: bool, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TRITON_", "PYTEST_"))}
    environment["TRITON_INTERPRET"] = "1" if interpret else "0"
    environment |= more
    if "TRITON_CACHE_DIR" in os.environ:
        environment["TRITON_CACHE_DIR"] = os.environ["TRITON_CACHE_DIR"]
    return subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=HERE, capture_output=True, text=True, check=False
    )


class Case(NamedTuple):
    """A test of the process that interprets."""

    name: str
    status: str  # "passed", "failure", "error" or "skipped"


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[Case]], str]:
    """Each stage's tests, and what was printed: of one process, as to import torch and Triton takes it longer than many
    a stage. It goes on after failures, so that no stage hides another's."""
    to = tmp_path_factory.mktemp("interpreted") / "cases.xml"
    files = [f"kernels_{stage}.py" for stage in STAGES]
    options = ["-q", "-p", "no:cacheprovider", "--continue-on-collection-errors", f"--junitxml={to}"]
    result = run(["-m", "pytest", *options, *files], interpret=True)
    said = result.stdout[-20000:] + result.stderr[-2000:]
    assert to.exists(), said
    stages: dict[str, list[Case]] = {stage: [] for stage in STAGES}
    for case in ElementTree.parse(to).iter("testcase"):
        words = f"{case.get('classname', '')}.{case.get('name', '')}"  # a file that cannot be read is named by its path
        (stage,) = (stage for stage in STAGES if f"kernels_{stage}" in words)
        stages[stage].append(Case(words, case[0].tag if len(case) else "passed"))
    assert result.returncode in (0, 1), said  # 1: a test failed, or a file could not be read; the cases say which
    assert (result.returncode == 0) == all(case.status in PASSING for cases in stages.values() for case in cases), said
    return stages, said


@pytest.mark.parametrize("stage", STAGES)
def test_interpreted(interpreted: tuple[dict[str, list[Case]], str], stage: str) -> None:
    stages, said = interpreted
    failed = [case for case in stages[stage] if case.status not in PASSING]
    assert not failed, f"{failed}\n{said}"
    assert any(case.status == "passed" for case in stages[stage]), said


def test_the_suite_of_a_gpu_has_few_kernels_compiled(tmp_path: Path) -> None:
    """Each takes about a second there. Of the games' tests some that go through every kernel are enough; of tests/gpu
    the launches are noted, and nothing is computed."""
    games = ("too_few_valid_points_are_reported", "sums_and_undecided_points_equal_the_references")
    games += ("probabilities_have_the_references_bits", "the_sign_of_a_slope_is_exact")
    suite = [f"kernels_{stage}.py" for stage in ("score", "sample", "classes")]
    suite += [f"kernels_game.py::test_{name}" for name in games]
    few = {"RAD_FAST_FEW_KERNELS": "1", "RAD_FAST_COUNT_KERNELS": str(tmp_path / "planned")}
    result = run(["-m", "pytest", "-q", "-p", "no:cacheprovider", *suite], interpret=True, **few)
    assert result.returncode == 0, result.stdout[-10000:] + result.stderr[-2000:]
    stages = len((tmp_path / "planned").read_text().splitlines())
    folder = HERE.parent / "gpu"
    on_paper = ["-O", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--assert=plain", "-p", "on_paper"]
    on_paper += ["-W", "ignore::pytest.PytestConfigWarning", "-W", "ignore::RuntimeWarning"]
    others = ("test_kernels.py", "test_pipelines.py")  # the kernels above; whole pipelines, which need answers
    on_paper += [str(folder), *(f"--ignore={folder / name}" for name in others)]
    result = run(on_paper, interpret=True, **few, PYTHONPATH=str(folder))
    assert result.returncode == 0, result.stdout[-10000:] + result.stderr[-2000:]
    planned = (tmp_path / "planned").read_text().splitlines()
    assert 25 <= stages < len(planned) <= MOST_KERNELS, "\n".join(planned)


@pytest.fixture(scope="module")
def compiled() -> tuple[dict[int, list[tuple[str, dict[str, Any]]]], str]:
    """What a process made of the kernels, by capability as far as it came, and what it said."""
    result = run([str(HERE / "compiled.py"), *map(str, CAPABILITIES)], interpret=False)
    found = dict(map(json.loads, result.stdout.splitlines()))
    assert (result.returncode == 0) == (len(found) == len(CAPABILITIES)), result.stderr[-10000:]
    return found, result.stderr[-10000:]


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_compiled(compiled: tuple[dict[int, list[tuple[str, dict[str, Any]]]], str], capability: int) -> None:
    """No kernel spills registers; what streams through memory loads 128 bits at once; float64 is not fused."""
    found, said = compiled
    assert capability in found, said
    for name, report in found[capability]:
        assert report["spills"] == 0, f"{name}: {report}"
        assert report["stack"] == 0, f"{name}: {report}"
        assert report["fused"] == 0, f"{name}: {report}"
        if " 50257 " in name:  # rows begin anywhere
            continue
        if name.startswith(("packed", "tile", "stream", "reduce", "probabilities", "mass", "take")):
            assert report["loads"].get("128", 0) > 0, f"{name}: {report}"
