"""Agreement of neighbours that a calibrator cannot use is refused, and the message says what is wrong with it."""

from __future__ import annotations

import numpy as np
import pytest

import rad_fast

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 4, (300, 5)).astype(np.float32)
LABELS = np.where(RNG.random(300) < 0.8, LOGITS.argmax(1), 0)
AGREEMENT = RNG.random(300).astype(np.float32)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "the calibrator was fitted with it"),
        (np.where(np.arange(300) == 5, np.nan, AGREEMENT), "nan at index 5"),
        (2 * AGREEMENT, r"expected numbers in \[0, 1\]"),
        (AGREEMENT[:5], "expected one number per point"),
    ],
    ids=["missing", "NaN", "above 1", "too short"],
)
def test_agreement_that_the_calibrator_cannot_use_is_refused(given, words):
    calibrator = rad_fast.Calibrator().fit(LOGITS, LABELS, agreement=AGREEMENT)
    for call in (
        lambda: rad_fast.select(LOGITS, 5, correctness=calibrator, agreement=given),
        lambda: calibrator.predict(LOGITS, agreement=given),
    ):
        with pytest.raises(ValueError, match=f"agreement: .*{words}"):
            call()


def test_agreement_that_nothing_asks_for_is_refused():
    calibrator = rad_fast.Calibrator().fit(LOGITS, LABELS)
    with pytest.raises(ValueError, match="agreement: expected None, or a Calibrator"):
        rad_fast.select(LOGITS, 5, correctness=calibrator, agreement=AGREEMENT)
