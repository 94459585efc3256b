"""A wheel with the CUDA kernels: built from the source distribution, installed into an empty environment, and used."""

from __future__ import annotations

import importlib.util
import subprocess
import venv
import zipfile
from pathlib import Path

import pytest

from . import wheel

MOST_BYTES = 10 << 20


@pytest.mark.slow
def test_wheel_built_from_the_source_distribution(tmp_path: Path) -> None:
    built = wheel.built()
    assert built.wheel.stat().st_size < MOST_BYTES
    names = zipfile.ZipFile(built.wheel).namelist()
    assert sum(name.startswith("rad_fast/_cuda.") and name.endswith(".so") for name in names) == 1
    assert not [name for name in names if name.endswith((".cu", ".cuh", ".hpp", ".a"))]

    # NumPy and SciPy are taken from the environment of the tests: nothing is downloaded.
    venv.create(tmp_path / "empty", with_pip=False)
    python = tmp_path / "empty" / "bin" / "python"
    packages = next((tmp_path / "empty" / "lib").glob("python*/site-packages"))
    zipfile.ZipFile(built.wheel).extractall(packages)
    for name in ("numpy", "scipy", "numpy.libs", "scipy.libs"):
        spec = importlib.util.find_spec(name.partition(".")[0])
        assert spec is not None
        assert spec.origin is not None
        at = Path(spec.origin).parents[1] / name
        if at.exists():
            (packages / name).symlink_to(at)
    script = wheel.ROOT / "tests" / "cuda" / "select_once.py"
    said = subprocess.run([python, "-I", script], capture_output=True, text=True, env=wheel.clean(), check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    assert f"CUDA for {wheel.architectures(built)}" in said.stdout
