"""The rad_fast that is measured: installed, or put together from a checkout."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import build as gpu_build
from benchmarks.gpu.parts import DONE, DROPPED, FAILED, Budget, Outcome

NOTHING = {"rad_fast": "", "why": "", "modules": [], "capability": None}


def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **found: Any) -> gpu_build.Built:
    monkeypatch.setattr(gpu_build, "probe", lambda folder: {**NOTHING, **found})
    return gpu_build.prepare(Budget(100.0), 50.0, tmp_path)


def test_what_is_installed_is_measured_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = prepared(tmp_path, monkeypatch, rad_fast="/site/rad_fast", modules=["_cpu", "_cuda"], capability=[9, 0])
    assert [outcome.status for outcome in built.outcomes] == [DONE]
    assert [path.name for path in built.tree.iterdir()] == ["benchmarks"]
    assert built.environment()["PYTHONPATH"].startswith(str(built.tree))


def test_an_installed_one_without_cuda_is_said_where_there_is_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {"rad_fast": "/site/rad_fast", "modules": ["_cpu"]}
    (outcome,) = prepared(tmp_path, monkeypatch, **here, capability=[9, 0]).outcomes
    assert outcome.status == FAILED
    assert "RAD_FAST_CUDA=ON" in outcome.reason
    (outcome,) = prepared(tmp_path, monkeypatch, **here).outcomes
    assert outcome.status == DONE


def test_a_checkout_becomes_importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("pybind11") is None or shutil.which("cmake") is None:
        pytest.skip("building needs pybind11 and cmake (make installs them)")
    built = prepared(tmp_path, monkeypatch)
    assert [(outcome.status, outcome.reason) for outcome in built.outcomes] == [
        (DROPPED, "no CUDA device: nothing is compiled for it")
    ]
    code = "import sys; sys.path[:0] = ['.']; sys.meta_path[:] = [f for f in sys.meta_path if isinstance(f, type)]\n"
    code += "import rad_fast.kernels.reference.score as s, benchmarks.gpu.build as b; print(s.__file__); print(b.ROOT)"
    said = subprocess.run([sys.executable, "-c", code], cwd=built.tree, capture_output=True, text=True, check=True)
    score, root = said.stdout.splitlines()
    assert Path(score).is_relative_to(built.tree)
    assert Path(root) == gpu_build.ROOT
    again = prepared(tmp_path, monkeypatch)  # the links of the last time are replaced, not followed
    assert (again.tree / "rad_fast" / "kernels" / "reference" / "score.py").exists()


def test_what_the_build_misses_is_named_and_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pybind11" else find(name))
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "cmake" else f"/bin/{name}")
    built = prepared(tmp_path, monkeypatch, capability=[9, 0])
    (outcome,) = built.outcomes
    assert (outcome.status, outcome.reason) == (
        FAILED, "not built, missing: cmake, pybind11 (pip install pybind11)"
    )  # fmt: skip
    assert (built.tree / "rad_fast" / "kernels").is_dir()


def steps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, failing: tuple[str, ...]
) -> tuple[list[str], gpu_build.Built]:
    """A build whose steps named in ``failing`` fail, and whose others leave what they should."""
    commands: list[str] = []

    def step(name: str, command: list[str], logs: Path, limit: float) -> Outcome:
        commands.append(" ".join(command))
        if name in failing:
            return Outcome(name, FAILED, "exit status 1")
        if name.startswith("build"):
            to = Path(command[2])
            to.mkdir(exist_ok=True)
            (to / f"{name.split()[1]}{gpu_build.sysconfig.get_config_var('EXT_SUFFIX')}").write_text("")
        return Outcome(name, DONE)

    monkeypatch.setattr(gpu_build, "lacking", lambda: "")
    monkeypatch.setattr(gpu_build, "step", step)
    monkeypatch.setitem(sys.modules, "pybind11", type(sys)("pybind11"))
    monkeypatch.setattr(sys.modules["pybind11"], "get_cmake_dir", lambda: "/pybind11", raising=False)
    return commands, prepared(tmp_path, monkeypatch, capability=[9, 0])


def modules(built: gpu_build.Built) -> list[str]:
    return sorted(path.name.partition(".")[0] for path in (built.tree / "rad_fast").glob("*.so"))


def test_both_modules_are_built_for_the_gpu_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands, built = steps(monkeypatch, tmp_path, ())
    assert "-DRAD_FAST_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES=90-real" in commands[0]
    assert f"-DPython_EXECUTABLE={sys.executable}" in commands[0]
    assert [command.rpartition(" ")[2] for command in commands[1:]] == ["_cuda", "_cpu"]
    assert modules(built) == ["_cpu", "_cuda"]


def test_without_nvcc_the_cpu_module_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands, built = steps(monkeypatch, tmp_path, ("configure",))
    assert "-DRAD_FAST_CUDA=OFF" in commands[1]
    assert [outcome.status for outcome in built.outcomes] == [FAILED, DONE, DONE]
    assert modules(built) == ["_cpu"]


def test_a_module_of_an_earlier_build_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps(monkeypatch, tmp_path, ())
    _, built = steps(monkeypatch, tmp_path, ("build _cuda",))
    assert modules(built) == ["_cpu"]


def test_a_build_that_only_warns_has_failed(tmp_path: Path) -> None:
    said = "echo 'CMake Warning:'; echo '  rad_fast: no Python headers found; installing without'"
    outcome = gpu_build.step("configure", ["sh", "-c", said], tmp_path, 60.0)
    assert (outcome.status, outcome.reason) == (FAILED, "rad_fast: no Python headers found; installing without")


def test_the_probe_finds_this_rad_fast(tmp_path: Path) -> None:
    found = gpu_build.probe(tmp_path)
    assert found["rad_fast"].endswith("__init__.py")
