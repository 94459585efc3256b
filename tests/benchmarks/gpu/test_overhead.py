"""Python around stubbed kernels: it goes through a whole selection and leaves the module as it was."""

from __future__ import annotations

import pytest

from benchmarks.gpu import overhead
from rad_fast.device import arrays


def test_a_whole_selection_is_timed_on_stubs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overhead, "TURNS", 3)
    before = list(arrays.MODULE)
    found = overhead.measured()
    assert list(found) == ["select", "Selector.fit", "stages"]
    assert min(found.values()) > 0
    assert before == arrays.MODULE
