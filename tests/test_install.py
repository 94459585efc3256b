"""The wheel: what is in it, that NumPy and SciPy are all it needs, and that it can be built without a C++ compiler."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BUILD_TOOLS = ("pip", "scikit_build_core", "pybind11", "cmake", "ninja")
OPTIONAL = {"cupy", "jinja2", "joblib", "matplotlib", "numba", "pandas", "sklearn", "torch", "tqdm", "triton"}
SELECT = """
import numpy, rad_fast, rad_fast.kernels.reference.game
logits = 5 * numpy.random.default_rng(0).normal(size=(1000, 10))  # a confident teacher, of whom nothing warns
print(len(rad_fast.select(logits, 7)), rad_fast.__version__)
"""


def run(*command: str | Path, **environment: str) -> str:
    """What a command prints, stderr included; its failure shows that too."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SKBUILD", "COV_"))}
    done = subprocess.run(
        command,
        cwd="/",
        env=clean | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stdout}"
    return done.stdout


def build(folder: Path, **environment: str) -> tuple[Path, str]:
    """A wheel of this source tree, offline: with the build tools of the running environment."""
    missing = [name for name in BUILD_TOOLS if importlib.util.find_spec(name) is None]
    if missing or not (ROOT / "pyproject.toml").exists():
        pytest.skip(f"building a wheel needs the source tree and {', '.join(missing)} (make test installs them)")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--verbose")
    output = run(*pip, "--no-deps", "--no-index", "--no-build-isolation", "-w", folder, ROOT, **environment)
    return next(folder.glob("*.whl")), output


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built in the build folder that `make` uses: nothing is compiled twice."""
    return build(tmp_path_factory.mktemp("wheel"))[0]


@pytest.fixture(scope="session")
def wheel_without_compiler(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The same where CXX names nothing, and what the build said; in a build folder that knows no compiler yet."""
    folder = tmp_path_factory.mktemp("no_compiler")
    nothing = str(folder / "no-such-compiler")
    return build(folder, CC=nothing, CXX=nothing, SKBUILD_BUILD_DIR=str(folder / "build"))


@pytest.fixture
def installed(tmp_path: Path) -> Callable[[Path], Path]:
    """Installs a wheel into a new virtual environment that has NumPy and SciPy and nothing else; gives its bin/."""

    def install(wheel: Path) -> Path:
        if importlib.util.find_spec("ensurepip") is None:
            pytest.skip("this Python has no ensurepip (Debian: python3-venv)")
        home = tmp_path / "venv"
        venv.create(home, with_pip=True)
        where = "import sysconfig; print(sysconfig.get_path('platlib'))"
        packages = Path(run(home / "bin" / "python", "-c", where).strip())
        for name in ("numpy", "scipy"):  # links to those of the running environment: quick, and offline
            there = distribution(name)
            for entry in {file.parts[0] for file in there.files or () if file.parts[0] != ".."}:
                (packages / entry).symlink_to(Path(str(there.locate_file(entry))).resolve())
        pip = (home / "bin" / "python", "-m", "pip", "--disable-pip-version-check")
        run(*pip, "install", "--no-index", wheel)  # would fail if it required more than it finds
        run(*pip, "check")
        return home / "bin"

    return install


def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_the_package_its_kernels_and_nothing_else(wheel: Path) -> None:
    expected = {f"rad_fast/{p.relative_to(ROOT / 'rad_fast')}" for p in (ROOT / "rad_fast").rglob("*.py*")}
    expected |= {f"rad_fast/kernels/{p.relative_to(ROOT / 'kernels')}" for p in (ROOT / "kernels").rglob("*.py*")}
    expected = {name for name in expected if not name.endswith(".pyc") and "__pycache__" not in name}
    expected |= {"rad_fast/py.typed", "rad_fast/report/page.html"}
    found = contents(wheel)
    assert expected <= found, f"missing: {sorted(expected - found)}"
    extra = {name for name in found - expected if not re.fullmatch(r"rad_fast/_(cpu|cuda)\..*\b(so|pyd)", name)}
    assert not extra, f"not meant to be in it: {sorted(extra)}"
    assert "rad_fast/kernels/reference/game.py" in found


def test_a_minimal_install_selects(wheel: Path, installed: Callable[[Path], Path]) -> None:
    bin_folder = installed(wheel)
    assert run(bin_folder / "python", "-W", "error", "-c", SELECT).split() == ["7", distribution("rad_fast").version]
    assert "rad_fast" in run(bin_folder / "rad-fast", "info")


def test_an_install_without_compiler_succeeds_and_says_so(
    wheel_without_compiler: tuple[Path, str], installed: Callable[[Path], Path]
) -> None:
    wheel, output = wheel_without_compiler
    assert re.search(r"no C\+\+ compiler", output), output
    assert not [name for name in contents(wheel) if re.search(r"\.(so|pyd)$", name)]
    said = run(installed(wheel) / "python", "-W", "error", "-c", SELECT).splitlines()
    assert "NumPy does the work" in said[0], "one line says that the slow kernels serve"
    assert [line.split()[0] for line in said[1:]] == ["7"]


def test_the_description_for_a_package_index_leads_to_the_repository(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = archive.read(name).decode()
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert len(links) > 5
    assert [link for link in links if not link.startswith("https://")] == []
    assert "Description-Content-Type: text/markdown" in text
    assert "Author: rad_fast developers" in text
    assert "Project-URL: Changelog" in text


def test_every_python_that_the_classifiers_name_gets_a_wheel() -> None:
    if sys.version_info < (3, 11):
        pytest.skip("tomllib came with Python 3.11")
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    named = re.findall(r"Python :: 3\.(\d+)", " ".join(settings["project"]["classifiers"]))
    built = [re.fullmatch(r"cp3(\d+)-manylinux_x86_64", name) for name in settings["tool"]["cibuildwheel"]["build"]]
    assert [match[1] for match in built if match] == named
    assert settings["project"]["requires-python"] == f">=3.{named[0]}"


def test_import_loads_no_optional_package() -> None:
    # Here, where they are installed: in a minimal environment a guarded import would go unseen.
    modules = run(sys.executable, "-c", "import sys, rad_fast; print(*sys.modules)").split()
    assert "rad_fast" in modules
    loaded = OPTIONAL & {name.partition(".")[0] for name in modules}
    assert not loaded, f"import rad_fast imports {sorted(loaded)}"
