"""The solver of the game: DESIGN section 4, invariant 1."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rad_fast.device import backends
from rad_fast.device.backends import Backend
from rad_fast.game import pool, solver
from rad_fast.game.pool import ArrayPool
from rad_fast.kernels.reference.game import Box, Equilibrium

from ..oracle import (
    Game,
    adversary_value,
    assert_same,
    assert_within,
    ceiling_value,
    exact,
    gains,
    games,
    lp_value,
    on_grid,
    random_game,
)


def solve(game: Game, kernels: Backend, chunks: int = 1) -> Equilibrium:
    parts = zip(np.array_split(game.gain, chunks), np.array_split(game.correctness, chunks), strict=True)
    return solver.solve(ArrayPool(list(parts), kernels), game.budget, game.mistakes)


def assert_solved(game: Game, answer: Equilibrium, q: np.ndarray, value: float) -> None:
    """The answer's value and what its q is really worth are both ``value``, and q is feasible."""
    tolerance = 1e-9 * max(1.0, abs(value))
    worth = adversary_value(game, q)
    assert abs(answer.value - value) <= tolerance, f"value {answer.value!r}, not {value!r} in {game}: {answer}"
    assert abs(worth - value) <= tolerance, f"q is worth {worth!r}, not {value!r} in {game}: {answer}"
    assert q.min() >= 0, f"q[{q.argmin()}] = {q.min()!r} in {game}"
    assert q.max() <= 1, f"q[{q.argmax()}] = {q.max()!r} in {game}"
    assert abs(q.sum() - game.budget) <= 1e-9 * max(1.0, game.budget), f"q sums to {q.sum()!r} in {game}: {answer}"


def assert_certified(game: Game, answer: Equilibrium, q: np.ndarray) -> None:
    """By weak duality: no q is worth more than the ceiling, and this q is worth as much."""
    scale = max(float(game.gain.max()) * game.budget, 2.0**-24)
    floor, ceiling = adversary_value(game, q), ceiling_value(game, answer.price, answer.threshold)
    assert ceiling - floor <= 1e-9 * scale, f"between {floor!r} and {ceiling!r} in {game}: {answer}"
    assert floor - 1e-9 * scale <= answer.value <= ceiling + 1e-9 * scale, f"{answer} outside its certificate in {game}"


# ------------------------------------------------------------------------------------------------------ the equilibrium


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sampling, boxes, misses and recursion in games that an LP can still solve."""
    monkeypatch.setattr(solver, "DIRECT", 8)
    monkeypatch.setattr(solver, "SAMPLE", 8)


@pytest.mark.parametrize("block", range(6))  # 6 x 500 = 3,000 games; in blocks, so that a failure is found soon
def test_value_and_q_equal_the_linear_programs_optimum(reference: Backend, block: int) -> None:
    for game in games(500, seed=block):
        answer = solve(game, reference)
        q = reference.probabilities(game.gain, game.correctness, answer)
        assert_solved(game, answer, q, lp_value(game))
        assert_certified(game, answer, q)


def test_value_and_q_equal_the_linear_programs_optimum_through_boxes(reference: Backend, small_steps: None) -> None:
    for game in games(500, seed=100):
        answer = solve(game, reference)
        assert_solved(game, answer, reference.probabilities(game.gain, game.correctness, answer), lp_value(game))


@cache
def solved_directly(count: int, seed: int) -> list[tuple[Game, Equilibrium]]:
    """Games of up to 120 points and their answers in one step, worked out once for all parameters of a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(solver, "DIRECT", 10**9)
        reference = backends.load("reference")
        return [(game, solve(game, reference)) for game in games(count, seed=seed, most_points=120)]


def test_boxes_change_no_bit_of_the_answer_in_any_backend(kernels: Backend, small_steps: None) -> None:
    for game, whole in solved_directly(400, seed=200):
        boxed = solve(game, kernels)
        if game.budget == len(game.gain):  # q is 1 everywhere: the price is only determined to the widths' rounding
            assert abs(boxed.value - whole.value) <= 1e-11 * len(game.gain), f"{game}: {boxed}, not {whole}"
        else:
            assert boxed == whole, f"{game}: not {whole}"


