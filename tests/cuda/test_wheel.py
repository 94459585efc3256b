"""A wheel with the CUDA kernels: built from the source distribution, installed into an empty environment, and used."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from . import conftest as build

TOOLS = ("pip", "scikit_build_core", "pybind11", "cmake", "ninja")
MOST_BYTES = 10 << 20


@pytest.mark.slow
def test_wheel_built_from_the_source_distribution(tmp_path: Path, nvcc: tuple[str, dict[str, str]]) -> None:
    missing = [name for name in TOOLS if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"building needs {', '.join(missing)} (make installs them)")
    path, _ = nvcc
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SKBUILD"))}
    clean["PATH"] = f"{Path(sys.executable).parent}:{clean['PATH']}"
    code = f"from scikit_build_core.build import build_sdist; print(build_sdist({str(tmp_path)!r}))"
    build.run([sys.executable, "-c", code], cwd=build.ROOT, env=clean)
    source = next(tmp_path.glob("*.tar.gz"))
    wanted = {"SKBUILD_CMAKE_DEFINE": "RAD_FAST_CUDA=ON;CMAKE_CUDA_ARCHITECTURES=90-real", "CUDACXX": path}
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-build-isolation"]
    offline = ["--no-deps", "--no-index", "-w", str(tmp_path), str(source)]
    build.run([*pip, *offline], cwd=tmp_path, env=clean | wanted)
    wheel = next(tmp_path.glob("*.whl"))
    assert wheel.stat().st_size < MOST_BYTES
    names = zipfile.ZipFile(wheel).namelist()
    assert sum(name.startswith("rad_fast/_cuda.") and name.endswith(".so") for name in names) == 1
    assert not [name for name in names if name.endswith((".cu", ".cuh", ".hpp", ".a"))]

    # NumPy and SciPy are taken from the environment of the tests: nothing is downloaded.
    venv.create(tmp_path / "empty", with_pip=False)
    python = tmp_path / "empty" / "bin" / "python"
    packages = next((tmp_path / "empty" / "lib").glob("python*/site-packages"))
    zipfile.ZipFile(wheel).extractall(packages)
    for name in ("numpy", "scipy", "numpy.libs", "scipy.libs"):
        spec = importlib.util.find_spec(name.partition(".")[0])
        assert spec is not None
        assert spec.origin is not None
        at = Path(spec.origin).parents[1] / name
        if at.exists():
            (packages / name).symlink_to(at)
    script = build.ROOT / "tests" / "cuda" / "select_once.py"
    said = subprocess.run([python, "-I", script], capture_output=True, text=True, env=clean, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    assert "CUDA for 90-real" in said.stdout
