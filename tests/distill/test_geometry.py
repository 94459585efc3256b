"""Distances between points that are never formed."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from rad_fast.distill.geometry import k_means_seeds


def test_k_means_seeds_draw_by_squared_distance():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(6, 2)).astype(np.float32), rng.normal(size=(6, 3)).astype(np.float32)
    whole = np.einsum("ni,nj->nij", a, b).reshape(6, -1)
    first = (whole**2).sum(1).argmax()
    distance = ((whole - whole[first]) ** 2).sum(1)
    times = np.zeros(6)
    for seed in range(4000):
        taken = k_means_seeds(a, b, 2, np.random.default_rng(seed))
        assert taken[0] == first
        times[taken[1]] += 1
    assert times / 4000 == pytest.approx(distance / distance.sum(), abs=0.03)


def test_k_means_seeds_of_equal_points_are_distinct():
    ones = np.ones((5, 2), np.float32)
    assert sorted(k_means_seeds(ones, ones, 5, np.random.default_rng(0))) == list(range(5))
