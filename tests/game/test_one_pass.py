"""Points that are added up while they are scored: the same selections as where each stage has a pass of its own."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import rad_fast
from rad_fast.device.backends import Backend, Compiled
from rad_fast.game import one_pass, solver
from tests.oracle import assert_same

from ..kernels.test_game import threads
from .test_compiled import compiled  # noqa: F401 - every SIMD level

N = 40_000
RUNS: list[bool] = []  # of each pass whether its games were solved where they were expected


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One pass at sizes that are quick, and a note of each."""
    for name, small in {"SAMPLE": 4000, "DIRECT": 2000}.items():
        monkeypatch.setattr(solver, name, small)
    for name, small in {"SPARED": 1, "ENOUGH": 600, "SPARED_ALONE": 1, "ENOUGH_ALONE": 600}.items():
        monkeypatch.setattr(one_pass, name, small)
    play = one_pass.Ahead.play

    def noted(self: one_pass.Ahead, *arguments: object) -> object:
        done = play(self, *arguments)  # type: ignore[arg-type]
        RUNS.append(done is not None)
        return done

    monkeypatch.setattr(one_pass.Ahead, "play", noted)
    RUNS.clear()
    yield
    RUNS.clear()


def logits(classes: int, seed: int, rows: int = N) -> np.ndarray:
    """Of classes that are not equally frequent."""
    rng = np.random.default_rng(seed)
    return (rng.normal(0, 4, (rows, classes)) - np.linspace(0, 3, classes)).astype(np.float32)


def assert_alike(budget: object, z: np.ndarray, settings: dict[str, object], **of_points: object) -> None:
    """By fit, by select and in two chunks, which are scored first."""
    selector = rad_fast.Selector(budget, backend="cpp", **settings)  # type: ignore[arg-type]
    half = len(z) // 3
    for part in (slice(0, half), slice(half, None)):
        cut = {name: x[part] if isinstance(x, np.ndarray) else x for name, x in of_points.items()}
        if part.start and "chosen" in cut:
            del cut["chosen"]  # counts add up
        selector.partial_fit(z[part], **cut)
    before = len(RUNS)
    expected = selector.finalize()
    assert len(RUNS) == before
    found = rad_fast.Selector(budget, backend="cpp", **settings).fit(z, **of_points)  # type: ignore[arg-type]
    for name in ("indices", "gain", "correctness", "labels", "probabilities", "price", "threshold", "share", "quotas"):
        assert_same(getattr(found, name), getattr(expected, name), name)
    for name in ("value", "mistakes", "budget", "n_points", "n_excluded", "n_invalid"):
        assert getattr(found, name) == getattr(expected, name), name
    alone = rad_fast.select(z, budget, backend="cpp", **settings, **of_points)  # type: ignore[arg-type]
    assert_same(alone, expected.indices, "indices alone")


# The label says the key; columns; as is common; the last whose boxes stay in registers; gathered.
@pytest.mark.parametrize("classes", [2, 3, 10, 16, 17, 40])
def test_one_pass_selects_what_the_stages_select(compiled: Compiled, classes: int) -> None:  # noqa: F811
    z = logits(classes, classes, N if classes < 16 else 3 * N)
    for settings in (
        {"quotas": "auto"},
        {"quotas": "equal", "mistakes": 0},
        {"quotas": {0: 2.0, 1: 1.0}, "seed": 3},
        {"quotas": None},
        {"quotas": None, "mistakes": 0, "seed": 3},
    ):
        assert_alike(0.02, z, settings)
        assert RUNS == [True, True]
        RUNS.clear()


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_every_type_of_logits(compiled: Compiled, dtype: str) -> None:  # noqa: F811
    z = logits(5, 1)
    if dtype == "bfloat16":
        z = z.astype(pytest.importorskip("ml_dtypes").bfloat16)
    for quotas in ("auto", None):
        assert_alike(0.01, z.astype(dtype) if dtype != "bfloat16" else z, {"quotas": quotas})
    assert RUNS == [True] * 4


