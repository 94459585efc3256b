"""Distances between points that are never formed."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from rad_fast.distill.geometry import agreement, k_means_seeds


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


def test_agreement_counts_the_nearest_by_cosine():
    rng = np.random.default_rng(0)
    points, queries = (rng.normal(size=(n, 3)).astype(np.float32) for n in (50, 7))
    labels, asked = rng.integers(0, 3, 50), rng.integers(0, 3, 7)
    found = agreement(points, labels, queries, asked, 5, rng)
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    for query, label, share in zip(queries, asked, found, strict=True):
        near = np.argsort(-(unit @ query))[:5]
        assert share == pytest.approx(np.mean(labels[near] == label))


def test_no_point_is_its_own_neighbour():
    points = np.eye(4, dtype=np.float32) + 0.1
    labels = np.arange(4)
    rng = np.random.default_rng(0)
    assert agreement(points, labels, points, labels, 3, rng).tolist() == [0.0] * 4
    alone = points[:1]
    assert agreement(alone, labels[:1], alone, labels[:1], 3, rng).tolist() == [0.5]  # nobody to ask


def test_of_many_points_some_are_looked_at():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 9000)
    points = (np.eye(2)[labels] + rng.normal(0, 0.1, (9000, 2))).astype(np.float32)
    found = agreement(points, labels, points, labels, 10, rng)
    assert found.mean() > 0.99
    wrong = agreement(points, labels, points[:100], 1 - labels[:100], 10, rng)
    assert wrong.mean() < 0.01
