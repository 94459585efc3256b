"""A stream: its count, its decisions however it is cut, resuming, drift, and what select() takes in hindsight."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rad_fast
from benchmarks.streams.hindsight import beside
from rad_fast.stream import BudgetUsedWarning, StreamSelector

# Random logits are no good teacher; that this is said has a test of its own.
pytestmark = pytest.mark.filterwarnings("ignore::rad_fast.UnreliableTeacherWarning")


def logits_of(points: int, classes: int = 10, scale: float = 4.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, scale, (points, classes)).astype(np.float32)


def lead(taken: np.ndarray, rate: float) -> np.ndarray:
    """How far the count is ahead of rate x seen, after every point."""
    return np.cumsum(taken) - rate * np.arange(1, len(taken) + 1)


def cut(rows: np.ndarray, pieces: int, seed: int) -> list[np.ndarray]:
    at = np.sort(np.random.default_rng(seed).integers(0, len(rows) + 1, pieces))
    return np.split(rows, at)


# ---------------------------------------------------------------------------------------------------------- the count


@settings(max_examples=40)
@given(
    rate=st.floats(0.005, 1.0),
    slack=st.floats(1.0, 20.0),
    mistakes=st.sampled_from([0.0, 0.02, 0.2]),
    seed=st.integers(0, 99),
)
def test_the_count_is_never_more_than_the_slack_from_the_rate(rate, slack, mistakes, seed):
    taken = StreamSelector(rate, slack=slack, mistakes=mistakes, seed=seed).offer(logits_of(3000, seed=seed))
    assert np.abs(lead(taken, rate)).max() <= slack + 1e-9


@settings(max_examples=20)
@given(rate=st.floats(0.005, 1.0), budget=st.integers(1, 400), quotas=st.sampled_from([None, "auto"]))
def test_with_a_slack_of_one_any_rate_is_kept_within_one_and_no_budget_exceeded(rate, budget, quotas):
    rows, window = logits_of(1500), max(16, int(1 / rate) + 1)
    taken = StreamSelector(rate, slack=1.0, quotas=quotas, window=window).offer(rows)
    assert np.abs(lead(taken, rate)).max() <= 1.0 + 1e-9
    limited = StreamSelector(rate, slack=1.0, quotas=quotas, window=window, budget=budget)
    assert np.array_equal(limited.offer(rows), taken & (np.cumsum(taken) <= budget))


def test_by_default_a_low_rate_is_kept_within_one():
    taken = StreamSelector(0.02).offer(logits_of(20_000))
    assert np.abs(lead(taken, 0.02)).max() <= 1.0 + 1e-9


@pytest.mark.parametrize(("rate", "slack"), [(0.01, 1.0), (0.025, 1.0), (0.1, 3.6), (0.5, 8.0), (1.0, 1.0)])
def test_the_default_slack_leaves_a_choice_among_some_forty_points(rate, slack):
    assert StreamSelector(rate).slack == pytest.approx(slack)


@settings(max_examples=40)
@given(points=st.integers(1, 2500), share=st.floats(0.0, 1.0), slack=st.floats(1.0, 30.0), seed=st.integers(0, 99))
def test_a_budget_of_a_known_number_is_met_to_the_point(points, share, slack, seed):
    budget = max(1, int(share * points))
    stream = StreamSelector(budget=budget, of=points, slack=slack, window=max(16, 1 + points // budget), seed=seed)
    taken = stream.offer(logits_of(points, seed=seed))
    assert taken.sum() == stream.taken == budget


def test_after_the_budget_every_point_is_left_and_that_is_said_once():
    stream = StreamSelector(0.1, budget=20)
    taken = stream.offer(logits_of(1000))
    assert taken.sum() == 20
    with pytest.warns(BudgetUsedWarning, match="the budget of 20 points is used") as said:
        more = [stream.offer(row) for row in logits_of(50)]
    assert len(said) == 1
    assert not any(more)
    assert said[0].filename == __file__


def test_a_stream_that_is_longer_than_was_said_keeps_the_budget():
    stream = StreamSelector(budget=10, of=200, window=32)
    assert stream.offer(logits_of(200)).sum() == 10
    with pytest.warns(BudgetUsedWarning):
        assert not stream.offer(logits_of(300)).any()


def test_a_rate_of_one_takes_everything():
    assert StreamSelector(1.0).offer(logits_of(500)).all()


# ------------------------------------------------------------------------------------------------------- however cut


@settings(max_examples=20)
@given(pieces=st.integers(0, 60), seed=st.integers(0, 99), rate=st.sampled_from([0.01, 0.1, 0.4]))
def test_decisions_do_not_depend_on_the_batches(pieces, seed, rate):
    rows = logits_of(4000, seed=seed)
    whole = StreamSelector(rate, seed=seed, window=300).offer(rows)
    stream = StreamSelector(rate, seed=seed, window=300)
    assert np.array_equal(np.concatenate([stream.offer(part) for part in cut(rows, pieces, seed)]), whole)


@pytest.mark.parametrize("quotas", [None, "auto"])
def test_one_point_at_a_time_is_decided_like_a_batch(kernels, quotas):
    rows, student = logits_of(700), logits_of(700, seed=1)
    settings = {"rate": 0.05, "window": 128, "quotas": quotas, "backend": kernels.name}
    whole = StreamSelector(**settings).offer(rows, student)
    stream = StreamSelector(**settings)
    one_by_one = [stream.offer(row, other) for row, other in zip(rows, student, strict=True)]
    assert all(type(taken) is bool for taken in one_by_one)
    assert one_by_one == whole.tolist()


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_one_point_of_any_layout_and_dtype_is_decided_like_a_batch(dtype):
    rows = logits_of(600).astype(dtype)
    whole = StreamSelector(0.05, window=128).offer(rows)
    wide, turned = np.zeros((600, 20), dtype), np.asfortranarray(rows)
    wide[:, ::2] = rows
    long = np.zeros((600, 13), dtype)
    long[:, :10] = rows
    layouts = (rows, wide[:, ::2], turned, long[:, :10], rows.astype(rows.dtype.newbyteorder(">")), rows.tolist())
    for layout in layouts[: 5 if dtype == "float16" else 6]:
        stream = StreamSelector(0.05, window=128)
        assert [stream.offer(row) for row in layout] == whole.tolist()
        stream = StreamSelector(0.05, window=128)
        batches = [layout[begin : begin + 200] for begin in range(0, 600, 200)]
        assert np.concatenate([stream.offer(batch) for batch in batches]).tolist() == whole.tolist()


def unaligned(rows: np.ndarray) -> np.ndarray:
    memory = np.zeros(rows.nbytes + 1, np.uint8)
    moved = np.ndarray(rows.shape, rows.dtype, memory.data, 1)
    moved[:] = rows
    return moved


@pytest.mark.parametrize("quotas", [None, "auto"])
@pytest.mark.parametrize(
    "layout",
    [
        np.asfortranarray,
        lambda rows: np.pad(rows, ((0, 0), (0, 6)))[:, :10],
        lambda rows: rows[::-1].copy()[::-1],
        lambda rows: np.repeat(np.repeat(rows, 2, axis=1), 2, axis=0)[::2, ::2],
        lambda rows: rows.astype(">f4"),
        unaligned,
    ],
    ids=["by column", "padded", "reversed", "strided", "big-endian", "unaligned"],
)
def test_a_batch_of_any_layout_is_decided_alike(quotas, layout):
    """Read in place, or brought into another order first; after a batch in plain order."""
    rows = logits_of(2500)
    plain, other = (StreamSelector(0.05, window=320, quotas=quotas) for _ in range(2))
    for stream in (plain, other):
        stream.offer(rows[:700])
    assert np.array_equal(other.offer(layout(rows[700:])), plain.offer(rows[700:]))
    assert other.seen == 2500


def test_torch_tensors_are_decided_alike_and_answered_in_kind():
    torch = pytest.importorskip("torch")
    rows = logits_of(400)
    whole = StreamSelector(0.05, window=64).offer(rows)
    taken = StreamSelector(0.05, window=64).offer(torch.from_numpy(rows))
    assert taken.dtype == torch.bool
    assert np.array_equal(taken.numpy(), whole)
    apart = torch.from_numpy(np.repeat(rows, 2, axis=1))[:, ::2]
    for tensor in (torch.from_numpy(rows), torch.from_numpy(rows).double(), apart):
        stream, halves = StreamSelector(0.05, window=64), StreamSelector(0.05, window=64)
        decided = StreamSelector(0.05, window=64).offer(tensor)
        assert [stream.offer(row) for row in tensor] == decided.tolist()
        assert torch.equal(torch.cat([halves.offer(half) for half in tensor.split(200)]), decided)
    short = torch.from_numpy(rows).bfloat16()
    stream = StreamSelector(0.05, window=64)
    assert [stream.offer(row) for row in short] == StreamSelector(0.05, window=64).offer(short).tolist()


def test_top_k_logits_are_decided_like_the_whole():
    rows = logits_of(500, classes=40).astype(np.float64)
    top = np.argsort(-rows, axis=1)[:, :8]
    sums = np.log(np.exp(rows).sum(axis=1))
    kept = rad_fast.TopKLogits(np.take_along_axis(rows, top, axis=1), top, 40, sums)
    taken = StreamSelector(0.05, window=64, mistakes=0).offer(kept)
    assert np.array_equal(taken, StreamSelector(0.05, window=64, mistakes=0).offer(rows))


def test_what_is_offered_is_never_modified():
    rows = logits_of(300)
    before = rows.copy()
    StreamSelector(0.1).offer(rows)
    assert np.array_equal(rows, before)


def test_the_memory_is_that_of_the_window():
    stream = StreamSelector(0.1, window=200)
    stream.offer(logits_of(5000))
    ring = stream._decider.window.points
    assert sum(field.nbytes for field in ring[:3]) == 12 * 200


# ----------------------------------------------------------------------------------------------------------- resuming


@pytest.mark.parametrize("at", [0, 1, 37, 300, 301, 1999])
def test_a_stream_goes_on_where_its_state_was_taken(at):
    rows = logits_of(2000)
    whole = StreamSelector(0.05, window=300).offer(rows)
    first = StreamSelector(0.05, window=300)
    head = first.offer(rows[:at])
    state = pickle.loads(pickle.dumps(first.state_dict()))
    first.offer(rows[at:])  # goes on by itself, and is then killed: the state does not move
    again = StreamSelector(0.05, window=300)
    again.load_state_dict(state)
    assert again.offered == at
    assert np.array_equal(np.concatenate([head, again.offer(rows[again.offered :])]), whole)
    assert again.taken == whole.sum()


def test_a_selector_pickles_in_the_middle_of_its_stream():
    rows = logits_of(1000)
    calibrator = rad_fast.Calibrator().fit(logits_of(200, seed=3), np.arange(200) % 10)
    stream = StreamSelector(0.05, window=128, correctness=calibrator)
    whole = StreamSelector(0.05, window=128, correctness=calibrator).offer(rows)
    head = stream.offer(rows[:333])
    again = pickle.loads(pickle.dumps(stream))
    assert np.array_equal(np.concatenate([head, again.offer(rows[333:])]), whole)
    assert "seen=1000" in repr(again)


def test_a_state_of_another_stream_is_refused():
    state = StreamSelector(0.05).state_dict()
    with pytest.raises(ValueError, match=r"state: expected one of a stream with rate=0.1, got rate=0.05"):
        StreamSelector(0.1, window=1280).load_state_dict(state)
    with pytest.raises(ValueError, match="state: expected what state_dict"):
        StreamSelector(0.1).load_state_dict([])
    part = {name: state[name] for name in ("settings", "offered", "source")}
    with pytest.raises(
        ValueError, match=r"state: expected what state_dict\(\) returned, got a dictionary without chosen"
    ):
        StreamSelector(0.05).load_state_dict(part)


# --------------------------------------------------------------------------------------------- drift, and in hindsight


def test_a_change_of_the_stream_is_followed_within_a_window():
    window, rate = 2000, 0.1
    before, after = logits_of(8000, scale=4.0), logits_of(8000, scale=1.5, seed=1)
    stream = StreamSelector(rate, window=window, mistakes=0, quotas=None)
    stream.offer(before)
    settled = stream.thresholds
    stream.offer(after[:window])
    moved = stream.thresholds
    alone = StreamSelector(rate, window=window, mistakes=0, quotas=None)
    alone.offer(after)
    assert abs(moved.threshold - alone.thresholds.threshold) < 0.1 * abs(settled.threshold - moved.threshold)
    taken = stream.offer(after[window:])
    best = rad_fast.Selector(rate, mistakes=0, quotas=None).fit(after[window:])
    d = (2.0 * best.correctness.astype(np.float64) - 1.0) * best.gain
    # What is taken after the change is what is worth most after the change.
    assert d[taken].mean() - d.mean() > 0.75 * (d[best.indices].mean() - d.mean())


@pytest.mark.parametrize(
    ("rate", "mistakes", "slack", "regret", "gain"),
    [
        (0.01, 0.02, 1.0, 0.06, 0.93),
        (0.01, 0.0, 1.0, 0.06, 0.92),
        (0.1, 0.02, 1.0, 0.20, 0.82),
        (0.1, 0.0, 1.0, 0.22, 0.78),
        (0.01, 0.02, 4.0, 0.04, 0.95),
        (0.1, 0.02, 4.0, 0.06, 0.95),
        (0.1, 0.0, 16.0, 0.02, 0.98),
    ],
)
def test_a_stream_that_stands_still_is_worth_about_what_hindsight_is(rate, mistakes, slack, regret, gain):
    found = beside(logits_of(20_000, scale=5.0, seed=1), rate, mistakes, slack=slack)
    assert found.regret < regret
    assert found.gain > gain
    # Without mistakes hindsight has a hard edge, and one point in each 1 / rate often lies on its other side.
    assert found.overlap > (0.7 if mistakes or slack > 1.0 else 0.3)


def test_watched_points_give_thresholds_to_the_first_point():
    rows = logits_of(3000)
    cold, warm = (StreamSelector(0.02, mistakes=0, quotas=None) for _ in range(2))
    warm.watch(logits_of(3000, seed=1))
    assert warm.seen == warm.offered == warm.taken == 0
    assert warm.thresholds.threshold < 1.0 < cold.thresholds.threshold
    assert np.flatnonzero(warm.offer(rows))[0] < 25  # before half of the first 1 / rate: a cold stream only watches
    assert np.flatnonzero(cold.offer(rows))[0] >= 25


# -------------------------------------------------------------------------------------------- gain and correctness


def test_the_student_decides_what_there_is_to_learn():
    teacher, student = logits_of(5000), logits_of(5000, seed=1)
    stream = StreamSelector(0.05, mistakes=0, slack=8.0, quotas=None)
    taken = stream.offer(teacher, student)
    score = rad_fast.Selector(0.05, mistakes=0, quotas=None).fit(teacher, student_logits=student)
    d = (2.0 * score.correctness.astype(np.float64) - 1.0) * score.gain
    assert d[taken].mean() > 0.9 * d[score.indices].mean()


def test_correctness_is_as_in_select():
    rows, held_out = logits_of(2000), logits_of(400, seed=5)
    calibrator = rad_fast.Calibrator().fit(held_out, np.where(np.arange(400) % 5, held_out.argmax(1), 0))
    by_points = np.linspace(0.5, 1, 2000)
    for of_all, here in ((calibrator, None), (0.9, None), (None, by_points)):
        stream = StreamSelector(0.05, window=2000, correctness=of_all, quotas=None)
        stream.offer(rows, correctness=here)
        ring = stream._decider.window.held()
        chosen = rad_fast.Selector(0.05, quotas=None).fit(rows, correctness=of_all if here is None else here)
        assert np.array_equal(ring.gain, chosen.gain)
        assert np.array_equal(ring.correctness, chosen.correctness)
        assert np.array_equal(ring.label, chosen.labels)
        assert stream.thresholds.threshold == chosen.threshold
        assert stream.thresholds.price == chosen.price


def test_a_teacher_that_cannot_be_relied_on_is_said_once():
    stream = StreamSelector(0.1, window=64, correctness=0.5)
    with pytest.warns(rad_fast.UnreliableTeacherWarning, match="the value of the game") as said:
        stream.offer(logits_of(1000))
    assert len(said) == 1


def test_mistakes_may_be_a_count_of_a_known_number():
    rows = logits_of(1000)
    by_count = StreamSelector(budget=50, of=1000, mistakes=40).offer(rows)
    assert np.array_equal(by_count, StreamSelector(budget=50, of=1000, mistakes=0.04).offer(rows))


# ---------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, r"rate: expected a number in \(0, 1\]; or give budget= and of="),
        ({"budget": 5}, ValueError, "rate: expected"),
        ({"rate": 0.0}, ValueError, r"rate: expected the share of the points to take, in \(0, 1\], got 0.0"),
        ({"rate": 500}, ValueError, "for a number of points give budget= and of="),
        ({"rate": float("nan")}, ValueError, "rate: expected"),
        ({"rate": "1%"}, TypeError, "rate: expected"),
        ({"rate": 0.1, "of": 10}, ValueError, "of: expected together with budget= and without rate="),
        ({"budget": 11, "of": 10}, ValueError, "budget: expected at most of, 10, got 11"),
        ({"rate": 0.1, "budget": 0}, ValueError, "budget: expected an int of at least 1, got 0"),
        ({"rate": 0.01, "window": 99}, ValueError, "window: expected at least 100 points, so that a rate of 0.01"),
        ({"rate": 0.5, "window": 10}, ValueError, "window: expected at least 16"),
        ({"rate": 0.1, "slack": 0.5}, ValueError, "slack: expected a finite number of points, at least 1, got 0.5"),
        ({"rate": 0.1, "mistakes": 5}, ValueError, r"mistakes: expected a float in \[0, 1\), a fraction"),
        ({"rate": 0.1, "mistakes": -1}, ValueError, "mistakes: expected a finite number of at least 0"),
        ({"rate": 0.1, "correctness": 1.5}, ValueError, "correctness: expected the teacher's average accuracy"),
        ({"rate": 0.1, "correctness": [0.5]}, TypeError, "give one number per point as offer"),
        ({"rate": 0.1, "correctness": rad_fast.Calibrator()}, ValueError, "expected a fitted Calibrator"),
        ({"rate": 0.1, "seed": -1}, ValueError, "seed: expected"),
        ({"rate": 0.1, "invalid": "skip"}, ValueError, "invalid: expected one of"),
        ({"rate": 0.1, "backend": "cuda"}, ValueError, "backend"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        StreamSelector(**arguments)


def test_classes_that_change_are_refused_and_nothing_is_decided():
    stream = StreamSelector(0.1)
    stream.offer(logits_of(100))
    before = stream.state_dict()
    for row in (logits_of(1, classes=12), logits_of(1, classes=12)[0], logits_of(3, classes=12)):
        with pytest.raises(ValueError, match=r"logits: expected 10 classes as in .*, got 12"):
            stream.offer(row)
    with pytest.raises(ValueError, match="student_logits: expected no classes as in"):
        stream.offer(logits_of(1)[0], logits_of(1)[0])
    assert stream.offered == before["offered"] == 100
    assert np.array_equal(stream.state_dict()["standing"]["counts"], before["standing"]["counts"])


def test_probabilities_given_for_logits_are_refused_one_by_one_or_together():
    p = np.random.default_rng(0).dirichlet(np.ones(5), 100)
    with pytest.raises(ValueError, match=r"logits: expected logits, got probabilities.*rad_fast.Probabilities\(p\)"):
        StreamSelector(0.1).offer(p)
    stream = StreamSelector(0.1)
    for row in p[:7]:
        stream.offer(row)
    with pytest.raises(ValueError, match="logits: expected logits, got probabilities"):
        stream.offer(p[7])
    taken = StreamSelector(0.1, window=64).offer(rad_fast.Probabilities(p))
    assert np.array_equal(taken, StreamSelector(0.1, window=64).offer(np.log(p)))


def test_a_teacher_that_gives_labels_alone():
    rng = np.random.default_rng(0)
    labels, student = rng.integers(0, 10, 2000), logits_of(2000)
    settings = {"correctness": 0.8, "gain": "label", "slack": 4.0}
    taken = StreamSelector(0.1, **settings).offer(rad_fast.TeacherLabels(labels, n_classes=10), student)
    known = student[np.arange(2000), labels] - student.max(1)
    assert abs(taken.sum() - 200) <= 4
    assert known[taken].mean() < known.mean()  # labels that the student did not expect


def test_points_without_an_answer_are_left_and_do_not_count():
    labels, student = np.arange(600) % 10, logits_of(600)
    answered = np.arange(600) % 7 != 3
    some = rad_fast.TeacherLabels(np.where(answered, labels, -1), n_classes=10)
    stream = StreamSelector(0.1, window=64)
    taken = stream.offer(some, student)
    alone = StreamSelector(0.1, window=64).offer(
        rad_fast.TeacherLabels(labels[answered], n_classes=10), student[answered]
    )
    assert not taken[~answered].any()
    assert np.array_equal(taken[answered], alone)
    assert (stream.offered, stream.seen) == (600, answered.sum())
    student[8] = np.nan
    with pytest.raises(ValueError, match=r"student_logits: expected rows of finite numbers .* row 8"):
        StreamSelector(0.1).offer(some, student)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_invalid_row_is_refused_and_nothing_is_decided(bad):
    rows = logits_of(60)
    stream = StreamSelector(0.1)
    stream.offer(rows[:50])
    rows[55, 3] = bad
    with pytest.raises(ValueError, match=r"expected rows of finite numbers or -inf; 1 row has .* row 5"):
        stream.offer(rows[50:])
    with pytest.raises(ValueError, match="row 0"):
        stream.offer(rows[55])
    assert stream.seen == stream.offered == 50


def test_invalid_rows_are_left_out_where_that_is_asked_for():
    rows = logits_of(3000)
    whole = StreamSelector(0.1, window=64).offer(rows)
    holes = np.insert(rows, [0, 10, 700, 3000], np.nan, axis=0)
    valid = ~np.isnan(holes[:, 0])
    stream = StreamSelector(0.1, window=64, invalid="exclude")
    taken = stream.offer(holes)
    assert not taken[~valid].any()
    assert np.array_equal(taken[valid], whole)
    assert (stream.offered, stream.seen) == (3004, 3000)
    one = StreamSelector(0.1, window=64, invalid="exclude")
    assert [one.offer(row) for row in holes] == taken.tolist()


def test_no_rows_are_no_decisions():
    stream = StreamSelector(0.1)
    assert stream.offer(logits_of(0)).shape == (0,)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert stream.offered == 0
