"""Asking the teacher, call by call: which points, how often, what is kept and what is said."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from rad_fast import Probabilities, TeacherLabels  # noqa: E402
from rad_fast.distill import TeacherError  # noqa: E402
from rad_fast.distill.journal import Journal, unpacked  # noqa: E402
from rad_fast.distill.querying import Answers, Asker  # noqa: E402

POINTS = torch.arange(20.0)[:, None]  # a point's input is its number


def said(batch: torch.Tensor) -> torch.Tensor:
    """Logits that tell the point: (i, -i, 0.5)."""
    return torch.cat([batch, -batch, torch.full_like(batch, 0.5)], 1)


def asker(teacher: Any, **others: Any) -> Asker:
    given = {"batch": 4, "retries": 3, "backoff": 1.0, "invalid": "raise", "sleep": lambda seconds: None}
    return Asker(teacher, **{**given, **others})


@pytest.fixture
def answers() -> Answers:
    return Answers("pool", len(POINTS), 3, Journal(None))


def test_points_are_asked_for_in_their_order_in_batches_and_none_twice(answers):
    batches, steps = [], []

    def teacher(batch):
        assert not torch.is_grad_enabled()
        batches.append(batch[:, 0].tolist())
        return said(batch)

    ask = asker(teacher)
    ask.ask(POINTS, np.array([9, 3]), answers)
    ask.ask(POINTS, np.array([0, 3, 5, 7, 9, 11, 13, 15, 17]), answers, progress=steps.append)
    assert batches == [[9, 3], [0, 5, 7, 11], [13, 15, 17]]
    assert steps == [2, 4, 3]  # two were known
    assert ask.asked == 2 + 7
    known = np.flatnonzero(answers.known)
    assert known.tolist() == [0, 3, 5, 7, 9, 11, 13, 15, 17]
    np.testing.assert_array_equal(answers.logits[known], said(POINTS)[known].numpy())
    assert np.isnan(answers.logits[~answers.known]).all()
    assert not answers.skipped.any()
    assert [record["points"] for record in answers.journal.of("answers")] == batches


def test_what_the_journal_holds_is_known_again_each_in_its_place(answers):
    """Also of the two data sets: the pool's point 3 is not the hold-out's."""
    held = Answers("holdout", 6, 3, answers.journal)
    answers.keep(np.array([3, 1]), np.array([[1, 2, 3], [4, 5, 6]], np.float32))
    answers.skip(np.array([2]))
    held.keep(np.array([5]), np.array([[7, 8, 9]], np.float32))
    held.skip(np.array([0, 4]))
    pool, holdout = Answers("pool", 20, 3, answers.journal), Answers("holdout", 6, 3, answers.journal)
    assert np.flatnonzero(pool.known).tolist() == [1, 3]
    assert pool.logits[[3, 1]].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert np.flatnonzero(pool.skipped).tolist() == [2]
    assert np.flatnonzero(holdout.known).tolist() == [5]
    assert holdout.logits[5].tolist() == [7, 8, 9]
    assert np.flatnonzero(holdout.skipped).tolist() == [0, 4]
    assert np.isnan(pool.logits[2]).all()
    for now, then in ((pool, answers), (holdout, held)):
        np.testing.assert_array_equal(now.known, then.known)
        np.testing.assert_array_equal(now.skipped, then.skipped)


def test_a_call_that_fails_is_repeated_after_twice_the_time_up_to_the_longest(answers, caplog):
    waits, calls = [], []

    def teacher(batch):
        calls.append(len(batch))
        if len(calls) < 6:
            raise TimeoutError("no answer")
        return said(batch)

    with caplog.at_level(logging.WARNING, "rad_fast"):
        asker(teacher, retries=5, backoff=2.0, longest=9.0, sleep=waits.append).ask(POINTS, np.arange(3), answers)
    assert waits == [2.0, 4.0, 8.0, 9.0, 9.0]
    assert calls == [3] * 6
    assert [record.message for record in caplog.records] == [
        f"teacher: TimeoutError: no answer; trying again in {wait:g} s ({times} of 5)"
        for times, wait in enumerate(waits, 1)
    ]
    assert answers.known[:3].all()


def test_the_next_batch_begins_with_the_first_wait_again(answers):
    waits, calls = [], []

    def teacher(batch):
        calls.append(len(batch))
        if len(calls) in (1, 2, 4):
            raise TimeoutError
        return said(batch)

    asker(teacher, sleep=waits.append).ask(POINTS, np.arange(8), answers)
    assert waits == [1.0, 2.0, 1.0]


def test_a_minute_is_the_longest_wait_unless_another_is_given(answers):
    waits = []

    def teacher(batch):
        raise TimeoutError("no answer")

    with pytest.raises(TeacherError, match="failed 4 times in a row on a batch of 2 points") as caught:
        asker(teacher, backoff=25.0, sleep=waits.append).ask(POINTS, np.array([4, 5]), answers)
    assert waits == [25.0, 50.0, 60.0]  # none after the last
    assert "0 of 2 answers are kept in memory (give journal= to keep them on disk)" in str(caught.value)
    assert isinstance(caught.value.__cause__, TimeoutError)
    assert not answers.known.any()


@pytest.mark.parametrize(
    "error", [AttributeError, ImportError, KeyError, NameError, NotImplementedError, SyntaxError, TypeError]
)
def test_a_mistake_in_the_callable_ends_at_once_and_what_may_pass_does_not(answers, error):
    calls = []

    def teacher(batch):
        calls.append(len(batch))
        raise error("wrong")

    passes = error is KeyError  # as an answer of a service that lacks a field may raise
    with pytest.raises(TeacherError, match="failed 4 times" if passes else "a mistake in the callable, found on a"):
        asker(teacher).ask(POINTS, np.arange(4), answers)
    assert len(calls) == (4 if passes else 1)


def test_without_retries_the_first_failure_is_the_last(answers):
    def teacher(batch):
        raise OSError("down")

    with pytest.raises(TeacherError, match="failed 1 times in a row on a batch of 1 points"):
        asker(teacher, retries=0).ask(POINTS, np.array([7]), answers)


def test_nobody_to_ask_is_said_only_where_something_is_to_be_asked(answers):
    answers.keep(np.array([2]), np.zeros((1, 3), np.float32))
    asker(None).ask(POINTS, np.array([2]), answers)
    with pytest.raises(TypeError, match="teacher: expected a callable on a batch, got None"):
        asker(None).ask(POINTS, np.array([2, 3]), answers)


def test_rows_that_hold_no_distribution_stop_the_run_and_the_others_are_kept(answers):
    def teacher(batch):
        logits = said(batch)
        logits[batch[:, 0] == 6.0] = torch.nan
        logits[batch[:, 0] == 7.0, 1] = torch.inf
        return logits

    expected = (
        r"teacher: 2 of 4 rows have NaN, \+inf or nothing finite, the first for point 6 of the pool; the others are "
        r'kept\. Fix .* invalid="skip"\. 6 of 9 answers are kept in memory'
    )
    with pytest.raises(TeacherError, match=expected):
        asker(teacher).ask(POINTS, np.arange(9), answers)
    assert np.flatnonzero(answers.known).tolist() == [0, 1, 2, 3, 4, 5]
    assert not answers.skipped.any()
    (rejected,) = answers.journal.of("rejected")
    assert (rejected["where"], rejected["points"]) == ("pool", [6, 7])
    assert np.isnan(unpacked(rejected["answer"])[0]).all()


def test_with_skip_the_run_goes_on_without_these_and_does_not_ask_for_them_again(answers):
    seen = []

    def teacher(batch):
        seen.extend(batch[:, 0].tolist())
        return torch.where(batch < 4.0, torch.nan, said(batch))  # a whole batch, too

    steps = []
    ask = asker(teacher, invalid="skip")
    ask.ask(POINTS, np.arange(6), answers, progress=steps.append)
    ask.ask(POINTS, np.arange(7), answers, progress=steps.append)
    assert seen == [0, 1, 2, 3, 4, 5, 6]
    assert steps == [0, 4, 2, 6, 1]
    assert np.flatnonzero(answers.skipped).tolist() == [0, 1, 2, 3]
    assert np.flatnonzero(answers.known).tolist() == [4, 5, 6]
    assert [record["points"] for record in answers.journal.of("skipped")] == [[0, 1, 2, 3]]
    assert not answers.journal.of("rejected")


def test_a_teacher_of_labels_may_have_no_answer(answers):
    """That is nothing amiss, whatever ``invalid`` says."""

    def teacher(batch):
        labels = np.where(batch[:, 0].numpy() % 3 == 0, -1, 1)
        return TeacherLabels(labels, np.full(len(labels), 0.8), n_classes=3)

    asker(teacher).ask(POINTS, np.arange(5), answers)
    assert np.flatnonzero(answers.skipped).tolist() == [0, 3]
    assert np.flatnonzero(answers.known).tolist() == [1, 2, 4]
    np.testing.assert_allclose(np.exp(answers.logits[1]), [0.1, 0.8, 0.1], rtol=1e-6)


def softmax(batch: torch.Tensor) -> torch.Tensor:
    return torch.softmax(said(batch / 10.0), 1)


@pytest.mark.parametrize("batch", [2, 4, 8, 20])
def test_probabilities_are_refused_as_logits_and_taken_as_what_they_are(answers, batch):
    message = rf"got probabilities: all {batch} rows of a batch.*log\(p\)\. 0 of 20 answers"
    with pytest.raises(TeacherError, match=message):
        asker(softmax, batch=batch).ask(POINTS, np.arange(20), answers)
    assert answers.journal.of("rejected")[0]["points"] == list(range(batch))
    assert not answers.known.any()
    asker(lambda inputs: Probabilities(softmax(inputs).numpy())).ask(POINTS, np.arange(20), answers)
    np.testing.assert_allclose(answers.logits, torch.log(softmax(POINTS)).numpy(), atol=1e-5)


@pytest.mark.parametrize("batch", [2, 4, 20])
def test_percentages_are_refused_as_logits(answers, batch):
    message = rf"got percentages: all {batch} rows of a batch are in \[0, 100\].*keepdims=True\)\)\. 0 of 20 answers"
    with pytest.raises(TeacherError, match=message):
        asker(lambda inputs: 100 * softmax(inputs), batch=batch).ask(POINTS, np.arange(20), answers)
    assert answers.journal.of("rejected")[0]["points"] == list(range(batch))
    assert not answers.known.any()


def test_probabilities_one_by_one_are_told_by_the_second_and_the_first_is_asked_for_again(answers):
    """As a teacher answers that is asked for one text at a time: one row alone may be logits."""
    asked = []

    def teacher(batch):
        asked.append(int(batch[0, 0]))
        return softmax(batch)

    with pytest.raises(TeacherError, match=r"got probabilities: all 1 rows of a batch.*\. 0 of 5 answers are kept"):
        asker(teacher, batch=1).ask(POINTS, np.arange(5), answers)
    assert asked == [0, 1]
    for again in (answers, Answers("pool", 20, 3, answers.journal)):
        assert not again.known.any()
        assert np.isnan(again.logits).all()
    asker(lambda batch: torch.log(softmax(batch)), batch=1).ask(POINTS, np.arange(5), answers)
    again = Answers("pool", 20, 3, answers.journal)
    assert np.flatnonzero(again.known).tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(again.logits[:5], torch.log(softmax(POINTS[:5])).numpy(), rtol=1e-6)


def test_a_row_without_an_answer_hides_no_probabilities(answers):
    def teacher(batch):
        return torch.where(batch % 4 == 0, torch.nan, softmax(batch))

    with pytest.raises(TeacherError, match="got probabilities: all 3 rows of a batch"):
        asker(teacher, invalid="skip").ask(POINTS, np.arange(20), answers)
    assert not answers.known.any()


def test_a_row_that_looks_like_probabilities_by_chance_is_one_of_logits(answers):
    """And so are a few of 0 and 1 alone."""

    def teacher(batch):
        return torch.where(batch == 1.0, torch.tensor([0.25, 0.5, 0.25]), said(batch + 2))

    asker(teacher, batch=1).ask(POINTS, np.arange(3), answers)
    np.testing.assert_array_equal(answers.logits[:3, 1], [-2.0, 0.5, -4.0])
    few = Answers("pool", 20, 3, Journal(None))
    asker(lambda batch: torch.eye(3)[batch[:, 0].long() % 3], batch=1).ask(POINTS, np.arange(7), few)
    assert few.known[:7].all()
    with pytest.raises(TeacherError, match="got probabilities"):
        asker(lambda batch: torch.eye(3)[batch[:, 0].long() % 3], batch=1).ask(POINTS, np.arange(8), few)
    assert not few.known.any()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (np.zeros((3, 3), np.float32), "expected a row of logits for each of the 4 points of a batch, got 3"),
        (np.zeros((5, 3), np.float32), "expected a row of logits for each of the 4 points of a batch, got 5"),
        (np.zeros((4, 2), np.float32), r"expected logits of 3 classes, .* got shape \(4, 2\)"),
        (np.zeros((4, 4), np.float32), r"expected logits of 3 classes, .* got shape \(4, 4\)"),
        (np.zeros(3, np.float32), r"expected logits of 3 classes, .* got shape \(3,\)"),
        (np.zeros((4, 3, 1), np.float32), r"expected logits of 3 classes, .* got shape \(4, 3, 1\)"),
        ("positive", r"teacher: its answer: .*"),
    ],
)
def test_an_answer_that_cannot_be_used_is_kept_as_it_came(answers, answer, message):
    """It was paid for; nothing of it is taken."""
    with pytest.raises(TeacherError, match=message):
        asker(lambda batch: answer).ask(POINTS, np.arange(4), answers)
    assert not answers.known.any()
    (rejected,) = answers.journal.of("rejected")
    assert (rejected["where"], rejected["points"]) == ("pool", [0, 1, 2, 3])
    if isinstance(answer, str):
        assert rejected["answer"] == repr(answer)
    else:
        np.testing.assert_array_equal(unpacked(rejected["answer"]), answer)


def test_an_error_says_how_much_is_kept_and_where(tmp_path):
    journal = Journal(tmp_path / "run.journal")
    journal.release()
    answers = Answers("holdout", 20, 3, journal)
    calls = []

    def teacher(batch):
        calls.append(0)
        if len(calls) == 2:
            raise OSError("down")
        return said(batch)

    with journal.held():
        journal.append("run")
        with pytest.raises(TeacherError, match=r"4 of 10 answers are kept in .*run\.journal; run\(\) again asks only"):
            asker(teacher, retries=0).ask(POINTS, np.arange(10), answers)
        asker(teacher, batch=10).ask(POINTS, np.arange(10), answers)
    assert len(calls) == 3
    again = Journal(tmp_path / "run.journal")
    np.testing.assert_array_equal(Answers("holdout", 20, 3, again).logits, answers.logits)
    again.release()
