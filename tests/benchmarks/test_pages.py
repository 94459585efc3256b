"""What the benchmarks write, and that nothing written by a program fills the repository."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.pages import as_json

ROOT = Path(__file__).resolve().parents[2]
TEXT = {".json", ".md", ".svg", ".csv", ".txt"}


def test_json_of_few_lines_says_the_same() -> None:
    found = {"a": {"of": 1, "x": 0.1}, "turns": [0.25, 1e-9], "rows": [{"y": [1, 2]}, "[ 1,  2 ]", None], "none": {}}
    text = as_json(found)
    assert json.loads(text) == found
    assert text.splitlines()[1:3] == [' "a": {"of": 1, "x": 0.1},', ' "turns": [0.25, 1e-09],']


def test_no_generated_text_has_over_a_thousand_lines() -> None:
    folders = (ROOT / "benchmarks" / "results", ROOT / "docs")
    written = [path for folder in folders for path in folder.rglob("*") if path.suffix in TEXT]
    assert len(written) > 30
    long = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in written}
    assert {name: lines for name, lines in long.items() if lines > 1000} == {}
