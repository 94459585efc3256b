"""Every code block of the documentation runs as it stands, and gives what it shows.

The blocks of a page run in their order, in one namespace and one empty folder. What stands in a ```text block just
below code is what the code prints, but for the last digits of its numbers; `...` stands for anything. Of ```console
blocks the commands after "$ " run.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib.util
import io
import math
import os
import random
import re
import shlex
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from rad_fast import cli

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "CONTRIBUTING.md"])
FENCE = re.compile(r"^(?P<marks>```+)(?P<kind>\S*)(?P<info>[^\n]*)\n(?P<source>.*?)^(?P=marks)$", re.M | re.S)
GPU = 'title="needs a CUDA device: not run"'
OPTIONAL = "torch|ray|datasets|sklearn|transformers|trl|tokenizers|matplotlib|pyarrow|safetensors|zarr"
IMPORT = re.compile(rf"^\s*(?:import|from) ({OPTIONAL})\b", re.M)
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d*)?(?:e[-+]?\d+)?%?")
SAME = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
NOT_RUN = ("apt-get", "git", "make", "nvidia-smi", "pip")  # the names in them are checked instead


class Block(NamedTuple):
    kind: str
    info: str
    source: str
    line: int

    @property
    def placed(self) -> str:
        """With blank lines before it, so that tracebacks name the page's line."""
        return "\n" * (self.line - 1) + self.source


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start("source")) + 1
        found.append(Block(match["kind"], match["info"].strip(), match["source"], line))
    return found


def with_code() -> list[object]:
    kinds = ("python", "console")
    return [pytest.param(page, id=name_of(page)) for page in PAGES if any(b.kind in kinds for b in blocks(page))]


def on_gpu() -> list[object]:
    return [
        pytest.param(page, block, id=f"{name_of(page)}-line-{block.line}")
        for page in PAGES
        for block in blocks(page)
        if block.info == GPU
    ]


@pytest.mark.parametrize("page", with_code())
def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = [block for block in blocks(page) if block.info != GPU]
    for module in sorted({name for block in here for name in IMPORT.findall(block.source)}):
        pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - for blocks that draw from the global generator
    space: dict[str, Any] = {"__name__": "__main__"}
    said, shown = "", True
    for block in here:
        where = f"{name_of(page)}, line {block.line}"
        if block.kind == "python":
            with quiet(block), contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(block.placed, str(page), "exec"), space)
            said, shown = out.getvalue(), False
        elif block.kind == "text":
            assert shown or same(block.source, said), f"{where}: the code above prints\n{said}"
            shown = True
        elif block.kind == "console":
            for command, expected in commands(block.source):
                got = run(command, where)
                assert not expected or same(expected, got), f"{where}: {command}\nprints\n{got}"
            shown = True


