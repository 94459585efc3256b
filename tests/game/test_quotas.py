"""Quotas: how the budget is shared out among classes, and the game with a share for each: invariant 1 with quotas."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import gammaln

from rad_fast.device.backends import Backend
from rad_fast.game import solver
from rad_fast.game.pool import ArrayPool
from rad_fast.kernels.reference import quotas as specification
from rad_fast.kernels.reference.game import NOTHING, Equilibria, class_counts
from rad_fast.kernels.reference.quotas import (
    LEAST_ALPHA,
    MOST_ALPHA,
    divided,
    likeliest_alpha,
    quota_bits,
    quotas,
    sample_weights,
)
from tests.oracle import ClassGame, adversary_value, class_games, class_lp_value, of_class

# ---------------------------------------------------------------------------------------------------------- the quotas


def lacked(weights: np.ndarray, chosen: np.ndarray, budget: int) -> np.ndarray:
    return np.maximum(0.0, weights / weights.sum() * (chosen.sum() + budget) - chosen)


def level(lack: np.ndarray, room: np.ndarray, amount: float) -> np.ndarray:
    """min(room_k, s x lack_k) with the s at which they add up to the amount, found by bisection."""

    def over(logarithm: float) -> float:
        return float(np.minimum(room, np.exp(logarithm) * lack).sum()) - amount

    return np.minimum(room, np.exp(brentq(over, -60.0, 60.0, xtol=1e-14)) * lack)


def random_shares(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    classes = int(rng.integers(1, 12))
    points = rng.integers(0, 30, classes) * rng.integers(0, 2, classes)  # n_k = 0 is common
    points[rng.integers(classes)] += 1
    chosen = rng.integers(0, 10, classes) * rng.integers(0, 2)
    weights = rng.random(classes) * rng.integers(0, 2, classes)  # so is w_k = 0
    weights[rng.integers(classes)] += 0.1
    return weights, points, chosen, int(rng.integers(1, points.sum() + 1))


def test_quotas_are_the_water_filling_of_what_is_lacked() -> None:
    rng, compared = np.random.default_rng(0), 0
    for _ in range(2000):
        weights, points, chosen, budget = random_shares(rng)
        found = quotas(weights, points, chosen, budget)
        lack = lacked(weights, chosen, budget)
        if points[lack > 0].sum() <= budget:  # then the others get something too, as the next test says
            assert (found[lack > 1e-9] == points[lack > 1e-9]).all()
            continue
        compared += 1
        np.testing.assert_allclose(found, level(lack, points, budget), atol=1e-6)
    assert compared > 500


def test_points_with_a_positive_effective_gain_are_shared_out_first_and_then_the_others() -> None:
    rng, within, beyond = np.random.default_rng(1), 0, 0
    for _ in range(2000):
        weights, points, chosen, budget = random_shares(rng)
        positive = rng.integers(0, points + 1)
        found, lack = quotas(weights, points, chosen, budget, positive), lacked(weights, chosen, budget)
        if positive[lack > 0].sum() > budget:
            within += 1
            np.testing.assert_allclose(found, level(lack, positive, budget), atol=1e-6)
        rest = points - positive
        if positive.sum() < budget < positive.sum() + rest[lack > 0].sum():
            beyond += 1
            np.testing.assert_allclose(found, positive + level(lack, rest, budget - positive.sum()), atol=1e-6)
    assert min(within, beyond) > 300


@given(seed=st.integers(0, 2**32 - 1))
def test_no_more_of_the_budget_than_has_to_goes_beyond_the_points_with_a_positive_effective_gain(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights, points, chosen, budget = random_shares(rng)
    positive = rng.integers(0, points + 1)
    found, free = quotas(weights, points, chosen, budget, positive), quotas(weights, points, chosen, budget)
    assert found.sum() == budget
    assert (found >= 0).all()
    assert (found <= points).all()
    assert np.maximum(0, found - positive).sum() == max(0, budget - positive.sum())
    if (free <= positive).all():
        assert (found == free).all()
    assert (quotas(weights, points, chosen, budget, points) == free).all()


@given(seed=st.integers(0, 2**32 - 1))
def test_quotas_add_up_to_the_budget_exactly_and_no_class_gets_more_than_its_points(seed: int) -> None:
    weights, points, chosen, budget = random_shares(np.random.default_rng(seed))
    found = quotas(weights, points, chosen, budget)
    assert found.sum() == budget
    assert (found >= 0).all()
    assert (found <= points).all()
    if budget == points.sum():
        assert (found == points).all()
    unit = 2.0 ** quota_bits(budget)
    assert (found * unit == np.floor(found * unit)).all()


def test_what_classes_cannot_take_goes_by_weight_and_then_to_whoever_has_points() -> None:
    none = np.zeros(3, np.int64)
    assert quotas(np.array([1.0, 1, 1]), np.array([10, 1, 5]), none, 10).tolist() == [4.5, 1, 4.5]
    # The first class has had its share already: it is served when the others have no more points.
    assert quotas(np.array([1.0, 1, 0]), np.array([9, 2, 9]), np.array([5, 0, 0]), 4).tolist() == [2, 2, 0]
    # No weight at all: only when nobody else has points.
    assert quotas(np.array([1.0, 0, 0]), np.array([2, 8, 4]), none, 8).tolist() == [2, 4, 2]


def test_more_classes_than_budget_get_fractions() -> None:
    found = quotas(np.ones(1000), np.full(1000, 3), np.zeros(1000, np.int64), 10)
    assert found.sum() == 10
    assert abs(found - 0.01).max() < 2.0**-23


def test_a_class_that_was_chosen_often_waits() -> None:
    weights, points = np.ones(4), np.full(4, 100)
    first = quotas(weights, points, np.array([6, 2, 0, 0]), 8)
    assert first.tolist() == [0, 1.6, 3.2, 3.2] or np.allclose(first, [0, 1.6, 3.2, 3.2], atol=1e-6)


@given(
    factor=st.integers(0, 2**52), divisor=st.integers(1, 2**54), parts=st.lists(st.floats(0, 1), min_size=1, max_size=5)
)
def test_products_larger_than_64_bits_are_divided_exactly(factor: int, divisor: int, parts: list[float]) -> None:
    numbers = [min(divisor, int(part * divisor)) for part in parts]
    quotients, remainders = divided(factor, np.array(numbers), divisor)
    assert [*zip(quotients.tolist(), remainders.tolist(), strict=True)] == [
        divmod(factor * n, divisor) for n in numbers
    ]


def test_quotas_of_many_classes_are_those_of_fractions() -> None:
    rng = np.random.default_rng(3)
    points = (2000 / np.arange(1, 3001)).astype(np.int64) + 1
    weights = rng.random(3000) + 0.5
    parts, amount = [Fraction(w) for w in weights.tolist()], 4000
    level, before = Fraction(0), Fraction(-1)
    while level != before:  # the level rises as long as classes fill up
        full = [n <= level * w for n, w in zip(points.tolist(), parts, strict=True)]
        left = amount - sum(n for n, ends in zip(points.tolist(), full, strict=True) if ends)
        before, level = level, left / sum(w for w, ends in zip(parts, full, strict=True) if not ends)
    wanted = [float(min(n, level * w)) for n, w in zip(points.tolist(), parts, strict=True)]
    assert 100 < sum(full) < 2900
    np.testing.assert_allclose(quotas(weights, points, np.zeros(3000, np.int64), amount), wanted, atol=2.0**-24)


@pytest.mark.parametrize("budget", [1, 2**20, 2**30, 2**39])  # up to as many as there can be points
def test_quotas_of_any_budget_add_up_exactly_in_float64(budget: int) -> None:
    rng = np.random.default_rng(budget)
    found = quotas(rng.random(97), np.full(97, budget), np.zeros(97, np.int64), budget)
    assert found.sum() == np.sort(found).sum() == budget


# --------------------------------------------------------------------------------------------------------- the weights


def log_likelihood(alpha: float, counts: np.ndarray) -> float:
    """Of the counts under the Dirichlet-multinomial, but for what does not depend on alpha."""
    total, classes = float(counts.sum()), len(counts)
    each = gammaln(counts + alpha).sum() - classes * gammaln(alpha)
    return float(gammaln(classes * alpha) - gammaln(total + classes * alpha) + each)


def test_alpha_is_that_of_maximum_likelihood() -> None:
    rng = np.random.default_rng(1)
    grid = np.exp(np.linspace(np.log(LEAST_ALPHA), np.log(MOST_ALPHA), 2000))
    inside = 0
    for number in range(60):
        classes = int(rng.integers(2, 80))
        counts = rng.multinomial(int(rng.integers(1, 600)), rng.dirichlet(np.full(classes, 0.1 * 2 ** (number % 10))))
        alpha = likeliest_alpha(counts)
        best = max(log_likelihood(a, counts) for a in grid)
        assert log_likelihood(alpha, counts) >= best - 1e-9, (alpha, counts.tolist())
        inside += 1.001 * LEAST_ALPHA < alpha < 0.999 * MOST_ALPHA
    assert inside > 20


def test_classes_that_look_equally_frequent_get_equal_weights_and_others_keep_theirs() -> None:
    rng = np.random.default_rng(2)
    alike = sample_weights(rng.multinomial(300, np.full(10, 0.1)))
    assert alike.max() / alike.min() < 1.15
    unlike = sample_weights(np.array([1000, 200, 50, 10, 0]))
    np.testing.assert_allclose(unlike, np.array([1000, 200, 50, 10, 0]) / 1260, atol=0.005)
    assert unlike.min() > 0
    assert sample_weights(np.zeros(4, np.int64)).tolist() == [0.25] * 4


# ------------------------------------------------------------------------------------------------- the game with quotas


def shared_out(game: ClassGame, bound: bool) -> ClassGame:
    """The game with as large a budget, shared out by the roots of the classes' sizes, and no adversary."""
    counts, positive = class_counts(game.gain, game.correctness, game.label, len(game.quotas))
    budget = max(1, int(game.quotas.sum()))
    found = quotas(np.sqrt(counts), counts, np.zeros_like(counts), budget, positive if bound else None)
    return game._replace(quotas=found, mistakes=np.zeros(len(counts)))


