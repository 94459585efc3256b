"""The one CUDA build of the suite: a wheel with machine code for three generations, built from the source distribution.

test_wheel.py installs it, test_build.py reads what the assembler said and loads its module, and
benchmarks/gpu/counted.py counts the instructions in its objects. It is built in build/cuda-tests/wheel, by one worker
while the others wait, and what has not changed since the last run is not compiled again.
"""

from __future__ import annotations

import fcntl
import glob
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "cuda-tests" / "wheel"
GENERATIONS = (80, 90, 100)  # Ampere, Hopper, Blackwell; the wheel's other three are variants of these
TOOLS = ("pip", "scikit_build_core", "pybind11", "cmake", "ninja")
LAUNCHER = f"{sys.executable};{Path(__file__).with_name('compile_once.py')}"


class Built(NamedTuple):
    wheel: Path
    generations: tuple[int, ...]  # those that nvcc knows
    objects: Path  # score.cu.o, ...; score.cu.o.log beside it is what nvcc said


def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done


@cache
def nvcc() -> str:
    """A CUDA compiler: of a toolkit, or of the packages of rad_fast[cuda-build]."""
    homes = [os.environ.get(name, "") for name in ("CUDA_HOME", "CUDA_PATH")]
    packaged = sorted(glob.glob(f"{sysconfig.get_path('purelib')}/nvidia/cu*"))
    for home in [*filter(None, homes), "/usr/local/cuda", "/opt/cuda", *packaged]:
        if (Path(home) / "bin" / "nvcc").exists():
            return f"{home}/bin/nvcc"
    found = shutil.which("nvcc")
    if found is None:
        pytest.skip('no nvcc: no CUDA toolkit, and not pip install "rad_fast[cuda-build]"')
    return found


def clean() -> dict[str, str]:
    """The environment without what would change a build, and with the tools of this Python first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SKBUILD"))}
    return kept | {"PATH": f"{Path(sys.executable).parent}:{kept['PATH']}"}


@cache
def built() -> Built:
    missing = [name for name in TOOLS if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"building needs {', '.join(missing)} (make installs them)")
    if shutil.which(os.environ.get("CXX", "g++").split()[0]) is None and shutil.which("clang++") is None:
        pytest.skip("no C++ compiler")
    known = run([nvcc(), "--list-gpu-code"]).stdout.split()
    generations = tuple(generation for generation in GENERATIONS if f"sm_{generation}" in known)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Which run of the suite built it. A run of one process has no name, and calls this once.
        name, stamp = os.environ.get("PYTEST_XDIST_TESTRUNUID", ""), FOLDER / "built"
        if not name or not stamp.exists() or stamp.read_text() != name:
            build(generations)
            stamp.write_text(name)
    (wheel,) = FOLDER.glob("*.whl")
    (objects,) = (FOLDER / "source" / "build").glob("*/CMakeFiles/_cuda.dir/csrc/cuda")
    return Built(wheel, generations, objects)


def build(generations: tuple[int, ...]) -> None:
    for old in [*FOLDER.glob("*.whl"), *FOLDER.glob("*.tar.gz")]:
        old.unlink()
    code = f"from scikit_build_core.build import build_sdist; print(build_sdist({str(FOLDER)!r}))"
    run([sys.executable, "-c", code], cwd=ROOT, env=clean())
    unpack(next(FOLDER.glob("*.tar.gz")), FOLDER / "source")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-build-isolation"]
    wanted_code = ";".join(f"{generation}-real" for generation in generations)
    settings = ["-C", "cmake.define.RAD_FAST_CUDA=ON", "-C", f"cmake.define.CMAKE_CUDA_ARCHITECTURES={wanted_code}"]
    wanted = {"CUDACXX": nvcc(), "CUDAFLAGS": "-Xptxas=-v"}
    wanted |= {f"CMAKE_{language}_COMPILER_LAUNCHER": LAUNCHER for language in ("CXX", "CUDA")}
    offline = ["--no-deps", "--no-index", "-w", str(FOLDER), str(FOLDER / "source")]
    run([*pip, *settings, *offline], cwd=FOLDER, env=clean() | wanted)


def unpack(archive: Path, to: Path) -> None:
    """As `tar -x` into an empty folder, but for the build folder, and files that are as they were keep their time."""
    wanted = set()
    with tarfile.open(archive) as files:
        for member in files:
            content = files.extractfile(member)
            if content is None:
                continue
            path = to.joinpath(*Path(member.name).parts[1:])
            wanted.add(path)
            data = content.read()
            if not path.exists() or path.read_bytes() != data:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                path.chmod(member.mode)
    for path in to.rglob("*"):
        if path.is_file() and path not in wanted and path.relative_to(to).parts[0] != "build":
            path.unlink()


def architectures(built: Built) -> str:
    """As rad_fast._cuda says them."""
    return " ".join(f"{generation}-real" for generation in built.generations)