@pytest.mark.gpu
@pytest.mark.parametrize(("page", "block"), on_gpu())
def test_block_that_needs_a_cuda_device(page: Path, block: Block) -> None:
    compile(block.placed, str(page), "exec")
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")
    for module in re.findall(r"^import (cupy)", block.source, re.M):
        pytest.importorskip(module)
    exec(compile(block.placed, str(page), "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_block_escapes(page: Path) -> None:
    """No fence is indented, where it would not be found, nor of a kind that nothing runs or compares."""
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"^[ \t]+```", text, re.M), "an indented fence"
    for block in blocks(page):
        assert block.kind in ("python", "console", "text"), f"line {block.line}: a block of kind {block.kind!r}"
        assert block.info in ("", GPU) or block.kind == "text", f"line {block.line}: {block.info}"


def test_figures_quoted_from_the_study_are_those_on_its_page() -> None:
    """README and Choosing say what docs/study.md says, strategy by strategy."""
    names = ("docs/study.md", "docs/choosing.md", "README.md")
    page, choosing, readme = ((DOCS.parent / name).read_text(encoding="utf-8") for name in names)
    real_sets = page.partition("### All strategies, real sets")[2].partition("###")[0]
    means = {row.split("|")[1].strip(" *`"): row.split("|")[2].strip() for row in real_sets.splitlines() if "±" in row}
    quoted = re.findall(r"^\| `([a-z0-9-]+)`.*\| ([+-][0-9.]+ ± [0-9.]+) \|$", choosing, re.M)
    assert len(quoted) >= 5
    assert dict(quoted) == {name: means[name] for name, _ in quoted}
    figure = r"\d+\.\d ± \d+\.\d"
    assert set(re.findall(figure, choosing)) <= set(re.findall(figure, page))
    best, rival = re.findall(r"is worth \+([0-9.]+) ± ([0-9.]+)", " ".join(page.split()))[:2]
    brings = "{} ± {} points more accuracy than random ones; the best simple rule brings {}."
    assert brings.format(*best, rival[0]) in " ".join(readme.split())


def test_facts_say_how_long_the_study_took() -> None:
    page, facts = ((DOCS / name).read_text(encoding="utf-8") for name in ("study.md", "facts.md"))
    took = re.search(r"It took (\d+ CPU minutes)\b", page)
    assert took is not None
    assert f"The first took {took[1]}" in facts


def test_facts_are_those_of_their_sources() -> None:
    """Each row of a table in docs/facts.md stands just so in the file that the line above the table names."""
    page = DOCS / "facts.md"
    source, rows = "", 0
    for line in page.read_text(encoding="utf-8").splitlines():
        named = re.match(r"From \[[^]]+\]\(([^)]+)\)", line)
        if named:
            source = (page.parent / named[1]).resolve().read_text(encoding="utf-8")
        elif line.startswith("#"):
            source = ""
        elif line.startswith("|") and source:
            rows += 1
            assert line in source.splitlines(), f"not in its source any more, copy it anew: {line}"
    assert rows > 10


def test_the_picture_of_the_game_shows_an_equilibrium() -> None:
    pytest.importorskip("sklearn")
    spec = importlib.util.spec_from_file_location("game_picture", DOCS / "pictures" / "game.py")
    assert spec is not None
    assert spec.loader is not None
    picture = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(picture)
    selection = picture.game()
    best = max(picture.value_at(selection, price) for price in np.linspace(0.0, 1.0, 1001))
    assert picture.value_at(selection, selection.price) == pytest.approx(selection.value, rel=1e-6)
    assert best <= selection.value * (1 + 1e-6)
    said = re.search(r"λ = (0\.\d+) and μ = (0\.\d+)", (DOCS / "concepts.md").read_text(encoding="utf-8"))
    assert said is not None
    assert (selection.price, selection.threshold) == pytest.approx([float(said[1]), float(said[2])], abs=0.01)


def test_the_design_names_every_folder_of_the_package() -> None:
    text = (DOCS / "design.md").read_text(encoding="utf-8")
    folders = [path.name for path in (ROOT / "rad_fast").iterdir() if (path / "__init__.py").exists()]
    assert len(folders) >= 10
    assert [name for name in folders if name != "kernels" and f"| `rad_fast/{name}/` |" not in text] == []


# ---------------------------------------------------------------------------------------------------------- helpers


@contextlib.contextmanager
def quiet(block: Block) -> Iterator[None]:
    """Ray and transformers warn of what they import themselves; nothing else may."""
    with warnings.catch_warnings():
        if re.search(r"^import ray$|^from transformers import", block.source, re.M):
            warnings.simplefilter("ignore")
        yield


def same(expected: str, got: str) -> bool:
    """Equal words, and about equal numbers: other versions of SciPy and torch round and train a little differently."""
    if doctest.OutputChecker().check_output(expected, got, SAME):
        return True
    wanted, found = NUMBER.findall(expected), NUMBER.findall(got)
    words = [" ".join(NUMBER.sub("#", text).split()).replace(" ]", "]").replace("[ ", "[") for text in (expected, got)]
    return words[0] == words[1] and all(map(about, wanted, found))


def about(wanted: str, found: str) -> bool:
    one, other = (float(text.replace(",", "").rstrip("%.")) for text in (wanted, found))
    if wanted.endswith("%"):
        return found.endswith("%") and abs(one - other) <= 5.0  # points of accuracy
    return math.isclose(one, other, rel_tol=0.02, abs_tol=0.011)


def commands(source: str) -> list[tuple[str, str]]:
    """The commands of a console block, and what is shown below each."""
    parts = re.split(r"^\$ ", source.replace("\\\n", " "), flags=re.M)
    assert not parts[0].strip(), f"expected a console block to begin with '$ ': {source}"
    return [(command, shown) for command, _, shown in (part.partition("\n") for part in parts[1:])]


def run(command: str, where: str) -> str:
    """What a command prints; of those that would install or build, only whether what they name is there."""
    words = shlex.split(command, comments=True)
    if words[0] in NOT_RUN or words[1:2] == ["-m"]:
        check_names(command, words)
        return ""
    if words[0] == "rad-fast":
        with contextlib.redirect_stdout(io.StringIO()) as out:
            assert cli.main(words[1:]) == 0, f"{where}: {command}"
        return out.getvalue()
    assert words[0] in ("python", "torchrun"), f"{where}: what is {words[0]}?"
    program = [sys.executable] if words[0] == "python" else [sys.executable, "-m", "torch.distributed.run"]
    arguments = [str(ROOT / word) if word.startswith(("examples/", "docs/")) else word for word in words[1:]]
    missing = [
        name
        for name in ("datasets", "sklearn", "torch")
        for word in arguments
        if word.endswith(".py") and f"import {name}" in Path(word).read_text(encoding="utf-8")
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        pytest.skip(f"{missing[0]} is not installed")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [*program, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, f"{where}: {command}\n{done.stderr}"
    return done.stdout


def check_names(command: str, words: list[str]) -> None:
    if words[0] == "pip":
        project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        for extra in re.findall(r"\[([\w,-]+)\]", command):
            for name in extra.split(","):
                assert re.search(rf"^{name} = \[", project, re.M), f"{command}: no extra {name}"
    if words[1:2] == ["-m"]:
        module = ROOT / words[2].replace(".", "/")
        assert module.with_suffix(".py").exists() or (module / "__main__.py").exists(), f"{command}: no such module"
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        targets = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
        for target in targets:
            assert re.search(rf"^{target}:", makefile, re.M), f"{command}: no target {target}"
