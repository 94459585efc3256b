"""What each strategy chooses, and the parts that they are made of."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from rad_fast import Calibrator, Selector
from rad_fast.distill import STRATEGIES, Round
from rad_fast.distill.geometry import clusters, k_center, nearest
from rad_fast.distill.strategies import strategy
from rad_fast.distill.strategies.game import expected_excess, spread_order
from rad_fast.distill.strategies.scores import in_proportion, margins
from rad_fast.game.quotas import weights_of

N, C, HELD = 600, 5, 200


def made(seed: int = 0, budget: int = 30, **others) -> Round:
    """A round in which the teacher is right where its margin is high, and the student knows some of it."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, C, N + HELD)
    teacher = rng.normal(0, 1, (N + HELD, C))
    teacher[np.arange(N + HELD), truth] += rng.exponential(3.0, N + HELD)
    student = rng.normal(0, 1, (N + HELD, C))
    student[np.arange(N + HELD), truth] += rng.exponential(1.5, N + HELD)
    teacher, student = teacher.astype(np.float32), student.astype(np.float32)
    available = rng.random(N) < 0.9
    settings = {
        "budget": budget,
        "available": available,
        "student_logits": student[:N],
        "teacher_logits": teacher[:N],
        "features": student[:N],
        "seed": seed,
        "holdout_labels": truth[N:],
        "holdout_teacher": teacher[N:],
        "holdout_student": student[N:],
        "known_features": student[:N][~available],
        "known_logits": student[:N][~available],
    }
    return Round(**{**settings, **others})


@pytest.mark.parametrize("budget", [1, 30, 400])
@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_as_many_available_points_as_asked_for(name, budget):
    r = made(budget=budget)
    choice = STRATEGIES[name](r)
    assert len(choice.indices) == budget
    assert (np.diff(choice.indices) > 0).all()
    assert r.available[choice.indices].all()


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_all_that_is_left(name):
    r = made()
    r.budget = int(r.available.sum())
    assert np.array_equal(STRATEGIES[name](r).indices, r.left)


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_the_same_round_gives_the_same_choice(name):
    one, two = STRATEGIES[name](made()), STRATEGIES[name](made())
    assert np.array_equal(one.indices, two.indices)


def test_uncertainty_strategies_take_the_top():
    r = made()
    for name, score in (
        ("margin", -margins(r.student)),
        ("least-confidence", -r.student.max(1)),
        ("entropy", -(r.student * np.log(r.student)).sum(1)),
    ):
        taken = STRATEGIES[name](r).indices
        others = np.setdiff1d(r.left, taken)
        assert score[taken].min() >= score[others].max(), name


def test_balanced_takes_all_classes_alike():
    r = made(budget=32)
    counts = np.bincount(r.teacher_logits.argmax(1)[STRATEGIES["balanced"](r).indices], minlength=C)
    assert counts.max() - counts.min() <= 1


def test_k_center_is_greedy():
    rng = np.random.default_rng(0)
    points, known = rng.normal(size=(80, 3)).astype(np.float32), rng.normal(size=(4, 3)).astype(np.float32)
    taken = k_center(points, known, 10, rng)
    centers = known
    for at in taken:
        distances = ((points[:, None] - centers) ** 2).sum(2).min(1)
        assert distances[at] == pytest.approx(distances.max(), rel=1e-4)
        centers = np.vstack([centers, points[at]])


def test_k_center_of_equal_points():
    points = np.ones((6, 2), np.float32)
    assert sorted(k_center(points, None, 6, np.random.default_rng(0))) == list(range(6))


def test_clusters_are_near():
    rng = np.random.default_rng(0)
    centers = rng.normal(0, 20, (12, 2))
    which = np.repeat(np.arange(12), 10)
    points = (centers[which] + rng.normal(0, 0.1, (120, 2))).astype(np.float32)
    found = clusters(points, rng)
    assert len(np.unique(found)) == 12
    assert all(len(np.unique(found[which == k])) == 1 for k in range(12))
    assert np.array_equal(nearest(points, centers.astype(np.float32))[1], which)


def test_cluster_margin_takes_small_clusters_first():
    r = made(budget=10)
    taken = STRATEGIES["cluster-margin"](r).indices
    near = r.left[np.argsort(r.student_margin[r.left])[:100]]
    assert np.isin(taken, near).all()
    names, sizes = np.unique(r.memory["clusters"][near], return_counts=True)
    size = dict(zip(names.tolist(), sizes.tolist(), strict=True))
    assert max(size[k] for k in r.memory["clusters"][taken].tolist()) <= sorted(sizes)[9]


def test_unixkd_mixes_the_least_uncertain_third():
    choice = STRATEGIES["unixkd"](made(budget=30))
    assert (choice.shares > 0).sum() == 10
    assert choice.shares.max() < 1


def test_in_proportion_sums_to_the_budget():
    worth = np.array([0.0, 1.0, 2.0, 50.0, 0.0, 4.0])
    q = in_proportion(worth, np.ones(6, bool), 2)
    assert q.sum() == pytest.approx(2)
    assert q[3] == 1.0
    assert q[5] == pytest.approx(2 * q[2])
    few = in_proportion(np.array([0.0, 1.0, 0.0]), np.array([True, True, True]), 2)
    assert few.tolist() == [0.5, 1.0, 0.5]


