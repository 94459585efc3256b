"""Agreement of neighbours: asked for where a calibrator has learned from it, and refused elsewhere."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rad_fast import inputs

SHARES = np.full(3, 0.5)
NEEDS, NEEDS_NONE, UNKNOWN = (
    SimpleNamespace(predict=None, needs_agreement_=True),
    SimpleNamespace(predict=None, needs_agreement_=False),
    SimpleNamespace(predict=None),
)


@pytest.mark.parametrize("correctness", [None, 0.9, SHARES, NEEDS_NONE, UNKNOWN])
def test_where_nothing_has_learned_from_it_there_is_none(correctness: Any) -> None:
    inputs.agreement_of(None, correctness)
    with pytest.raises(
        ValueError, match="agreement: expected None, or a Calibrator as correctness that was fitted with"
    ):
        inputs.agreement_of(SHARES, correctness)


def test_where_a_calibrator_has_learned_from_it_it_is_given() -> None:
    inputs.agreement_of(SHARES, NEEDS)
    with pytest.raises(
        ValueError, match="agreement: expected the share of each point's neighbours that bear its label"
    ):
        inputs.agreement_of(None, NEEDS)


def test_none_is_none() -> None:
    assert inputs.agreement_array(None, 3, None) is None
