"""Every example in a docstring of the package gives what it shows."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = ["rad_fast", "rad_fast.calibration", "rad_fast.selector", "rad_fast.topk"]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0, f"{name} has no example"
    assert result.failed == 0, f"{name}: {result.failed} of {result.attempted} examples fail; see the output above"
