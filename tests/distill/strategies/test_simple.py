"""Strategies of the student's uncertainty that draw."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from rad_fast.distill import STRATEGIES, Round


def test_top_confidence_is_the_reverse_of_least_confidence():
    logits = np.random.default_rng(0).normal(0, 2, (50, 4)).astype(np.float32)
    sure = STRATEGIES["top-confidence"](Round(20, np.ones(50, bool), logits)).indices
    unsure = STRATEGIES["least-confidence"](Round(30, np.ones(50, bool), logits)).indices
    assert sorted([*sure, *unsure]) == list(range(50))


def test_m_raru_accepts_by_uncertainty():
    """One of two points is taken in proportion to how often it is accepted first."""
    p = np.array([[0.9, 0.1], [0.6, 0.4]])
    times = np.zeros(2)
    for seed in range(4000):
        r = Round(1, np.ones(2, bool), np.log(p).astype(np.float32), seed=seed)
        times[STRATEGIES["m-raru"](r).indices] += 1
    # The first point to be accepted in turns of random order.
    both, first, second = 0.1 * 0.4, 0.1 * 0.6, 0.9 * 0.4
    expected = (second + both / 2) / (both + first + second)
    assert times[1] / 4000 == pytest.approx(expected, abs=0.025)
