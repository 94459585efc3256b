"""A selection, what is counted of it, and a calibrator, for the tests of the report."""

from __future__ import annotations

import numpy as np
import pytest

import rad_fast
from rad_fast.report.figures import figures

from .sizes import BUDGET, MISTAKES, C, N


@pytest.fixture(scope="session")
def logits():
    return np.random.default_rng(5).normal(0, 4, size=(N, C)).astype(np.float32)


@pytest.fixture(scope="session")
def selection(logits):
    return rad_fast.Selector(BUDGET, mistakes=MISTAKES, quotas=None).fit(logits, exclude=np.arange(10))


@pytest.fixture(scope="session")
def drawn(selection):
    return figures(selection._drawn)


@pytest.fixture(scope="session")
def calibrator():
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(size=(400, C)), rng.integers(0, C, 400)
    logits[np.arange(400), labels] += rng.exponential(3, 400)
    return rad_fast.Calibrator().fit(logits, labels)
