"""mypy and pyright read a user's script as its author would: with the types that the package is installed with."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent.parent
USER, WRONG = FOLDER / "user_script.py", FOLDER / "wrong_script.py"

pytestmark = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="the script is one with torch")


def mypy(script: Path, cache: Path) -> str:
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    return said(sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, "--cache-dir", cache, script)


def pyright(script: Path) -> str:
    """pyright is a program for node; the variable PYRIGHT names its index.js, as npm install pyright leaves it."""
    program = os.environ.get("PYRIGHT")
    if not program or shutil.which("node") is None:
        pytest.skip("needs node, and PYRIGHT=.../node_modules/pyright/index.js (npm install pyright)")
    return said("node", program, "--pythonpath", sys.executable, script)


def said(*command: str | Path) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    return done.stdout + done.stderr


def lines(text: str, script: Path) -> list[int]:
    """The lines of a script that a checker complains of."""
    return sorted({int(line) for line in re.findall(rf"{script.name}:(\d+)(?::\d+)*:? (?:- )?error", text)})


def marked(script: Path) -> list[int]:
    text = script.read_text(encoding="utf-8").splitlines()
    return [number for number, line in enumerate(text, 1) if line.endswith("# refused")]


@pytest.mark.slow
def test_mypy_accepts_a_users_script_and_refuses_misspelt_choices(tmp_path: Path) -> None:
    accepted = mypy(USER, tmp_path)
    assert "Success: no issues found" in accepted, accepted
    refused = mypy(WRONG, tmp_path)
    assert lines(refused, WRONG) == marked(WRONG), refused


@pytest.mark.slow
def test_pyright_accepts_a_users_script_and_refuses_misspelt_choices() -> None:
    accepted = pyright(USER)
    assert "0 errors" in accepted, accepted
    refused = pyright(WRONG)
    assert lines(refused, WRONG) == marked(WRONG), refused
