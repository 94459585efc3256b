"""The first five minutes: README's blocks pasted in their order into a new environment with the minimal install."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import distribution
from pathlib import Path

import pytest

import rad_fast

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
FENCE = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
COMMAND = re.compile(r"^    (rad-fast .+)$", re.M)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment that sees NumPy, SciPy and rad_fast, and nothing else that is installed here: its python."""
    home = tmp_path_factory.mktemp("fresh")
    venv.create(home / "venv", with_pip=False, symlinks=True)
    packages = home / "packages"
    packages.mkdir()
    for name in ("numpy", "scipy"):
        there = distribution(name)
        for entry in {file.parts[0] for file in there.files or () if file.parts[0] != ".."}:
            (packages / entry).symlink_to(Path(str(there.locate_file(entry))).resolve())
    # The package as it is installed here, compiled modules and all, put together from where its parts are.
    package = packages / "rad_fast"
    package.mkdir()
    for part in Path(rad_fast.__file__).parent.iterdir():
        if part.name not in ("__pycache__", "kernels"):
            (package / part.name).symlink_to(part.resolve())
    kernels = importlib.import_module("rad_fast.kernels")
    (package / "kernels").symlink_to(Path(next(iter(kernels.__path__))).resolve())
    compiled = importlib.util.find_spec("rad_fast._cpu")
    if compiled is not None and compiled.origin is not None and not (package / Path(compiled.origin).name).exists():
        (package / Path(compiled.origin).name).symlink_to(compiled.origin)
    metadata = Path(str(distribution("rad_fast")._path))  # type: ignore[attr-defined]
    (packages / metadata.name).symlink_to(metadata.resolve())
    python = home / "venv" / "bin" / "python"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (home / "venv" / "lib" / version / "site-packages" / "here.pth").write_text(f"{packages}\n")
    assert sysconfig.get_python_version() in version
    return python


def run(python: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_"))}
    command = [str(python), "-W", "error", *arguments]
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, check=False, timeout=300)


def test_the_environment_has_nothing_but_the_minimal_install(fresh: Path, tmp_path: Path) -> None:
    probe = "import importlib.util as i; print([n for n in {names!r} if i.find_spec(n)])"
    names = ["torch", "pandas", "matplotlib", "numba", "pytest", "rad_fast", "numpy", "scipy"]
    done = run(fresh, "-c", probe.format(names=names), folder=tmp_path)
    assert done.stdout.strip() == "['rad_fast', 'numpy', 'scipy']", done.stderr


def test_the_blocks_of_the_readme_run_in_their_order_pasted_into_one_interpreter(fresh: Path, tmp_path: Path) -> None:
    """All but those that say that they need torch."""
    blocks = [block for block in FENCE.findall(README.read_text(encoding="utf-8")) if "import torch" not in block]
    assert len(blocks) >= 2
    done = run(fresh, "-c", "\n".join(blocks), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1000 ["), done.stdout
    assert "1,000 of 100,000 points selected" in done.stdout


def test_the_first_block_needs_numpy_alone_and_follows_the_two_commands() -> None:
    text = README.read_text(encoding="utf-8")
    first = FENCE.search(text)
    assert first is not None
    assert "torch" not in first[1]
    before = text[: first.start()]
    assert "make demo" in before
    assert "make test" in before


def test_the_command_of_the_readme_runs(fresh: Path, tmp_path: Path) -> None:
    commands = COMMAND.findall(README.read_text(encoding="utf-8"))
    assert commands
    make = "import numpy as n; x = n.random.default_rng(0).normal(0, 4, (9000, 10)).astype('f'); "
    make += "n.save('logits.npy', x); n.save('student.npy', x / 2)"
    assert run(fresh, "-c", make, folder=tmp_path).returncode == 0
    for command in commands:
        done = run(fresh, "-m", "rad_fast", *shlex.split(command)[1:], folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "90 of 9,000 points selected" in done.stdout
    assert (tmp_path / "picks.csv").read_text(encoding="utf-8").startswith("index,label,gain")


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.split()) < 700
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert len(links) > 5
    missing = [link for link in links if ":" not in link and not (ROOT / link.partition("#")[0]).exists()]
    assert not missing, f"README.md links to what is not there: {missing}"
    assert text.count("![") == 1, "one picture"
