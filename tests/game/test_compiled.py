"""The compiled solver against rad_fast/game/solver.py, which says what it does: the same answer, to the bit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from rad_fast.device.backends import Backend, Compiled, load
from rad_fast.game import solver
from rad_fast.game.pool import ArrayPool
from rad_fast.game.solver import Steps
from rad_fast.kernels.reference.game import Box, Equilibrium, Sums

from ..oracle import KINDS, Game, exact, games, on_grid

USUAL = Steps(
    solver.SAMPLE,
    solver.DIRECT,
    solver.SPARED,
    solver.MOST_SAMPLED,
    solver.ENOUGH,
    solver.DEVIATIONS,
    solver.SHRINKS,
)


def levels() -> list[str]:
    """The SIMD levels of this processor; none where the extension is not installed, and the tests are then skipped."""
    try:
        return list(load("cpp").module.levels())
    except ImportError:
        return []


@pytest.fixture(params=levels())
def compiled(request: pytest.FixtureRequest) -> Iterator[Compiled]:
    backend = load("cpp")
    if not isinstance(backend, Compiled):
        raise TypeError(backend)
    usual = backend.module.level()
    backend.module.set_level(request.param)
    yield backend
    backend.module.set_level(usual)


def specified(game: Game, reference: Backend, chunks: int = 1) -> Equilibrium:
    answer = solver.narrow(pool(game, reference, chunks), Sums(), Box(), game.budget, game.mistakes)
    assert answer is not None, str(game)
    return answer


def pool(game: Game, kernels: Backend, chunks: int = 1) -> ArrayPool:
    parts = zip(np.array_split(game.gain, chunks), np.array_split(game.correctness, chunks), strict=True)
    return ArrayPool(list(parts), kernels)


def with_quota(game: Game, number: int) -> Game:
    """Every other game with a budget that is no whole number, as a class's quota is."""
    return game if number % 2 or game.budget < 2 else game._replace(budget=game.budget - 0.375)


@pytest.mark.parametrize("most_points", [60, 3_000])  # every case of the search; many probes and narrowings
def test_small_games_have_the_same_answer(compiled: Compiled, reference: Backend, most_points: int) -> None:
    count = {60: 1_000, 3_000: 100}[most_points]
    for number, game in enumerate(games(count, seed=11, most_points=most_points)):
        game = with_quota(game, number)
        assert pool(game, compiled).solved(game.budget, game.mistakes, USUAL) == specified(game, reference), str(game)


def test_games_through_boxes_have_the_same_answer(
    compiled: Compiled, reference: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = USUAL._replace(sample=200, direct=300, deviations=(0.5, 2.0), shrinks=0.9)
    for name in ("sample", "direct", "deviations", "shrinks"):
        monkeypatch.setattr(solver, name.upper(), getattr(small, name))
    found = 0
    for number, game in enumerate(games(150, seed=15, most_points=5_000)):
        game = with_quota(game, number)
        answer = pool(game, compiled, chunks=3).solved(game.budget, game.mistakes, small)
        found += answer is not None
        if answer is not None:  # else points are alike: they are counted, which is done in Python
            assert answer == specified(game, reference, chunks=2), str(game)
    assert found >= 30, f"only {found} games were solved: the test proves little"


@pytest.mark.parametrize("kind", KINDS)
def test_large_games_have_the_same_answer(compiled: Compiled, reference: Backend, kind: str) -> None:
    rng = np.random.default_rng(3)
    gain, c = KINDS[kind](rng, 60_000)
    for budget, mistakes in ((600, 3_000.0), (30_000, 18_000.5), (6_000, 0.0)):
        game = Game(kind, on_grid(gain), exact(c), budget, mistakes)
        answer = solver.solve(pool(game, compiled, chunks=2), budget, mistakes)
        assert answer == specified(game, reference), str(game)


def test_more_mistakes_than_can_be_counted_are_as_many_as_there_are_points(
    compiled: Compiled, reference: Backend
) -> None:
    for number, game in enumerate(games(60, seed=16)):
        game = game._replace(mistakes=1e300 if number % 2 else 2.0**70)
        assert pool(game, compiled).solved(game.budget, game.mistakes, USUAL) == specified(game, reference), str(game)


def test_what_cannot_be_solved_is_refused(compiled: Compiled) -> None:
    game = pool(Game("", np.ones(4, np.float32), np.ones(4, np.float32), 1, 0.0), compiled)
    with pytest.raises(ValueError, match="budget: expected above 0"):
        game.solved(0.0, 0.0, USUAL)
    with pytest.raises(ValueError, match="budget: expected above 0"):
        game.solved(5.0, 0.0, USUAL)
    with pytest.raises(ValueError, match="mistakes: expected at least 0"):
        game.solved(1.0, float("nan"), USUAL)
    with pytest.raises(ValueError, match="random: expected"):
        compiled.solve(game.chunks, 1.0, 0.0, USUAL, np.zeros(3))
