"""When the game is solved again: where the points call for other thresholds, and hardly ever where they do not."""

from __future__ import annotations

import numpy as np
import pytest

from rad_fast.stream import StreamSelector
from rad_fast.stream.course import Course, Solution
from rad_fast.stream.decider import Decider
from rad_fast.stream.window import Window

pytestmark = pytest.mark.filterwarnings("ignore::rad_fast.UnreliableTeacherWarning")


@pytest.fixture
def solutions(monkeypatch) -> list[int]:
    """The positions of the stream at which the game was solved."""
    at: list[int] = []
    solve = Decider._solve

    def noted(self: Decider) -> None:
        at.append(self.window.kept)
        solve(self)

    monkeypatch.setattr(Decider, "_solve", noted)
    return at


def logits_of(points: int, seed: int = 0, scale: float = 4.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, scale, (points, 10)).astype(np.float32)


def test_a_stream_that_stands_still_is_hardly_ever_solved_again(solutions):
    for seed in range(4):
        stream = StreamSelector(0.1, window=1000, quotas=None, seed=seed)
        stream.offer(logits_of(50_000, seed=seed))
    while_it_filled = sum(position <= 1000 for position in solutions)
    assert len(solutions) - while_it_filled <= 12  # in 196 windows


def test_quotas_are_shared_out_at_distances_that_double(monkeypatch, solutions):
    shared: list[int] = []
    share = Window.share

    def noted(self: Window) -> None:
        shared.append(self.kept)
        share(self)

    monkeypatch.setattr(Window, "share", noted)
    StreamSelector(0.1, window=1000).watch(logits_of(1000)).offer(logits_of(36_000))
    assert {1000, 2000, 3000, 5000, 9000, 17_000, 33_000} <= set(shared)
    assert len(shared) < 20
    assert len([position for position in solutions if position > 1000]) < len(shared) - 3  # most of them hardly moved


def test_quotas_that_hardly_move_change_what_is_due_and_nothing_else(solutions):
    stream = StreamSelector(0.1, window=1000).watch(logits_of(1000))
    stream.offer(logits_of(1999, seed=1))
    decider = stream._decider
    before, due = decider.state(), decider.course.due.copy()
    chosen = decider.chosen.sum() + decider.standing.got.sum()
    solutions.clear()
    stream.offer(logits_of(1, seed=2))
    assert decider.window.kept == 3000
    assert not solutions
    assert np.array_equal(decider.course.price, before["course"]["price"])
    assert np.array_equal(decider.standing.phase, before["standing"]["phase"])
    assert 0.0 < np.abs(decider.course.due - due).sum() < 0.2 * 0.1
    assert decider.course.due.sum() == pytest.approx(0.1)
    assert decider.chosen.sum() == pytest.approx(chosen, abs=1)
    assert not decider.standing.got.any()


@pytest.mark.parametrize("quotas", [None, "auto"])
@pytest.mark.parametrize("scale", [1.0, 12.0])
def test_a_change_is_solved_for_at_the_next_look_and_when_it_fills_the_window(solutions, quotas, scale):
    stream = StreamSelector(0.1, window=1000, quotas=quotas)
    stream.offer(logits_of(12_000))
    solutions.clear()
    stream.offer(logits_of(1000, scale=scale, seed=1))
    assert {12_500, 13_000} <= set(solutions)


def test_a_class_that_appears_late_is_given_its_quota():
    early, late = logits_of(12_000), logits_of(6000, seed=1)
    early[:, 9] -= 40.0  # never the label
    stream = StreamSelector(0.1, window=1000, quotas="equal")
    stream.offer(early)
    assert stream.thresholds.threshold[9] == 2.0
    stream.offer(late[:1000])
    assert stream.thresholds.threshold[9] < 1.0
    taken = stream.offer(late[1000:])
    assert 0.1 < (late[1000:][taken].argmax(1) == 9).mean() < 0.4  # and makes up for what it was not there to get


def test_points_that_are_all_alike_are_no_change_until_they_are_others(solutions):
    stream = StreamSelector(0.1, window=500, quotas=None)
    same = np.tile(np.float32([3, 0, 0]), (6000, 1))
    assert stream.offer(same).sum() == pytest.approx(600, abs=stream.slack)
    assert max(solutions) <= 500
    stream.offer(np.tile(np.float32([1, 0, 0]), (500, 1)))
    assert max(solutions) > 6000


def test_what_classes_lag_behind_their_quotas_lowers_their_thresholds(kernels):
    gain, correctness = np.full(300, 0.5, np.float32), np.ones(300, np.float32)
    label = np.tile(np.array([0, 1], np.int32), 150)
    stream = StreamSelector(0.1, quotas="equal", backend=kernels.name)
    stream._decider.begin(2, 100)
    course = Course(np.ones(2), np.tile(np.linspace(1.0, 0.0, 33), (2, 1)), np.zeros((2, 33)), np.array([0.05, 0.05]))
    standing = stream._decider.standing._replace(phase=np.zeros(2), got=np.array([6.0, 0.0]))
    taken = kernels.decide(gain, correctness, label, course, stream._decider.pace, standing)
    assert taken[label == 1].sum() - taken[label == 0].sum() == pytest.approx(6, abs=1)
    assert standing.got.tolist() == [6.0 + taken[label == 0].sum(), taken[label == 1].sum()]


def test_a_solution_is_the_same_for_one_window_and_for_many_where_nothing_is_lacked(kernels):
    from rad_fast.kernels.reference.score import Rule, empty_points
    from rad_fast.stream.course import Wanted, shared_out, solved

    points, none = empty_points(2000), np.zeros(10, np.int64)
    kernels.appraise(logits_of(2000), None, Rule(), None, points)
    wanted = Wanted(0.1, 4.0, 0.02, "auto")
    one, many = (
        solved(points, wanted, kernels, shared_out(points, wanted, none, kernels, windows)) for windows in (1, 32)
    )
    assert isinstance(one, Solution)
    assert many.quotas == pytest.approx(one.quotas, abs=1e-5)
    assert many.equilibria.threshold == pytest.approx(one.equilibria.threshold, abs=1e-4)


@pytest.mark.parametrize("quotas", [None, "auto"])
def test_every_backend_solves_and_decides_alike_through_a_change(kernels, quotas):
    """Watched points, changes, and quotas that are shared out; in batches, and one by one where the game is solved."""
    rows = np.concatenate([logits_of(4000), logits_of(1500, seed=1, scale=1.0), logits_of(2500, seed=2)])
    settings = {"window": 501, "quotas": quotas, "slack": 2.0}  # odd: what is looked at lies across the ring's end
    ours, theirs = StreamSelector(0.05, backend=kernels.name, **settings), StreamSelector(0.05, **settings)
    for stream in (ours, theirs):
        stream.watch(rows[:700])
    taken = [ours.offer(part) for part in np.split(rows[700:], [1, 2, 700, 701, 5000])]
    cuts = np.split(rows[700:], np.arange(97, 7300, 97))
    expected = np.concatenate([theirs.offer(part) for part in cuts])
    assert np.array_equal(np.concatenate(taken), expected)
    before, after = ours.state_dict(), theirs.state_dict()
    here, there = ours._decider.evidence, theirs._decider.evidence
    assert np.array_equal(here.came, there.came)
    assert np.array_equal(here.weights, there.weights)
    assert here.sums == pytest.approx(there.sums, rel=1e-5)  # of scores that differ in their last bits
    assert before["window"]["kept"] == after["window"]["kept"] == 8000
    assert before["window"]["changes"] == after["window"]["changes"]
    assert before["window"]["changes"][0] > 4000  # the change was seen