@pytest.mark.parametrize("deviations", [0.0, 0.5, 1.0])  # nothing around the sample's answer; misses within hits; few
def test_a_box_that_misses_costs_a_pass_and_never_the_answer(
    reference: Backend, small_steps: None, monkeypatch: pytest.MonkeyPatch, deviations: float
) -> None:
    misses = 0

    def counting(*arguments: Any) -> solver.Narrowing:
        nonlocal misses
        answer = yield from narrowing(*arguments)
        misses += answer is None
        return answer

    narrowing = solver.narrowing
    monkeypatch.setattr(solver, "narrowing", counting)
    monkeypatch.setattr(solver, "DEVIATIONS", (deviations, deviations))
    for game, direct in solved_directly(600, seed=300):
        answer = solve(game, reference)
        q = reference.probabilities(game.gain, game.correctness, answer)
        assert abs(q.sum() - game.budget) <= 1e-9 * game.budget, f"q sums to {q.sum()!r} in {game}: {answer}"
        assert_certified(game, answer, q)
        assert_same(q, reference.probabilities(game.gain, game.correctness, direct), str(game))
    assert misses >= 30, f"only {misses} boxes missed: the test proves nothing"


def test_the_answer_does_not_depend_on_the_sample(
    reference: Backend, small_steps: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, game in enumerate(games(400, seed=400, most_points=120)):
        monkeypatch.setattr(pool, "spread", spread)
        first = solve(game, reference)
        other = np.random.default_rng(number)
        # Not even a fair sample is needed: the second one looks at the first points alone.
        monkeypatch.setattr(pool, "spread", lambda count, size, rng=other: np.sort(rng.choice(size, count, False)))
        assert solve(game, reference) == first, str(game)
        monkeypatch.setattr(pool, "spread", lambda count, size: np.arange(count))
        assert solve(game, reference) == first, str(game)


spread = pool.spread


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), kind=st.integers(0, 14), chunks=st.integers(1, 9))
def test_the_answer_does_not_depend_on_chunks_nor_backend(
    kernels: Backend, reference: Backend, seed: int, kind: int, chunks: int
) -> None:
    game = random_game(np.random.default_rng(seed), 200, kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(solver, "DIRECT", 20)
        patch.setattr(solver, "SAMPLE", 20)
        assert solve(game, kernels, chunks) == solve(game, reference), str(game)


@given(
    gain=st.lists(st.sampled_from([0.0, 2.0**-24, 0.25, 0.5, 0.75, 1.0 - 2.0**-24, 1.0]), min_size=1, max_size=9),
    c=st.lists(st.sampled_from([0.0, 2.0**-25, 0.25, 0.5, 0.625, 1.0 - 2.0**-24, 1.0]), min_size=9, max_size=9),
    budget=st.integers(1, 9),
    mistakes=st.sampled_from([0.0, 2.0**-30, 0.25, 1.0, 1.5, 2.0, 9.0, 1e9]),
)
def test_extreme_gains_and_correctness_in_every_mixture(
    reference: Backend, gain: list[float], c: list[float], budget: int, mistakes: float
) -> None:
    n = len(gain)
    game = Game("extremes", np.array(gain, np.float32), np.array(c[:n], np.float32), min(budget, n), mistakes)
    answer = solve(game, reference)
    q = reference.probabilities(game.gain, game.correctness, answer)
    assert_certified(game, answer, q)
    assert_solved(game, answer, q, lp_value(game))


def test_the_generated_games_reach_every_case_of_the_solver(reference: Backend) -> None:
    seen = dict.fromkeys(
        ["priced", "saturated", "full", "out", "shared", "value <= 0", "on a gain", "off all gains"], 0
    )
    for game in games(600, seed=0):
        price, threshold, share, value = solve(game, reference)
        effective = (2 * game.correctness.astype(float) - 1) * game.gain
        taken = effective > threshold
        seen["saturated"] += bool((taken & (game.gain <= price)).any())
        seen["priced"] += bool((taken & (game.gain > price) & (-game.gain < threshold)).any())
        seen["full"] += bool((game.gain > price).any() and (-game.gain[game.gain > price] > threshold).any())
        seen["out"] += bool((effective < threshold).any())
        seen["shared"] += 0 < share < 1
        seen["value <= 0"] += value <= 0
        seen["on a gain"] += price in game.gain
        seen["off all gains"] += price not in game.gain and price < 1
    assert min(seen.values()) >= 20, seen


def test_without_mistakes_the_points_of_highest_effective_gain_are_taken(reference: Backend) -> None:
    rng = np.random.default_rng(5)
    for points in (1, 10, 1000):  # a single point; few; more than one step of any search
        gain, c = on_grid(rng.random(points)), exact(rng.random(points))
        budget = max(1, points // 3)
        answer = solve(Game("greedy", gain, c, budget, 0.0), reference)
        q = reference.probabilities(gain, c, answer)
        best = np.argsort(-(2 * c.astype(float) - 1) * gain, kind="stable")[:budget]
        assert_same(np.flatnonzero(q == 1), np.sort(best), "taken for sure")
        assert q.sum() == budget


def test_points_on_the_threshold_share_what_is_left(reference: Backend) -> None:
    gain = np.array([1.0, 0.5, 0.5, 0.5, 0.5, 0.125], np.float32)
    answer = solve(Game("ties", gain, np.ones(6, np.float32), 3, 0.0), reference)
    assert_same(reference.probabilities(gain, np.ones(6, np.float32), answer), np.array([1.0, 0.5, 0.5, 0.5, 0.5, 0.0]))


def test_points_left_out_are_neither_summed_nor_taken(kernels: Backend, small_steps: None) -> None:
    rng = np.random.default_rng(6)
    for game in games(90, seed=600):
        n = len(game.gain)
        order = rng.permutation(2 * n)
        gain = np.concatenate([game.gain, np.full(n, np.nan, np.float32)])[order]
        c = np.concatenate([game.correctness, np.full(n, np.nan, np.float32)])[order]
        answer = solve(game._replace(gain=gain, correctness=c), kernels)
        assert answer == solve(game, kernels), str(game)
        assert not kernels.probabilities(gain, c, answer)[np.isnan(gain)].any(), str(game)


@pytest.mark.parametrize("points", [28, 50, 98, 120])  # where sums of rounded widths had tipped the slope's sign
def test_a_budget_of_all_points_with_a_whole_number_of_mistakes_is_solved(reference: Backend, points: int) -> None:
    rng = np.random.default_rng(points)
    for mistakes in range(points + 2):
        gain = gains(rng, points)
        game = Game("all", gain, np.ones(points, np.float32), points, float(mistakes))
        answer = solve(game, reference)
        q = reference.probabilities(gain, game.correctness, answer)
        assert_within(q, np.ones(points), 1e-12, str(game))
        assert_solved(
            game, answer, q, float(gain.astype(float).sum() - 2 * np.sort(gain.astype(float))[::-1][:mistakes].sum())
        )


def test_a_pool_whose_sample_holds_left_out_points_alone_is_solved(reference: Backend) -> None:
    gain, c = np.full(120_000, np.nan, np.float32), np.full(120_000, np.nan, np.float32)
    left = np.array([7, 60_007, 119_998])
    gain[left], c[left] = [1.0, 0.5, 0.25], 1.0
    answer = solve(Game("three of many", gain, c, 2, 1.0), reference)
    assert answer == solve(Game("three", gain[left], c[left], 2, 1.0), reference)


def test_gains_that_the_sums_cannot_hold_are_refused(kernels: Backend) -> None:
    c = np.ones(3, np.float32)
    for gain in (0.1, 2.0, -0.5):  # float32(0.1) is no multiple of 2**-24; neither of the others is a gain
        with pytest.raises(ValueError, match=r"gain: expected multiples of 2[*^]+-24"):
            solve(Game("off the grid", np.array([0.5, gain, 0.25], np.float32), c, 1, 0.0), kernels)


def test_a_game_without_points_is_refused(reference: Backend) -> None:
    with pytest.raises(RuntimeError, match="outside"):
        solve(Game("no points", np.full(3, np.nan, np.float32), np.full(3, np.nan, np.float32), 1, 0.0), reference)


# ----------------------------------------------------------------------------------------------- the slope of the value


def slope_is_printed(game: Game, with_the_max: bool) -> float:
    """The value at the price where the slope changes its sign, by bisection on the price.

    DESIGN prints the slope as the sum of a - mu / g over {d > mu, g > price}. A point's q cannot pass 1, and the second
    piece of its fill pays -g: where mu < -g that piece is taken, and moving the price moves the point's worth by a + 1,
    not by a - mu / g. So mu / g must not fall below -1.
    """
    gain, a = game.gain.astype(float), 2 * game.correctness.astype(float) - 1
    positive = np.where(gain > 0, gain, 1.0)

    def at(price: float) -> tuple[float, float]:
        cap = np.where(gain <= price, 1.0, price / positive)
        slopes = np.concatenate([a * gain, -gain])
        extents = np.concatenate([cap, 1.0 - cap])
        order = np.argsort(-slopes, kind="stable")
        before = np.concatenate([[0.0], np.cumsum(extents[order])[:-1]])
        filled = np.clip(game.budget - before, 0.0, extents[order])
        value = float(filled @ slopes[order]) - 2 * game.mistakes * price
        threshold = slopes[order][np.flatnonzero(filled > 1e-12)[-1]]
        free = (a * gain > threshold) & (gain > price)
        mu = np.maximum(threshold, -gain) if with_the_max else threshold
        return value, float(np.where(free, a - mu / positive, 0.0).sum()) - 2 * game.mistakes

    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if at(middle)[1] >= 0 else (low, middle)
    return max(at(low)[0], at(high)[0])


def test_the_slope_of_the_value_needs_the_larger_of_threshold_and_minus_gain(reference: Backend) -> None:
    wrong = 0
    for game in games(600, seed=700, most_points=30):
        value = lp_value(game)
        tolerance = 1e-6 * max(1.0, abs(value))
        printed, ours = slope_is_printed(game, False), slope_is_printed(game, True)
        assert abs(ours - value) <= tolerance, f"{ours!r}, not {value!r} in {game}"
        assert abs(solve(game, reference).value - value) <= tolerance, str(game)
        assert printed <= value + tolerance, str(game)
        wrong += printed < value - tolerance
    assert wrong >= 10, f"the printed slope is wrong in {wrong} of 600 games only"


# ---------------------------------------------------------------------------------------------------------- large games


def large_game(kind: str, points: int, budget: float, mistakes: float) -> Game:
    rng = np.random.default_rng(points)
    gain, c = {
        "confident": lambda: (lambda m: (np.float32(1) - m, 0.5 + 0.5 * m))(rng.beta(0.6, 0.2, points).astype("f4")),
        "independent": lambda: (1 - rng.random(points).astype("f4"), rng.random(points)),
        "bad teacher": lambda: (1 - rng.random(points).astype("f4"), 0.45 * rng.random(points)),
        "clusters": lambda: (np.repeat(rng.random(points // 100), 100), np.repeat(rng.random(points // 100), 100)),
        "sorted": lambda: (np.sort(rng.random(points)), np.sort(rng.random(points))[::-1]),
    }[kind]()
    return Game(kind, on_grid(gain), exact(c), int(budget * points), mistakes * points)


LARGE = [
    ("confident", 200_000, 0.01, 0.05),  # what a trained teacher gives, the default mistakes
    ("confident", 1_000_000, 0.01, 0.01),  # two boxes deep
    ("independent", 300_000, 0.1, 0.0),  # greedy: the price at its end
    ("independent", 300_000, 0.5, 0.05),  # caps bind
    ("bad teacher", 200_000, 0.9, 0.1),  # threshold negative, second pieces taken
    ("clusters", 200_000, 0.05, 0.02),  # every point a hundred times
    ("sorted", 200_000, 0.05, 0.02),  # order is no shuffle
]


@pytest.mark.parametrize(("kind", "points", "budget", "mistakes"), LARGE)
def test_a_large_game_is_certified_and_equals_the_direct_solution_bit_for_bit(
    reference: Backend, kind: str, points: int, budget: float, mistakes: float
) -> None:
    game = large_game(kind, points, budget, mistakes)
    answer = solve(game, reference)
    assert_certified(game, answer, reference.probabilities(game.gain, game.correctness, answer))
    direct = solver.Game(game.gain, game.correctness, None, Box())
    assert direct.solve(solver.Sums(), game.budget, game.mistakes) == answer, str(game)


@pytest.mark.parametrize(("kind", "points", "budget", "mistakes"), LARGE)
def test_a_large_game_has_the_same_answer_in_every_backend(
    kernels: Backend, reference: Backend, kind: str, points: int, budget: float, mistakes: float
) -> None:
    game = large_game(kind, points, budget, mistakes)
    assert solve(game, kernels, chunks=3) == solve(game, reference), str(game)


@pytest.mark.parametrize("share", [1e-5, 5e-5, 5e-4])  # less than one point of a sample, and two
@pytest.mark.parametrize("mistakes", [0.002, 0.02])
def test_a_few_of_many_points_are_narrowed_down_to(
    kernels: Backend, monkeypatch: pytest.MonkeyPatch, share: float, mistakes: float
) -> None:
    """Thousands of points share so small a budget. Once they were counted, which took a hundred times as long."""
    monkeypatch.setattr(ArrayPool, "distinct", lambda _: pytest.fail("the points were counted"))
    rng = np.random.default_rng(1)
    points = 400_000
    top = np.sort(rng.normal(0, 3, (points, 10)), axis=1)
    powers = np.exp(top - top[:, -1:])
    correctness = 1 / powers.sum(axis=1)
    gain = 1 - correctness * (1 - powers[:, -2])
    game = Game("few", on_grid(gain), exact(correctness), int(share * points), mistakes * points)
    answer = solve(game, kernels)
    assert_certified(game, answer, kernels.probabilities(game.gain, game.correctness, answer))


def test_points_that_no_sample_holds_are_found_by_the_next_box(kernels: Backend) -> None:
    """A few dozen of a million are worth more than all others, and nine of ten samples miss them."""
    rng = np.random.default_rng(2)
    points, rare = 1_000_000, 40
    gain, c = on_grid(0.1 + 0.1 * rng.random(points)), exact(0.5 + 0.1 * rng.random(points))
    at = rng.choice(points, rare, replace=False)
    gain[at], c[at] = 1.0, exact(0.95 + 0.05 * rng.random(rare))
    for budget in (10, 30, 60):
        game = Game("rare", gain, c, budget, 1.0)
        answer = solve(game, kernels)
        assert_certified(game, answer, kernels.probabilities(game.gain, game.correctness, answer))
        direct = solver.Game(game.gain, game.correctness, None, Box())
        assert direct.solve(solver.Sums(), game.budget, game.mistakes) == answer, str(game)


@pytest.mark.parametrize("values", [1, 2, 7])  # all alike: nothing to narrow; two; a few, one of them on the threshold
@pytest.mark.parametrize("mistakes", [0.0, 0.05, 0.3])  # greedy; the default; the threshold may turn negative
def test_games_of_few_distinct_points_are_counted_instead_of_narrowed(
    kernels: Backend, monkeypatch: pytest.MonkeyPatch, values: int, mistakes: float
) -> None:
    calls = SimpleNamespace(distinct=0)

    def counting(self: ArrayPool) -> object:
        calls.distinct += 1
        return distinct(self)

    distinct = ArrayPool.distinct
    monkeypatch.setattr(ArrayPool, "distinct", counting)
    rng = np.random.default_rng(values)
    points = 150_000
    some_gain, some_c = on_grid(rng.random(values)), exact(0.3 + 0.7 * rng.random(values))
    which = rng.integers(0, values, points)
    game = Game("few values", some_gain[which], some_c[which], points // 10, mistakes * points)
    answer = solve(game, kernels, chunks=4)
    assert_certified(game, answer, kernels.probabilities(game.gain, game.correctness, answer))
    direct = solver.Game(game.gain, game.correctness, None, Box())
    assert direct.solve(solver.Sums(), game.budget, game.mistakes) == answer, str(game)
    if values == 1 and mistakes == 0.0:  # with a price, or more values, the decided points may leave few enough
        assert calls.distinct == 1
