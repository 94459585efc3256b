"""Every example in a docstring of the package gives what it shows."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import rad_fast

PACKAGE = Path(rad_fast.__file__).parent
MODULES = sorted(
    ".".join(("rad_fast", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if "kernels" not in path.parts and ">>> " in path.read_text(encoding="utf-8")
    if path != PACKAGE / "ray.py"  # Ray takes seconds to start: docs/howto/ray.md does it once, with the same lines
)


def test_the_modules_with_examples_are_found() -> None:
    assert {"rad_fast", "rad_fast.selector", "rad_fast.distill.losses"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    if name.startswith("rad_fast.distill"):
        pytest.importorskip("torch", reason="rad_fast.distill needs torch")
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0, f"{name} has no example"
    assert result.failed == 0, f"{name}: {result.failed} of {result.attempted} examples fail; see the output above"
