"""What the tests compare with, none of it from the package: the game as a linear program, the adversary's best answer,
a certificate by weak duality, generated games, and comparisons that say where two results differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.optimize import linprog


class Game(NamedTuple):
    """A game, with correctness such that 2c - 1 is exact in float32."""

    name: str
    gain: np.ndarray
    correctness: np.ndarray
    budget: int
    mistakes: float

    def __str__(self) -> str:
        return f"{self.name}: N={len(self.gain)} budget={self.budget} mistakes={self.mistakes!r}"


def lp_value(game: Game) -> float:
    """The value of the game: the optimum of a linear program in q, the price, and each point's excess over it."""
    gain, c = game.gain.astype(float), game.correctness.astype(float)
    n = len(gain)
    cost = np.concatenate([-(2 * c - 1) * gain, [2 * game.mistakes], 2 * c])
    excess = np.hstack([np.diag(gain), -np.ones((n, 1)), -np.eye(n)])
    total = np.concatenate([np.ones(n), np.zeros(n + 1)])[None]
    return optimum(cost, excess, total, np.array([game.budget]), str(game))


def optimum(cost: np.ndarray, excess: np.ndarray, total: np.ndarray, sums: np.ndarray, what: str) -> float:
    """The largest -cost @ x with excess @ x <= 0 and total @ x = sums. The first variables, one a row of excess, are
    within [0, 1], the others not negative. Dense: for so few points that takes half as long as a sparse matrix."""
    points = len(excess)
    result = linprog(
        cost,
        A_ub=excess,
        b_ub=np.zeros(points),
        A_eq=total,
        b_eq=sums,
        bounds=np.stack([np.zeros(len(cost)), np.where(np.arange(len(cost)) < points, 1.0, np.inf)], axis=1),
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if result.status != 0:
        raise RuntimeError(f"HiGHS: {result.message} in {what}")
    return -float(result.fun)


class ClassGame(NamedTuple):
    """A game with quotas: one label per point, and a quota and a number of mistakes a class."""

    name: str
    gain: np.ndarray
    correctness: np.ndarray
    label: np.ndarray
    quotas: np.ndarray
    mistakes: np.ndarray

    def __str__(self) -> str:
        return f"{self.name}: N={len(self.gain)} quotas={self.quotas.tolist()} mistakes={self.mistakes.tolist()}"


def of_class(game: ClassGame, k: int) -> Game:
    """The part of a game with quotas that is class k's."""
    here = game.label == k
    return Game(game.name, game.gain[here], game.correctness[here], game.quotas[k], float(game.mistakes[k]))


def class_lp_value(game: ClassGame) -> float:
    """The value of the game with quotas, one linear program: the classes' sums of q are its constraints."""
    gain, c = game.gain.astype(float), game.correctness.astype(float)
    n, classes = len(gain), len(game.quotas)
    member = (game.label == np.arange(classes)[:, None]).astype(float)
    cost = np.concatenate([-(2 * c - 1) * gain, 2 * game.mistakes, 2 * c])
    excess = np.hstack([np.diag(gain), -member.T, -np.eye(n)])
    present = np.flatnonzero(np.bincount(game.label, minlength=classes))
    total = np.hstack([member, np.zeros((classes, n + classes))])[present]
    return optimum(cost, excess, total, game.quotas[present], str(game))


STEPS = np.linspace(0.0, 1.0, 65)


def adversary_value(game: Game, q: np.ndarray) -> float:
    """What q is worth against the adversary's best answer: he spoils the points of highest q g first."""
    v, c = q * game.gain, game.correctness.astype(float)
    order = np.argsort(-v, kind="stable")
    v, c = v[order], c[order]
    before = np.concatenate([[0.0], np.cumsum(c)[:-1]])
    spoilt = np.clip(game.mistakes - before, 0.0, c)
    return float(np.sum(v * (2 * (c - spoilt) - 1)))


def ceiling_value(game: Game, price: float, threshold: float) -> float:
    """An upper bound on the value of the game: the player's best q against one adversary who stays within ``mistakes``.

    He lowers the points above the price until they are worth the threshold, and those at the price as far as what he
    has left reaches. No q does better than the bound: together with ``adversary_value`` it certifies an equilibrium at
    any size, without a solver. Where the player's fill ends just between two pieces a range of thresholds is as good,
    and he takes the one that spends all he has.
    """
    gain, c = game.gain.astype(float), game.correctness.astype(float)
    advantage, positive = 2 * c - 1, np.where(gain > 0, gain, np.inf)

    def answer(mu: float) -> np.ndarray:
        return np.clip((advantage - np.maximum(mu / positive, -1.0)) / 2, 0.0, c) * (gain > 0)

    def ceiling(mu: float) -> float:
        whole = answer(mu)
        above, at = gain > price, gain == price
        left, there = game.mistakes - whole[above].sum(), whole[at].sum()
        part = min(1.0, max(0.0, left) / there) if there > 0 else 0.0
        spoilt = np.where(above, whole, np.where(at, whole * part, 0.0))
        if spoilt.sum() > game.mistakes:
            spoilt *= game.mistakes / spoilt.sum()  # by rounding alone where the equilibrium is right
        worth = gain * (2 * (c - spoilt) - 1)
        return float(np.sort(worth)[::-1][: game.budget].sum())

    def spending(chosen: np.ndarray) -> float:
        """Where the answers of the chosen, which fall as mu rises, add up to all he has; to a 64th each time."""
        there = chosen & (gain > 0)
        inverse, most, half = 1.0 / gain[there], c[there], advantage[there] / 2
        low, high = -1.0, 1.0
        for _ in range(13):
            ends = low + (high - low) * STEPS
            answers = half - np.maximum(ends[:, None] * (inverse / 2), -0.5)
            spent = np.minimum(np.maximum(answers, 0.0), most).sum(axis=1)
            enough = np.count_nonzero(spent >= game.mistakes)
            low, high = ends[max(0, enough - 1)], ends[min(enough, len(ends) - 1)]
        return float(low)

    if len(gain) > 1000:  # large generated games have no such ranges
        return ceiling(threshold)
    return min(ceiling(threshold), ceiling(spending(gain >= price)), ceiling(spending(gain > price)))


def random_game(rng: np.random.Generator, points: int, kind: int) -> Game:
    """One game of every kind that has broken a solver, or could."""
    name, points_of = list(KINDS.items())[kind % len(KINDS)]
    gain, c = points_of(rng, points)
    gain, c = gain.astype(np.float32), exact(c)
    # 1: every point matters. N: nothing is left to choose. N - 1: mu may be negative. Else anything between.
    budget = int(rng.choice([1, points, max(1, points - 1), *rng.integers(1, points + 1, 5)]))
    mistakes = float(
        rng.choice(
            [
                0.0,  # greedy
                1e-6,  # nearly so: the price stays at its end
                rng.random() * 3,
                rng.random() * points,
                rng.integers(0, points + 1),  # a count: sums of c = 1 tie with it
                c.astype(float).sum(),  # just all that can be spoilt
                3.0 * points,  # more than can be spoilt
                0.05 * points,  # the package's default
            ]
        )
    )
    return Game(name, gain, c, budget, mistakes)


def class_games(count: int, seed: int, most_points: int = 60) -> Iterator[ClassGame]:
    """Games of every kind with quotas: whole, in fractions, none, all of a class; classes without points among them."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        plain = random_game(rng, int(rng.integers(1, most_points + 1)), number)
        classes = int(rng.choice([1, 2, 3, 7, 20]))
        label = rng.integers(0, classes, len(plain.gain)).astype(np.int32)
        points = np.bincount(label, minlength=classes)
        part = rng.choice([0.0, 1.0, rng.random(), 0.01], classes) if number % 2 else np.full(classes, rng.random())
        quotas = np.floor(points * part * 2.0**24) / 2.0**24
        quotas = np.where(rng.random(classes) < 0.3, np.round(quotas), quotas)
        yield ClassGame(
            plain.name, plain.gain, plain.correctness, label, quotas, plain.mistakes * points / len(plain.gain)
        )


def exact(correctness: np.ndarray) -> np.ndarray:
    """Correctness in steps of 2**-25, so that 2c - 1 is exact in float32."""
    advantage = np.float32(2) * correctness.astype(np.float32) - np.float32(1)
    return ((advantage.astype(np.float64) + 1) / 2).astype(np.float32)


def on_grid(gain: np.ndarray) -> np.ndarray:
    """Gains as multiples of 2**-24, as 1 - margin is: what the game's sums are made of."""
    return np.float32(1) - (np.float32(1) - gain.astype(np.float32))


def gains(rng: np.random.Generator, n: int) -> np.ndarray:
    """1 - margin in float32, as the scoring stage makes it."""
    margin = (rng.random(n) ** rng.choice([0.3, 1.0, 3.0])).astype(np.float32)
    return np.float32(1) - margin


def confident(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Gain and correctness of a trained network's points: most are nearly certain."""
    margin = rng.beta(0.6, 0.2, n).astype(np.float32)
    return np.float32(1) - margin, 0.5 + 0.5 * margin


KINDS = {
    "any": lambda rng, n: (gains(rng, n), rng.random(n)),
    "labels certain (the paper's game)": lambda rng, n: (gains(rng, n), np.ones(n)),
    "good teacher": lambda rng, n: (gains(rng, n), 0.5 + 0.5 * rng.random(n)),
    "confident network": confident,
    "ties in gain": lambda rng, n: (np.round(gains(rng, n) * 4) / 4, rng.random(n)),
    "ties in effective gain": lambda rng, n: (np.round(gains(rng, n) * 4) / 4, np.round(rng.random(n) * 4) / 4),
    "ties in correctness": lambda rng, n: (gains(rng, n), rng.choice([0.25, 0.5, 0.75, 1.0], n)),
    "bad teacher (threshold negative)": lambda rng, n: (gains(rng, n), 0.4 * rng.random(n)),
    "every label wrong": lambda rng, n: (gains(rng, n), np.zeros(n)),
    "all points equal": lambda rng, n: (np.full(n, gains(rng, 1)[0]), np.full(n, rng.random())),
    "no gain anywhere": lambda rng, n: (np.zeros(n), rng.random(n)),
    "some without gain": lambda rng, n: (gains(rng, n) * rng.integers(0, 2, n), rng.random(n)),
    "tiny gains": lambda rng, n: (rng.integers(0, 4, n) * 2.0**-24, rng.random(n)),
    "tiny gains among large": lambda rng, n: (np.where(rng.random(n) < 0.5, 2.0**-24, gains(rng, n)), rng.random(n)),
    "gain 1 everywhere": lambda rng, n: (np.ones(n), rng.random(n)),
}


def games(count: int, seed: int, most_points: int = 60) -> Iterator[Game]:
    """Generated games, every kind in turn; 60 points are enough for every case of the solver, and quick for the LP."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        yield random_game(rng, int(rng.integers(1, most_points + 1)), number)


def assert_same(actual: object, expected: object, what: str = "") -> None:
    """Equal bit for bit (NaN equals NaN); else the first differing places and their values."""
    a, b = np.asarray(actual), np.asarray(expected)
    if a.dtype != b.dtype or a.shape != b.shape:
        raise AssertionError(f"{what}: {a.dtype}{a.shape} is not {b.dtype}{b.shape}")
    both_nan = (a != a) & (b != b)
    places = np.argwhere(~((a == b) | both_nan))
    if len(places):
        shown = "\n".join(f"  at {tuple(map(int, p))}: {a[tuple(p)]!r}, not {b[tuple(p)]!r}" for p in places[:10])
        raise AssertionError(f"{what}: {len(places)} of {a.size} differ\n{shown}")


def assert_within(actual: object, expected: object, tolerance: float, what: str = "") -> None:
    """Absolute differences of at most ``tolerance`` (NaN equals NaN); else the worst places and their values."""
    a, b = np.asarray(actual, dtype=float), np.asarray(expected, dtype=float)
    if a.shape != b.shape:
        raise AssertionError(f"{what}: shape {a.shape} is not {b.shape}")
    error = np.where(np.isnan(a) & np.isnan(b), 0.0, np.abs(a - b)).ravel()
    error = np.where(np.isnan(error), np.inf, error)
    if error.size and error.max() > tolerance:
        worst = np.argsort(-error)[:10]
        shown = "\n".join(f"  at {i}: {a.ravel()[i]!r}, not {b.ravel()[i]!r}, off by {error[i]:.3g}" for i in worst)
        raise AssertionError(
            f"{what}: {(error > tolerance).sum()} of {a.size} are off by more than {tolerance}\n{shown}"
        )
