"""What of the CUDA sources runs on the CPU, built by a C++ compiler. What nvcc builds is in wheel.py.

Built files are kept in build/cuda-tests, under the hash of all that went into them.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import sysconfig
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from rad_fast.device import arrays

from .wheel import ROOT, run

CUDA = ROOT / "csrc" / "cuda"
SOURCES = [CUDA / f"{stage}.cu" for stage in ("score", "game", "classes", "sample", "order", "keys", "memory")]
BINDINGS = [ROOT / "csrc" / f"bindings_cuda{part}" for part in (".cpp", "_classes.cpp", ".hpp")]
ARRAYS = ROOT / "csrc" / "arrays.cpp"
EMULATOR = ROOT / "tests" / "cuda" / "emulator"
BUILT = ROOT / "build" / "cuda-tests"
WARNINGS = ["-Wall", "-Wextra"]


def run_to(command: list[str], to: Path) -> None:
    run([*command, "-o", str(to)])


def cached(name: str, *of: object, make: Callable[[Path], None]) -> Path:
    """The file that ``make`` writes to the path it is given; made once for the same sources and command."""
    digest = hashlib.sha256(repr(of).encode())
    for path in sorted([*CUDA.iterdir(), CUDA.parent / "constants.hpp", *BINDINGS, ARRAYS, *EMULATOR.iterdir()]):
        digest.update(path.name.encode() + path.read_bytes())
    target = BUILT / digest.hexdigest()[:16] / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several workers one builds, the others wait for it
        if not target.exists():
            partial = target.with_name(f"{target.stem}-{os.getpid()}{target.suffix}")
            make(partial)
            partial.replace(target)
    return target


def loaded(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def compiler() -> list[str]:
    """A C++ compiler with the flags that an extension module takes."""
    found = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if found is None:
        pytest.skip("no C++ compiler")
    pybind11 = pytest.importorskip("pybind11", reason="pybind11 is not installed (make installs it)")
    includes = [f"-I{pybind11.get_include()}", f"-I{sysconfig.get_path('include')}"]
    return [*found.split(), "-std=c++17", "-fPIC", "-ffp-contract=off", *WARNINGS, "-Werror", *includes]


@pytest.fixture(scope="session")
def shared(compiler: list[str]) -> ModuleType:
    """The functions that host and device share, on the host."""
    source = ROOT / "tests" / "cuda" / "shared_functions.cpp"
    command = [*compiler, "-O1", "-shared", str(source)]
    make = partial(run_to, command)
    return loaded("shared_functions", cached("shared_functions.so", command, source.read_text(), make=make))


@pytest.fixture(scope="session")
def emulated(compiler: list[str]) -> ModuleType:
    """rad_fast._cuda with its kernels run by fibers on the CPU (emulator/cuda_runtime.h)."""
    flags = [*compiler, "-O1", f"-I{EMULATOR}", "-DRAD_FAST_MODULE=emulated", "-Wno-unknown-pragmas"]
    flags.append("-Wno-array-bounds")  # GCC 12 about a swap in the emulator

    def make(to: Path) -> None:
        objects = []
        for source in [*SOURCES, *BINDINGS[:2], ARRAYS]:
            objects.append(str(to.with_name(source.stem + ".o")))
            run([*flags, "-x", "c++", "-c", str(source), "-o", objects[-1]])
        run([compiler[0], "-shared", *objects, "-o", str(to)])

    return loaded("emulated", cached("emulated.so", flags, make=make))


@pytest.fixture
def on_emulator(emulated: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """rad_fast.device works with the emulated kernels."""
    monkeypatch.setattr(arrays, "MODULE", [emulated])
    return emulated
