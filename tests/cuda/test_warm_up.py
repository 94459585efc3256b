"""The first call's work done beforehand, on the emulator."""

from __future__ import annotations

import sys

import pytest

from rad_fast.device import arrays
from rad_fast.device.warm_up import warm_up


@pytest.mark.usefixtures("on_emulator")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_selection_is_made_by_the_kernels_that_auto_takes(dtype: str) -> None:
    assert warm_up(10, dtype) == "cuda"
    assert warm_up(300, dtype, backend="cuda") == "cuda"


def test_what_cannot_be_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="classes: expected"):
        warm_up(1)
    with pytest.raises((TypeError, ValueError), match="int32"):
        warm_up(10, "int32")
    monkeypatch.setattr(arrays, "MODULE", [])
    monkeypatch.setitem(sys.modules, "rad_fast._cuda", None)
    with pytest.raises(ImportError, match="warm_up: there are no kernels for a GPU here"):
        warm_up(10, backend="cuda")
