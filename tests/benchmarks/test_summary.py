"""The study of streams: what of its page goes to the page of the main study."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))
summary = pytest.importorskip("benchmarks.streams.summary")

PAGE = "# Study\n\nBefore.\n\n{block}\n\nAfter.\n"


def tables() -> dict[str, list[str]]:
    """The tables of docs/stream-study.md, by what they show."""
    found: dict[str, list[str]] = {}
    lines = (ROOT / "docs" / "stream-study.md").read_text(encoding="utf-8").splitlines()
    heads = {"SELECTORS": "| set | rate |", "CASCADES": "| set | routing |", "BATCHES": "| set | quarter |"}
    for name, head in heads.items():
        begin = next(i for i, line in enumerate(lines) if line.startswith(head))
        end = next(i for i in range(begin, len(lines)) if not lines[i].startswith("|"))
        found[name] = lines[begin:end]
    return found


def test_the_appendix_of_the_study_has_the_tables_of_the_streams_page():
    block = summary.summary(tables())
    assert summary.SUMMARY.read_text(encoding="utf-8") == block + "\n"
    assert block in summary.STUDY.read_text(encoding="utf-8")


def test_the_block_replaces_the_one_before_and_nothing_else():
    old, new = f"{summary.BEGIN}\nold\n{summary.END}", f"{summary.BEGIN}\nnew\n{summary.END}"
    assert summary.put_into(PAGE.format(block=old), new) == PAGE.format(block=new)
    with pytest.raises(ValueError, match="no place for the streams"):
        summary.put_into("# Study\n", new)


def test_rows_and_columns_are_chosen_by_their_names():
    lines = ["| set | a | b |", "|---|---:|---|", "| x | 1 | None |", "| y | 2 | auto |", "| z | 3 | None |"]
    chosen = summary.some(lines, ("set", "a"), {"b": "None"}, without=("z",))
    assert chosen == "| set | a |\n| --- | ---: |\n| x | 1 |"
