"""The study of streams: what it measures, on the digits and with few steps."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="batches inside training need torch")
pytest.importorskip("sklearn", reason="the study takes its digits from scikit-learn")

# benchmarks/ is no part of the package. Last, so that the folder rad_fast there never passes for what is installed.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from benchmarks.streams import batches, cascades, selectors, sets


@pytest.mark.filterwarnings("ignore::rad_fast.UnreliableTeacherWarning")
def test_a_stream_s_row_is_made_of_shares():
    lead, overlap, regret, gain, other, right, hindsight = selectors.row("digits", 0, 0.05, 4.0, None)
    assert lead <= 4.0
    assert 0.5 < overlap <= 1.0
    assert regret < 0.2 < gain
    assert 0.0 <= other < 0.25
    assert 0.8 < right <= 1.0
    assert 0.8 < hindsight <= 1.0


@pytest.mark.filterwarnings("ignore::rad_fast.UnreliableTeacherWarning")
def test_with_quotas_hindsight_has_them_too():
    with_quotas = selectors.row("digits", 0, 0.05, 4.0, "auto")
    without = selectors.row("digits", 0, 0.05, 4.0, None)
    assert with_quotas[0] <= 4.0
    assert with_quotas[5] == without[5]  # the stream is over before its window is full
    assert with_quotas[4] > without[4]  # hindsight has other classes


def test_cascades_lie_between_random_and_the_best(monkeypatch):
    monkeypatch.setattr(cascades, "RATES", (0.2, 0.5))
    found = cascades.arms(sets.digits(1))
    for random, ours, best in zip(
        found["at random"], found["**Cascade**, margin"], found["best that could be"], strict=True
    ):
        assert random < ours <= best + 1e-9


def test_arms_of_a_seed_see_the_same_batches_and_learn_other_parts(monkeypatch):
    monkeypatch.setitem(batches.STEPS, "digits", 40)
    curves, right = zip(*(batches.trained("digits", batches.ARMS[arm], 0) for arm in batches.ARMS), strict=True)
    assert {len(curve) for curve in curves} == {2}
    assert right[list(batches.ARMS).index("learnability")] > right[0] > right[1]  # the largest losses are wrong labels
    assert np.array_equal(batches.trained("digits", "rad", 0)[0], curves[-1])


def test_steps_are_those_to_a_mean_of_three_looks():
    curve = np.array([0.1, 0.2, 0.3, 0.6, 0.9, 0.9])
    assert batches.steps_to(curve, 0.6) == 5 * batches.EVERY
    assert batches.steps_to(curve, 0.95) is None


def test_the_reference_has_learned_its_clean_part():
    assert batches.reference_accuracy("digits", 0) > 0.8