def test_spread_order_changes_no_probability():
    """The order of a systematic sample leaves every inclusion probability as it is, and keeps every label's share."""
    r = made(budget=60)
    label = r.teacher_logits.argmax(1)
    calibrator = Calibrator().fit(r.holdout_teacher, r.holdout_labels, r.holdout_student)
    correctness = calibrator.predict(r.teacher_logits, r.student_logits)
    gain = 1.0 - r.student[np.arange(N), label]
    share = expected_excess(calibrator, len(r.left)) / len(r.left)
    selection = Selector(60, mistakes=share, quotas=None).fit(
        r.student_logits, gain=gain, correctness=correctness, exclude=~r.available
    )
    q = np.asarray(selection.probabilities)
    times = np.zeros(N)
    for seed in range(200):
        r.seed = seed
        taken = STRATEGIES["rad-2026-11"](r).indices
        times[taken] += 1
        by_label = np.bincount(label[taken], minlength=C)
        assert (np.abs(by_label - np.bincount(label, weights=q, minlength=C)) < 2.0).all()
    deviation = np.abs(times / 200 - q) / np.sqrt(np.maximum(q * (1 - q), 1e-3) / 200)
    assert deviation.max() < 4.5


def test_spread_order_is_by_label_and_along_one_axis():
    r = made()
    label = r.teacher_logits.argmax(1)
    order = spread_order(r, label)
    assert sorted(order) == list(range(N))
    assert (np.diff(label[order]) >= 0).all()


def test_expected_excess_is_that_of_a_normal_error():
    r = made()
    calibrator = Calibrator().fit(r.holdout_teacher, r.holdout_labels)
    sd = 1000 * np.sqrt(calibrator.error_ * (1 - calibrator.error_) / calibrator.n_labelled_)
    draws = np.random.default_rng(0).normal(0, sd, 200_000)
    assert expected_excess(calibrator, 1000) == pytest.approx(np.maximum(draws, 0).mean(), rel=0.02)


def test_the_default_shares_out_what_all_rounds_choose():
    """Quotas are of the labels' classes, and each round makes up for what the rounds before it chose too often."""
    r = made(budget=60)
    counts = (np.bincount(labels, minlength=C) for labels in (r.teacher_logits.argmax(1), r.holdout_labels))
    weights = weights_of("auto", *counts)
    weights /= weights.sum()
    first = STRATEGIES["rad"](r).indices
    r.available[first] = False
    second = STRATEGIES["rad"](r).indices
    assert not np.isin(second, first).any()
    label = r.teacher_logits.argmax(1)
    r.available[second] = False
    got = np.bincount(label[~r.available], minlength=C)  # of what was chosen before, too
    assert (np.abs(got - got.sum() * weights) < 1.0).all()


def test_rad_prefers_right_labels():
    """Of equal numbers of points, the default's labels are right more often than those of margin sampling."""
    right = {"rad": [], "margin": []}
    for seed in range(5):
        rng = np.random.default_rng(seed)
        r = made(seed)
        truth = rng.integers(0, C, N + HELD)[:N]
        for name, found in right.items():
            taken = STRATEGIES[name](r).indices
            found.append(np.mean(r.teacher_logits.argmax(1)[taken] == truth[taken]))
    assert np.mean(right["rad"]) > np.mean(right["margin"]) + 0.05


def test_unknown_names():
    with pytest.raises(ValueError, match="strategy: expected one of rad, uniform"):
        strategy("random")
    assert strategy("rad") is STRATEGIES["rad"]


@pytest.mark.parametrize(
    ("others", "error", "says"),
    [
        ({"budget": 4}, ValueError, "budget: expected at most the 3 points that are available, got 4"),
        ({"budget": 1.5}, TypeError, "budget: expected an int"),
        ({"available": np.ones(5, bool)}, ValueError, "available: expected a row for each of 4 points, got 5"),
        ({"available": [True] * 4}, TypeError, "available: expected a NumPy array, got list"),
        ({"available": np.ones(4, int)}, TypeError, "available: expected a mask, got dtype int64"),
        ({"student_logits": [[0.0, 0.0]] * 4}, TypeError, "student_logits: expected a NumPy array, got list"),
        ({"student_logits": np.full((4, 2), np.nan, np.float32)}, ValueError, "student_logits: .* 4 have NaN"),
        ({"teacher_logits": np.zeros((3, 2), np.float32)}, ValueError, "teacher_logits: expected a row for each of 4"),
    ],
)
def test_a_round_is_of_as_many_points_everywhere(others, error, says):
    available = np.array([True, False, True, True])
    given = {"budget": 3, "available": available, "student_logits": np.zeros((4, 2), np.float32)}
    with pytest.raises(error, match=says):
        Round(**{**given, **others})
    assert STRATEGIES["uniform"](Round(**given)).indices.tolist() == [0, 2, 3]
