"""The rad_fast that is measured: the one that is installed or, in a checkout, one put together in build/gpu_report.

In a checkout ``rad_fast`` lacks ``rad_fast.kernels``, which is the folder kernels/ once installed, and the compiled
modules. The tree made here has links to the sources in their installed places and the modules built by cmake.
Imports nothing of rad_fast: it may not be importable yet.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .parts import DONE, DROPPED, FAILED, Budget, Outcome, finished, last_lines, reason_of

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "gpu_report"
MODULES = ("_cpu", "_cuda")
CONFIGURE_SECONDS = 60.0

# Run where no folder named rad_fast lies beside it, so that only an installed one is found.
PROBE = """
import importlib.util, json
found = {"rad_fast": "", "why": "", "modules": [], "capability": None}
try:
    import rad_fast, rad_fast.kernels.reference.score
    found["rad_fast"] = rad_fast.__file__
    found["modules"] = [name for name in ("_cpu", "_cuda") if importlib.util.find_spec("rad_fast." + name)]
except ImportError as error:
    found["why"] = str(error)
try:
    import torch
    if torch.cuda.is_available():
        found["capability"] = torch.cuda.get_device_capability()
except Exception as error:
    found["torch"] = repr(error)
print(json.dumps(found))
"""


@dataclass
class Built:
    """Where the measuring runs, with what on its path, and what became of the build."""

    tree: Path
    outcomes: list[Outcome] = field(default_factory=list)
    installed: str = ""

    def environment(self) -> dict[str, str]:
        path = os.environ.get("PYTHONPATH", "")
        return {**os.environ, "PYTHONPATH": f"{self.tree}{os.pathsep}{path}" if path else str(self.tree)}


def prepare(budget: Budget, most: float, folder: Path = FOLDER) -> Built:
    """An importable rad_fast with what could be built of it, within ``most`` seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "logs").mkdir(exist_ok=True)
    found = probe(folder)
    tree = fresh(folder / "tree")
    (tree / "benchmarks").symlink_to(ROOT / "benchmarks")
    if found["rad_fast"]:
        reason = "" if "_cuda" in found["modules"] or not found["capability"] else NO_MODULE.format(**found)
        # Without the place: the page is for others, too.
        outcome = Outcome("build", FAILED if reason else DONE, reason, said="rad_fast as installed")
        return Built(tree, [outcome], found["rad_fast"])
    outcomes, modules = build(folder, found["capability"], budget, most)
    plant(tree / "rad_fast", modules)
    return Built(tree, outcomes)


NO_MODULE = (
    "{rad_fast} has no rad_fast._cuda: only Triton is measured; install with pip install . "
    "-C cmake.define.RAD_FAST_CUDA=ON, or uninstall rad_fast for the checkout to be built here"
)


def probe(folder: Path) -> dict[str, Any]:
    """The installed rad_fast, if there is one, and the GPU's compute capability, from a process of its own."""
    empty = fresh(folder / "empty")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, cwd=empty, env=environment, check=False
    )
    try:
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        why = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        return {"rad_fast": "", "why": f"Python says: {why}", "modules": [], "capability": None}
    return found


def fresh(folder: Path) -> Path:
    """An empty folder in place of what was there; links in it are removed, not what they point to."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def plant(package: Path, modules: list[Path]) -> None:
    """The package as it would be installed, as links."""
    package.mkdir()
    for source in sorted((ROOT / "rad_fast").iterdir()):
        if source.name != "__pycache__" and source.suffix != ".so":
            (package / source.name).symlink_to(source)
    (package / "kernels").symlink_to(ROOT / "kernels")
    for module in modules:
        (package / module.name).symlink_to(module)


# ---------------------------------------------------------------------------------------------------------------- cmake


def build(folder: Path, capability: list[int] | None, budget: Budget, most: float) -> tuple[list[Outcome], list[Path]]:
    """The compiled modules that could be built, each in its own turn; what could not says why."""
    missing = lacking()
    if missing:
        return [Outcome("build", FAILED, f"not built, missing: {missing}")], []
    if capability is None:
        return [Outcome("build", DROPPED, "no CUDA device: nothing is compiled for it")], []
    to, logs = folder / f"cmake-{sys.implementation.cache_tag}", folder / "logs"
    begin = budget.spent()

    def left() -> float:
        return min(most - (budget.spent() - begin), budget.left())

    outcomes, wanted = [configure(to, logs, "ON", capability, min(left(), CONFIGURE_SECONDS))], list(MODULES)
    if outcomes[0].status == FAILED:  # the CPU's module needs no CUDA, and the tests compare with it
        outcomes.append(configure(to, logs, "OFF", capability, min(left(), CONFIGURE_SECONDS)))
        wanted = ["_cpu"] if outcomes[-1].status == DONE else []
    made: list[Path] = []
    for name in reversed(wanted):  # the GPU's first: it is what is measured
        outcome = step(f"build {name}", ["cmake", "--build", str(to), "--target", name], logs, left())
        outcomes.append(outcome)
        module = to / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
        if outcome.status == DONE and not module.exists():
            outcome.status, outcome.reason = FAILED, f"cmake says it is built, but there is no {module}"
        made += [module] if outcome.status == DONE else []
    return outcomes, made


def lacking() -> str:
    """What the build needs and does not find."""
    needs = {
        "cmake": shutil.which("cmake"),
        "a C++ compiler (g++, clang++ or $CXX)": os.environ.get("CXX")
        or shutil.which("g++")
        or shutil.which("clang++"),
        "pybind11 (pip install pybind11)": importlib.util.find_spec("pybind11"),
    }
    return ", ".join(name for name, found in needs.items() if not found)


def configure(to: Path, logs: Path, cuda: str, capability: list[int], limit: float) -> Outcome:
    pybind11 = importlib.import_module("pybind11")
    command = ["cmake", "-S", str(ROOT), "-B", str(to), *(["-G", "Ninja"] if shutil.which("ninja") else [])]
    command += [f"-DPython_EXECUTABLE={sys.executable}", f"-Dpybind11_DIR={pybind11.get_cmake_dir()}"]
    command += [f"-DRAD_FAST_CUDA={cuda}", f"-DCMAKE_CUDA_ARCHITECTURES={capability[0]}{capability[1]}-real"]
    name = "configure" if cuda == "ON" else "configure without CUDA"
    return step(name, [*command, "-DCMAKE_BUILD_TYPE=Release"], logs, limit)


def step(name: str, command: list[str], logs: Path, limit: float) -> Outcome:
    if limit < 1:
        return Outcome(name, DROPPED, "no time was left for it")
    log = logs / f"{name.replace(' ', '-')}.log"
    jobs = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL") or str(os.cpu_count() or 1)
    begin = time.monotonic()
    try:
        code, late = finished(command, limit, log, ROOT, {**os.environ, "CMAKE_BUILD_PARALLEL_LEVEL": jobs})
    except OSError as error:
        return Outcome(name, FAILED, f"{command[0]} does not start: {error}")
    output = log.read_text(errors="replace")
    # Without a compiler or headers CMakeLists.txt goes on, and warns: that is the reason to give here.
    warned = [text.strip() for text in output.splitlines() if text.strip().startswith("rad_fast: no ")]
    reason = "; ".join(filter(None, (reason_of(code, late, limit), *warned)))
    last = last_lines(output)
    status = FAILED if reason else DONE
    return Outcome(name, status, reason, time.monotonic() - begin, last_lines=last if reason else [])
