"""Games by class and their sample in one call, against the stages one after the other: the same answers and indices."""

from __future__ import annotations

import numpy as np
import pytest

from rad_fast.device.backends import Backend, Compiled
from rad_fast.game import by_class, solver
from rad_fast.game.by_class import play
from rad_fast.game.group import Alone
from rad_fast.game.quotas import ClassPools, Shares, class_counts, shares, shares_of_mistakes, solve_by_class
from rad_fast.game.sampling import sample_by_key
from rad_fast.kernels.reference.game import Equilibria
from rad_fast.kernels.reference.sample import others_of
from rad_fast.kernels.reference.score import Points
from tests.oracle import assert_same, exact, on_grid

from ..kernels.test_game import BLOCK, threads
from .test_compiled import compiled  # noqa: F401 - every SIMD level

RUNNING = 12345 << 40


def points(size: int, classes: int, seed: int) -> Points:
    """Points of classes of very different sizes, some left out."""
    rng = np.random.default_rng(seed)
    gain, correctness = rng.random(size) ** rng.choice([0.5, 2.0]), rng.random(size) ** 0.3
    gain = on_grid(gain.astype(np.float32))
    label = rng.choice(classes, size, p=rng.dirichlet(np.full(classes, 1.0))).astype(np.int32)
    out = rng.random(size) < 0.05
    gain[out], label[out & (rng.random(size) < 0.5)] = np.nan, -1
    return Points(gain, exact(correctness.astype(np.float32)), label, rng.integers(0, classes, size).astype(np.uint8))


def cut(some: Points, chunks: int) -> list[Points]:
    return [Points(*fields) for fields in zip(*(np.array_split(field, chunks) for field in some), strict=True)]


def by_stages(chunks: list[Points], found: Shares, mistakes: float, kernels: Backend) -> tuple[Equilibria, np.ndarray]:
    classes = len(found.quotas)
    answers = solve_by_class(ClassPools(chunks, classes, kernels), found, mistakes)
    return answers, sample_by_key(chunks, answers, others_of(classes, classes), RUNNING, kernels, Alone())


def in_one_call(
    chunks: list[Points], found: Shares, mistakes: float, kernels: Compiled
) -> tuple[Equilibria, np.ndarray] | None:
    stakes = (class_counts(chunks, len(found.quotas), kernels)[0], found.quotas, shares_of_mistakes(found, mistakes))
    others = others_of(len(found.quotas), len(found.quotas))
    return kernels.play_by_class(
        chunks, stakes, others, RUNNING, solver.steps(), np.random.default_rng(1).random(20_000)
    )


def assert_alike(one: tuple[Equilibria, np.ndarray], other: tuple[Equilibria, np.ndarray]) -> None:
    for name, mine, theirs in zip(Equilibria._fields, one[0], other[0], strict=True):
        assert_same(mine, theirs, name)
    assert_same(one[1], other[1], "indices")


def shared(chunks: list[Points], classes: int, part: float, kernels: Backend) -> Shares:
    counts = class_counts(chunks, classes, kernels)
    return shares("auto", counts, np.zeros(classes, np.int64), None, max(1, int(part * counts[0].sum())))


@pytest.mark.parametrize("part", [0.01, 0.6])  # few points are taken; thresholds below 0
@pytest.mark.parametrize("classes", [1, 3, 16, 17, 40])  # one has them all; tables in a register; the last; gathered
def test_one_call_gives_what_the_stages_give(
    compiled: Compiled,  # noqa: F811
    reference: Backend,
    monkeypatch: pytest.MonkeyPatch,
    classes: int,
    part: float,
) -> None:
    usual = {"SAMPLE": 1500, "DIRECT": 2000, "SHRINKS": 0.95}  # boxes at sizes that the reference is quick at
    for name, small in usual.items():
        monkeypatch.setattr(solver, name, small)
    for seed, chunks in ((1, 1), (2, 3)):
        some = cut(points(3 * BLOCK + 5, classes, seed), chunks)
        found = shared(some, classes, part, compiled)
        for mistakes in (0.0, 0.02 * 3 * BLOCK):
            done = in_one_call(some, found, mistakes, compiled)
            assert done is not None
            assert_alike(done, by_stages(some, found, mistakes, reference))


def test_a_box_that_is_wrong_costs_time_and_not_the_answer(
    compiled: Compiled,  # noqa: F811
    reference: Backend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, small in {"SAMPLE": 100, "DIRECT": 300, "DEVIATIONS": (0.0, 3.0)}.items():
        monkeypatch.setattr(solver, name, small)
    for seed in range(4):
        some = cut(points(BLOCK, 8, seed), 2)
        found = shared(some, 8, 0.03, compiled)
        done = in_one_call(some, found, 0.03 * BLOCK, compiled)
        if done is not None:
            assert_alike(done, by_stages(some, found, 0.03 * BLOCK, reference))


def test_points_that_are_alike_are_left_to_counting(compiled: Compiled, reference: Backend) -> None:  # noqa: F811
    one = points(6 * BLOCK, 2, 3)
    some = [one._replace(gain=one.gain * 0 + np.float32(0.5), correctness=one.correctness * 0 + np.float32(0.75))]
    found = shared(some, 2, 0.1, compiled)
    assert in_one_call(some, found, 0.0, compiled) is None
    done = play(some, found, 0.0, 1, RUNNING, compiled, Alone())
    answers = solve_by_class(ClassPools(some, 2, reference), found, 0.0)
    assert_alike(done, (answers, sample_by_key(some, answers, 1, RUNNING, reference, Alone())))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_threads_change_nothing(compiled: Compiled, count: int) -> None:  # noqa: F811
    some = cut(points(20 * BLOCK, 5, 7), 2)
    found = shared(some, 5, 0.01, compiled)
    expected = in_one_call(some, found, 500.0, compiled)
    with threads(compiled, count):
        done = in_one_call(some, found, 500.0, compiled)
    assert expected is not None
    assert done is not None
    assert_alike(done, expected)


def test_what_cannot_be_played_is_refused(compiled: Compiled) -> None:  # noqa: F811
    some = points(1000, 3, 0)
    found = shared([some], 3, 0.1, compiled)
    counts, mistakes = class_counts([some], 3, compiled)[0], np.zeros(3)

    def tried(chunk: Points = some, **other: np.ndarray) -> None:
        stakes = {"counts": counts, "budgets": found.quotas, "mistakes": mistakes, **other}
        compiled.play_by_class([chunk], tuple(stakes.values()), 3, 0, solver.steps(), np.zeros(20_000))  # type: ignore[arg-type]

    with pytest.raises(ValueError, match="counts: expected how many points"):
        tried(counts=np.array([1000, 1000, 1000]))
    with pytest.raises(ValueError, match="budgets: expected from 0"):
        tried(budgets=counts + 1.0)
    with pytest.raises(ValueError, match="mistakes: expected at least 0"):
        tried(mistakes=np.full(3, np.nan))
    with pytest.raises(ValueError, match="label: expected classes"):
        tried(some._replace(label=some.label + np.int32(1)))
    with pytest.raises(ValueError, match="gain: expected multiples"):
        tried(some._replace(gain=some.gain * np.float32(0.3)))
    tried()


def test_play_takes_the_stages_where_a_backend_has_no_more(reference: Backend) -> None:
    some = cut(points(2000, 4, 5), 2)
    found = shared(some, 4, 0.1, reference)
    assert_alike(
        by_class.play(some, found, 40.0, 4, RUNNING, reference, Alone()), by_stages(some, found, 40.0, reference)
    )
