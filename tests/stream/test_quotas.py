"""A stream with quotas and with each gain: the game is that of select(), the rules of the count stay."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import rad_fast
from rad_fast.stream import StreamSelector

pytestmark = pytest.mark.filterwarnings("ignore::rad_fast.UnreliableTeacherWarning")

CLASSES = 6


def logits_of(points: int, seed: int = 0) -> np.ndarray:
    """The first class is the label of about half of the points."""
    logits = np.random.default_rng(seed).normal(0, 3, (points, CLASSES)).astype(np.float32)
    logits[:, 0] += 3.0
    return logits


def labels_of(logits: np.ndarray, taken: np.ndarray) -> np.ndarray:
    return np.bincount(logits.argmax(1)[taken], minlength=CLASSES)


@pytest.mark.parametrize("quotas", ["auto", "equal", "proportional", [0, 1, 2, 3, 4, 5.0], {1: 2, 3: 1}])
def test_a_full_window_has_the_equilibria_of_select(quotas):
    rows, student = logits_of(1024), logits_of(1024, seed=1)
    stream = StreamSelector(0.0625, quotas=quotas, gain="label", window=1024)
    stream.offer(rows, student)
    taken = stream._decider.chosen  # as known at the solution: those of the whole window
    chosen = {k: int(count) for k, count in enumerate(taken)}
    selection = rad_fast.Selector(64, quotas=quotas).fit(rows, student_logits=student, gain="label", chosen=chosen)
    assert np.array_equal(stream.thresholds.price, selection.price)
    assert np.array_equal(stream.thresholds.threshold, selection.threshold)
    assert np.array_equal(stream._decider.solution.quotas, selection.quotas)


@pytest.mark.parametrize(
    ("quotas", "shares"), [("equal", np.full(6, 1 / 6)), ([1, 0, 0, 0, 0, 1], [0.5, 0, 0, 0, 0, 0.5])]
)
def test_classes_get_their_shares(quotas, shares):
    rows = logits_of(12_000)
    stream = StreamSelector(0.05, quotas=quotas, slack=8.0, mistakes=0.0)
    taken = labels_of(rows, stream.offer(rows))
    assert taken.sum() == pytest.approx(600, abs=8)
    assert taken / taken.sum() == pytest.approx(shares, abs=0.03)


@pytest.mark.parametrize("slack", [1.0, 4.0])
def test_the_count_keeps_to_the_rate_with_quotas(slack):
    taken = StreamSelector(0.05, quotas="equal", slack=slack).offer(logits_of(6000))
    assert np.abs(np.cumsum(taken) - 0.05 * np.arange(1, 6001)).max() <= slack + 1e-9


def test_decisions_with_quotas_do_not_depend_on_the_batches_and_go_on(kernels):
    rows, student = logits_of(1200), logits_of(1200, seed=1)
    settings = {"rate": 0.05, "quotas": "auto", "gain": "label", "window": 200, "backend": kernels.name}
    whole = StreamSelector(**settings).offer(rows, student)
    stream, parts = StreamSelector(**settings), []
    for begin in (0, 1, 7, 150, 700):
        end = {0: 1, 1: 7, 7: 150, 150: 700, 700: 1200}[begin]
        parts.append(stream.offer(rows[begin:end], student[begin:end]))
        stream = pickle.loads(pickle.dumps(stream))
    assert np.array_equal(np.concatenate(parts), whole)
    one = StreamSelector(**settings)
    assert [one.offer(row, other) for row, other in zip(rows, student, strict=True)] == whole.tolist()


def test_the_window_holds_enough_points_of_each_class():
    rows = np.random.default_rng(0).normal(0, 3, (10, 100)).astype(np.float32)
    stream = StreamSelector(0.1)
    stream.offer(rows)
    assert stream._decider.window.size == 6400
    plain = StreamSelector(0.1, quotas=None)
    plain.offer(rows)
    assert plain._decider.window.size == 1024


@pytest.mark.parametrize(("labelled", "largest"), [(400, 0.45), (8, 1 / 6)])
def test_with_a_calibrator_quotas_are_the_labels_shares_as_far_as_so_many_points_tell(labelled, largest):
    rows = logits_of(12_000)
    truth = np.where(np.arange(labelled) % 4, rows[:labelled].argmax(1), 2)  # whose classes do not count
    calibrator = rad_fast.Calibrator().fit(rows[:labelled], truth)
    stream = StreamSelector(0.05, quotas="auto", correctness=calibrator, slack=8.0, mistakes=0.0)
    taken = labels_of(rows[400:], stream.offer(rows[400:]))
    assert taken.argmax() == 0 or labelled == 8
    assert taken[0] / taken.sum() == pytest.approx(largest, abs=0.05)


def test_by_default_gain_and_quotas_are_those_of_select():
    rows, student = logits_of(1024), logits_of(1024, seed=1)
    stream = StreamSelector(0.0625, window=1024)
    stream.offer(rows, student)
    chosen = dict(enumerate(stream._decider.chosen.tolist()))
    selection = rad_fast.Selector(64).fit(rows, student_logits=student, chosen=chosen)
    assert np.array_equal(stream._decider.window.held().gain, selection.gain)
    assert np.array_equal(stream.thresholds.threshold, selection.threshold)


def test_a_changed_share_of_the_classes_is_followed_within_a_window():
    before, after = logits_of(4000), logits_of(8000, seed=2)
    after[:, 0] -= 6.0  # half of the points' label becomes the rarest
    stream = StreamSelector(0.1, quotas="equal", slack=8.0, mistakes=0.0)
    stream.offer(before)
    assert stream._decider.window.size == 1024
    stream.offer(after[:1024])
    late = labels_of(after[1024:], stream.offer(after[1024:]))
    assert late[1:] / late.sum() == pytest.approx(np.full(5, late[1:].mean() / late.sum()), abs=0.03)
    assert stream.taken == pytest.approx(1200, abs=8)


@pytest.mark.parametrize("gain", ["label", "margin", "auto"])
def test_each_gain_is_that_of_select(gain):
    rows, student = logits_of(600), logits_of(600, seed=1)
    stream = StreamSelector(0.05, gain=gain, window=600)
    stream.offer(rows, student)
    chosen = rad_fast.Selector(0.05).fit(rows, student_logits=student, gain=gain)
    assert np.array_equal(stream._decider.window.held().gain, chosen.gain)


def test_a_gain_may_be_given_for_each_point():
    rows, gain = logits_of(600), np.random.default_rng(0).random(600)
    whole = StreamSelector(0.1, window=128).offer(rows, gain=gain)
    stream = StreamSelector(0.1, window=128)
    assert [stream.offer(row, gain=value) for row, value in zip(rows, gain, strict=True)] == whole.tolist()
    chosen = rad_fast.Selector(0.1).fit(rows, gain=gain)
    held = StreamSelector(0.1, window=600)
    held.offer(rows, gain=gain)
    assert np.array_equal(held._decider.window.held().gain, chosen.gain)


def test_gains_and_quotas_that_cannot_be_meant_are_refused():
    with pytest.raises(
        TypeError, match=r'gain: expected "auto", "label" or "margin", got list; .* offer\(..., gain=\)'
    ):
        StreamSelector(0.1, gain=[0.5])
    with pytest.raises(ValueError, match="gain: expected one of"):
        StreamSelector(0.1, gain="entropy")
    with pytest.raises(ValueError, match="quotas: expected"):
        StreamSelector(0.1, quotas="half")
    with pytest.raises(ValueError, match=r"quotas: expected a weight for each of 6 classes, got 2"):
        StreamSelector(0.1, quotas=[1.0, 2.0]).offer(logits_of(5))
    with pytest.raises(ValueError, match='gain: "label" is 1 - the student'):
        StreamSelector(0.1, gain="label").offer(logits_of(5))
    stream = StreamSelector(0.1)
    stream.offer(logits_of(5))
    with pytest.raises(ValueError, match="gain: expected one of the margin as before"):
        stream.offer(logits_of(5), gain=np.ones(5))
    with pytest.raises(ValueError, match="gain: expected numbers in"):
        StreamSelector(0.1).offer(logits_of(5), gain=np.full(5, 2.0))


def test_a_state_with_other_quotas_is_refused():
    stream = StreamSelector(0.1, quotas=[1.0, 2, 3, 4, 5, 6])
    stream.offer(logits_of(50))
    again = StreamSelector(0.1, quotas=np.array([1.0, 2, 3, 4, 5, 6]))
    again.load_state_dict(stream.state_dict())
    assert again.seen == 50
    with pytest.raises(ValueError, match="state: expected one of a stream with quotas='equal'"):
        StreamSelector(0.1, quotas="equal").load_state_dict(stream.state_dict())
