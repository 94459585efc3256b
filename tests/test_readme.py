"""Every ```python block of README.md runs as it stands: each in a namespace and an empty folder of its own."""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
import pytest

README = Path(__file__).resolve().parent.parent / "README.md"
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[object]:
    """The blocks, each named by its line in the README; blank lines before it make tracebacks name that line too."""
    text = README.read_text(encoding="utf-8") if README.exists() else ""
    found = []
    for match in FENCE.finditer(text):
        before = text.count("\n", 0, match.start(1))
        found.append(pytest.param("\n" * before + match[1], id=f"line-{before + 1}"))
    return found


@pytest.mark.parametrize("source", blocks())
def test_block(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - for blocks that draw from the global generator, as readers do
    if "torch" in source:
        pytest.importorskip("torch").manual_seed(0)
    exec(compile(source, str(README), "exec"), {"__name__": "__main__"})


def test_there_are_blocks() -> None:
    assert blocks(), "README.md has no ```python block: is the fence spelled otherwise?"
