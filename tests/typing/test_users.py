"""mypy and pyright read a user's script as its author would: with the types that the package is installed with."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent.parent
USER, WRONG = FOLDER / "user_script.py", FOLDER / "wrong_script.py"

pytestmark = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="the script is one with torch")


def mypy(cache: Path) -> str:
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    alone = ["--strict", "--config-file", os.devnull, "--cache-dir", str(cache)]
    return said(sys.executable, "-m", "mypy", *alone, USER, WRONG)


def pyright(folder: Path) -> str:
    """By basedpyright, whose wheels hold pyright's checker and a node to run it: nothing is fetched for the test."""
    if importlib.util.find_spec("basedpyright") is None:
        pytest.skip("basedpyright is not installed")
    settings = folder / "pyrightconfig.json"  # pyright's own rules, where basedpyright has stricter ones
    settings.write_text(json.dumps({"include": [str(USER), str(WRONG)], "typeCheckingMode": "standard"}))
    return said(sys.executable, "-m", "basedpyright", "--project", settings, "--pythonpath", sys.executable)


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
    text = mypy(tmp_path)
    assert "errors in 1 file (checked 2 source files)" in text, text
    assert (lines(text, USER), lines(text, WRONG)) == ([], marked(WRONG)), text


@pytest.mark.slow
def test_pyright_accepts_a_users_script_and_refuses_misspelt_choices(tmp_path: Path) -> None:
    text = pyright(tmp_path)
    assert re.search(r"^[1-9]\d* errors, 0 warnings", text, re.MULTILINE), text
    assert (lines(text, USER), lines(text, WRONG)) == ([], marked(WRONG)), text