def test_students_and_every_kind_of_correctness(compiled: Compiled) -> None:  # noqa: F811
    z, student, rng = logits(6, 2), logits(6, 3), np.random.default_rng(4)
    labels = np.where(rng.random(2000) < 0.8, z[:2000].argmax(1), 0)
    alone = rad_fast.Calibrator().fit(z[:2000], labels)
    both = rad_fast.Calibrator().fit(z[:2000], labels, student_logits=student[:2000])
    given = rng.random(N).astype(np.float32) / 2 + np.float32(0.5)
    for correctness in (None, 0.9, alone, both, given):
        before = len(RUNS)
        for gain in ("label", "margin"):
            for quotas in ("auto", None):
                settings = {"mistakes": 0.005, "quotas": quotas}
                assert_alike(0.02, z, settings, student_logits=student, correctness=correctness, gain=gain)
        assert len(RUNS) > before, correctness
    assert_alike(0.02, z, {}, student_logits=logits(9, 5), correctness=0.8)  # of other classes than the teacher's
    assert all(RUNS)


def test_counts_of_what_was_chosen_before(compiled: Compiled) -> None:  # noqa: F811
    assert_alike(0.03, logits(4, 7), {}, chosen={0: 900, 3: 10})
    assert RUNS == [True, True]


@pytest.mark.parametrize("quotas", ["auto", None])
def test_points_that_are_left_out(compiled: Compiled, quotas: str | None) -> None:  # noqa: F811
    z, rng = logits(5, 17), np.random.default_rng(18)
    exclude, chosen = rng.random(N) < 0.3, rng.random(N) < 0.05
    for of_points in ({"exclude": exclude}, {"chosen": chosen}, {"exclude": exclude, "chosen": chosen}):
        expected = rad_fast.select(z, 500, quotas=quotas, backend="reference", **of_points)  # type: ignore[arg-type]
        found = rad_fast.Selector(500, quotas=quotas, backend="cpp").fit(z, **of_points)  # type: ignore[arg-type]
        assert not np.isin(found.indices, np.flatnonzero(exclude if "exclude" in of_points else chosen)).any()
        assert np.isnan(found.gain[chosen if "chosen" in of_points else exclude]).all()
        alone = rad_fast.select(z, 500, quotas=quotas, backend="cpp", **of_points)  # type: ignore[arg-type]
        assert_same(alone, found.indices, "indices alone")
        assert np.isin(alone, expected).mean() > 0.95  # scores differ by roundings
    assert RUNS == [True] * 6
    z[::9] = np.nan
    assert_alike(0.02, z, {"invalid": "exclude", "quotas": quotas}, exclude=exclude)
    with pytest.raises(ValueError, match="logits"):
        rad_fast.select(z, 10, quotas=quotas, exclude=exclude)
    assert_same(
        rad_fast.select(z, 10, quotas=quotas, exclude=exclude | np.isnan(z[:, 0])),
        rad_fast.Selector(10, quotas=quotas).fit(z, exclude=exclude | np.isnan(z[:, 0])).indices,
    )


@pytest.mark.parametrize("count", [2, 5])
def test_threads_change_nothing(compiled: Compiled, count: int) -> None:  # noqa: F811
    z = logits(5, 8, 3 * N)
    for quotas in ("auto", None):
        expected = rad_fast.select(z, 700, quotas=quotas, backend="cpp")
        with threads(compiled, count):
            assert_same(rad_fast.select(z, 700, quotas=quotas, backend="cpp"), expected, "indices")
    assert RUNS == [True] * 4


def test_rows_that_are_invalid(compiled: Compiled) -> None:  # noqa: F811
    z = logits(5, 9)
    z[::7, 2] = np.nan
    for quotas in ("auto", None):
        assert_alike(0.02, z, {"invalid": "exclude", "quotas": quotas})
    assert RUNS == [True] * 4
    for ask in (rad_fast.select, lambda z, budget: rad_fast.Selector(budget).fit(z)):
        with pytest.raises(ValueError, match=f"logits: .*{len(z[::7])}"):
            ask(z, 10)


