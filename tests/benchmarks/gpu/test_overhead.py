"""Python around stubbed kernels: it goes through a whole selection and leaves the module as it was."""

from __future__ import annotations

import sys
from typing import Any

import pytest

import rad_fast
from benchmarks.gpu import overhead
from rad_fast.device import arrays

MOST_CALLS = 200  # of a selection of few points: 180 take 22 µs with Python 3.11
MOST_BY_CLASS = 245  # with quotas: 225 take 35 µs


def test_a_whole_selection_is_timed_on_stubs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overhead, "TURNS", 3)
    before = list(arrays.MODULE)
    found = overhead.measured()
    assert list(found) == ["select", "Selector.fit", "Selector.fit with quotas", "stages"]
    assert min(found.values()) > 0
    assert before == arrays.MODULE


@pytest.mark.parametrize(("quotas", "most"), [(None, MOST_CALLS), ("auto", MOST_BY_CLASS)])
def test_a_small_selection_makes_few_calls(quotas: str | None, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of Python's and C's functions: their number does not depend on what else the machine does."""
    if quotas is not None:
        pytest.importorskip("rad_fast._cpu", reason="without a compiler the specification shares the budget out")
    monkeypatch.setattr(arrays, "MODULE", [overhead.Stubbed()])
    monkeypatch.setitem(sys.modules, "torch", None)  # is asked for its arrays, where other tests imported it
    logits = arrays.Memory((overhead.POINTS, overhead.CLASSES), "float32")
    selector = rad_fast.Selector(overhead.BUDGET, quotas=quotas)
    selector.fit(logits)
    calls: list[str] = []

    def noted(_: Any, event: str, __: Any) -> None:
        if event in ("call", "c_call"):
            calls.append(event)

    sys.setprofile(noted)
    try:
        selector.fit(logits)
    finally:
        sys.setprofile(None)
    assert 50 < len(calls) <= most