def test_a_selection_is_worth_something_as_long_as_enough_points_are(reference: Backend) -> None:
    better = negative = 0
    for game in class_games(400, seed=9):
        bounded, free = shared_out(game, True), shared_out(game, False)
        value = class_lp_value(bounded)
        assert abs(solve_by_class(bounded, reference).value.sum() - value) <= 1e-9 * max(1.0, len(game.gain))
        if class_counts(game.gain, game.correctness, game.label, len(game.quotas))[1].sum() >= bounded.quotas.sum():
            assert value > 0.0
            better += class_lp_value(free) < value - 1e-6
            negative += class_lp_value(free) < 0.0
    assert better > 20
    assert negative, "without the bound some were worth less than nothing"


def solve_by_class(game: ClassGame, kernels: Backend) -> Equilibria:
    found = []
    for k, (quota, mistakes) in enumerate(zip(game.quotas, game.mistakes, strict=True)):
        mine = of_class(game, k)
        pool = ArrayPool([(mine.gain, mine.correctness)], kernels)
        found.append(solver.solve(pool, float(quota), float(mistakes)) if quota > 0 else NOTHING)
    return Equilibria(*np.array(found).T)


@pytest.mark.parametrize("block", range(5))  # 5 x 400 = 2,000 games; in blocks, so that a failure is found soon
def test_the_sum_of_the_classes_games_is_the_linear_programs_optimum(reference: Backend, block: int) -> None:
    for game in class_games(400, seed=block):
        answer = solve_by_class(game, reference)
        q = reference.probabilities(game.gain, game.correctness, answer.of(game.label))
        value, tolerance = class_lp_value(game), 1e-9 * max(1.0, len(game.gain))
        assert abs(answer.value.sum() - value) <= tolerance, f"{answer.value.sum()!r}, not {value!r} in {game}"
        worth = sum(adversary_value(of_class(game, k), q[game.label == k]) for k in range(len(game.quotas)))
        assert abs(worth - value) <= tolerance, f"q is worth {worth!r}, not {value!r} in {game}"
        assert q.min() >= 0
        assert q.max() <= 1
        got = np.bincount(game.label, q, minlength=len(game.quotas))
        np.testing.assert_allclose(got, game.quotas, atol=1e-9 * max(1.0, len(q)))


@given(
    classes=st.lists(
        st.tuples(st.integers(0, 2**46), st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=32
    ),
    amount=st.integers(1, 2**50),
)
def test_few_classes_get_what_many_would(classes: list[tuple[int, int, int]], amount: int) -> None:
    wanted, room, chosen = np.array(classes, np.int64).T
    amount = min(amount, int(room.sum()) << 24)
    few = (
        specification.poured(wanted, room << 24, amount),
        specification.lacked(wanted + 1, chosen, 1 + amount % 1000),
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(specification, "FEW", 0)
        many = (
            specification.poured(wanted, room << 24, amount),
            specification.lacked(wanted + 1, chosen, 1 + amount % 1000),
        )
    for mine, theirs in zip(few, many, strict=True):
        np.testing.assert_array_equal(mine, theirs)