def test_wrong_expectations_cost_time_and_not_the_answer(
    compiled: Compiled,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    z = logits(4, 10)
    z = z[np.argsort(-z.max(axis=1))]  # where only the first rows are looked at, they are the most certain ones
    monkeypatch.setattr(one_pass, "spread", lambda count, rows: np.arange(count) // 4)
    exclude = np.arange(N) % 3 == 0
    for quotas in ("auto", None):
        assert_alike(0.02, z, {"quotas": quotas})
        assert_alike(0.02, z, {"quotas": quotas}, exclude=exclude)
    assert RUNS == [False] * 8


def test_classes_that_no_looked_at_row_has(compiled: Compiled, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    z = logits(4, 11)
    z[:, 3] = -50
    z[17] = 0, 0, 0, 2
    places = np.setdiff1d(np.arange(N), [17])
    monkeypatch.setattr(one_pass, "spread", lambda count, rows: places[:: len(places) // count][:count])
    assert_alike(0.02, z, {"quotas": "equal"})
    assert RUNS == [False, False]


def test_points_that_are_alike(compiled: Compiled) -> None:  # noqa: F811
    for quotas in ("auto", None):
        assert_alike(0.1, np.tile(logits(3, 12, 4), (N // 4, 1)), {"mistakes": 0, "quotas": quotas})


@pytest.mark.filterwarnings("ignore::rad_fast.UnreliableTeacherWarning")
@pytest.mark.parametrize("seed", range(6))
def test_games_of_any_kind(compiled: Compiled, seed: int) -> None:  # noqa: F811
    """Ties, sorted pools, teachers that are hardly ever right, budgets and mistakes of any size."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, rng.choice([0.3, 2, 8]), (N + seed, 4)).astype(np.float32)
    if seed % 3 == 1:
        z = np.round(z)
    if seed % 4 == 2:
        z = z[np.argsort(z.max(axis=1) - z.mean(axis=1))]
    of_points = {}
    if seed % 5 == 0:
        of_points["correctness"] = np.round(rng.random(len(z)), 2).astype(np.float32)
    for budget in (1, 0.001, 0.2, len(z) - 1):
        for mistakes in (0, 3.7, 0.05, len(z)):
            assert_alike(budget, z, {"mistakes": mistakes, "quotas": None, "seed": seed}, **of_points)


def test_scores_that_are_not_kept_leave_room_for_more_points_that_pass(compiled: Compiled) -> None:  # noqa: F811
    z = logits(10, 20)
    expected = rad_fast.Selector(0.3, quotas=None).fit(z).indices
    assert not RUNS
    assert_same(rad_fast.select(z, 0.3, quotas=None), expected, "indices")
    assert RUNS == [True]


def test_budgets_that_are_refused_and_all_points(compiled: Compiled) -> None:  # noqa: F811
    z = logits(3, 13)
    with pytest.raises(ValueError, match="budget: expected at most"):
        rad_fast.select(z, N + 1)
    assert_same(rad_fast.select(z, N), np.arange(N), "all points")


def test_backends_without_it_and_rows_that_are_not_in_place_take_the_stages(
    compiled: Compiled,  # noqa: F811
    reference: Backend,
) -> None:
    z = logits(4, 14)
    expected = rad_fast.select(z, 300)
    RUNS.clear()
    assert_same(rad_fast.select(np.asfortranarray(z), 300), expected, "of columns")
    rad_fast.select(np.asfortranarray(z), 300, quotas=None)
    rad_fast.select(z[:5000], 50, backend="reference")
    assert not RUNS


def test_files_are_read_once(compiled: Compiled, tmp_path: Path) -> None:  # noqa: F811
    z = logits(4, 14)
    np.save(tmp_path / "z.npy", z)
    expected = rad_fast.select(z, 300)
    assert RUNS == [True]
    file = np.load(tmp_path / "z.npy", mmap_mode="r")
    for given in (file, np.asarray(file)[::1]):
        assert_same(rad_fast.select(given, 300), expected, "of a file")
    assert RUNS == [True]


def test_a_pass_is_asked_in_its_order(compiled: Compiled) -> None:  # noqa: F811
    z = logits(3, 15)
    sample = one_pass.Scoring(z, None, one_pass.Rule(), None).at(np.arange(10_000), compiled)
    stakes = np.full(3, N // 3), np.full(3, 100.0), np.full(3, 10.0)
    once = compiled.module.OnePass(sample[:3], N, *stakes, 3, solver.steps(), np.zeros(20_000), 1)
    with pytest.raises(ValueError, match="conclude: expected one call after appraise"):
        once.conclude(*stakes[1:], 0)
    with pytest.raises(ValueError, match="gain, correctness and label: expected all or none"):
        once.appraise((z.ctypes.data, 1, 3, 3), None, 0, (), 0, 1, 0, 0, False, 0, 0)
    with pytest.raises(ValueError, match="classes: expected 3"):
        once.appraise((z.ctypes.data, 1, 2, 3), None, 0, (), 0, 0, 0, 0, False, 0, 0)
    once.appraise((z.ctypes.data, 1, 3, 3), None, 0, (), 0, 0, 0, 0, False, 0, 0)
    assert once.counts()[0].sum() == N
    with pytest.raises(ValueError, match="appraise: expected one call"):
        once.appraise((z.ctypes.data, 1, 3, 3), None, 0, (), 0, 0, 0, 0, False, 0, 0)
    with pytest.raises(ValueError, match="budgets: expected from 0"):
        once.conclude(np.full(3, float(N)), stakes[2], 0)
    alone = compiled.module.OneGame(sample[:2], N, 400.0, 0.02 * N, 8.0, solver.steps(), np.zeros(20_000), 1)
    with pytest.raises(ValueError, match="conclude: expected one call after appraise"):
        alone.conclude(400.0, 0.02 * N, 0)
    with pytest.raises(ValueError, match="other: expected 0"):
        alone.appraise((z.ctypes.data, 1, 3, 3), None, 0, (), 0, 0, 0, 0, False, 1, 0)
    alone.appraise((z.ctypes.data, 1, 3, 3), None, 0, (), 0, 0, 0, 0, False, 0, 0)
    with pytest.raises(ValueError, match="budget: expected above 0"):
        alone.conclude(N + 1.0, 0.0, 0)
    with pytest.raises(ValueError, match="conclude: expected one call after appraise"):
        alone.conclude(400.0, 0.02 * N, 0)


# Mistakes are expected that are none; and the reverse.
@pytest.mark.parametrize(
    ("quotas", "seen", "units"), [(None, 1, 0.6), (None, 8, 2.0), ("proportional", 1, 1.2), ("proportional", 8, 4.0)]
)
def test_mistakes_that_are_there_or_not_against_expectation(
    compiled: Compiled,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    quotas: str | None,
    seen: int,
    units: float,
) -> None:
    """A game without mistakes has another box than one with half a unit of them."""
    z, exclude = logits(2, 19), np.zeros(N, bool)
    z = np.repeat(z[: N // 2], 2, axis=0)
    exclude[1::2] = True
    some = np.arange(0, N, 4)
    monkeypatch.setattr(one_pass, "spread", lambda count, rows: np.sort(some[:count] + (np.arange(count) % seen > 0)))
    assert_alike(0.02, z, {"mistakes": units * 2.0**-25 / N, "quotas": quotas}, exclude=exclude)
    assert RUNS == [False, False]


@pytest.mark.parametrize("z", [logits(4, 16)[::-1], logits(8, 17)[:, ::2], logits(4, 18)])
def test_a_few_rows_are_looked_at_without_a_copy_of_all(z: np.ndarray) -> None:
    places = np.arange(0, N, 400)
    tracemalloc.start()
    try:
        taken = one_pass.rows_at(z, places)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(taken, z[places])
    assert peak < z.nbytes / 10
