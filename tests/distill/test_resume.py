"""Nothing is asked twice: retries, a teacher that fails for good, and a process that is killed in the middle."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from rad_fast.distill import ActiveDistiller, Choice, TeacherError  # noqa: E402

from .distill_problem import Teacher, arguments, plane, truth, weights_of  # noqa: E402

TOTAL = 40 + 2 * 15  # hold-out and two rounds


class Killed(BaseException):
    """As if the process ended here: nothing catches it."""


class Dying(Teacher):
    """Answers so many calls, then the process dies."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def __call__(self, batch):
        if self.calls == self.after:
            raise Killed
        return super().__call__(batch)


def whole():
    made = ActiveDistiller(**arguments())
    return made, weights_of(made.run())


def test_retries_wait_longer_each_time():
    waits = []
    teacher = Teacher(fails={0, 1, 2, 7})
    made = ActiveDistiller(**arguments(teacher=teacher, sleep=waits.append, backoff=0.5))
    made.run()
    assert waits == [0.5, 1.0, 2.0, 0.5]
    assert made.queries == teacher.points == TOTAL


def test_a_teacher_that_fails_for_good_leaves_a_usable_state():
    teacher = Teacher(fails=range(6, 1000))
    made = ActiveDistiller(**arguments(teacher=teacher, retries=2))
    with pytest.raises(
        TeacherError, match=r"failed 3 times in a row on a batch of 7 points.*ConnectionError"
    ) as caught:
        made.run()
    assert "8 of 15 answers are kept in memory" in str(caught.value)
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert len(made.history) == 1  # the student of round 0 is there
    assert len(made.dataset()) == 20 + 8  # and what was paid for can be trained on
    teacher.fails = ()
    made.run()
    assert teacher.points == made.queries == TOTAL


class Doubtful(Teacher):
    """Has no answer to points on one side of the plane."""

    def __call__(self, batch):
        return torch.where(batch[:, :1] > 0.3, torch.nan, super().__call__(batch))


@pytest.mark.parametrize("again", ["in the same process", "from the journal"])
def test_points_without_an_answer_are_not_asked_for_again(tmp_path, again):
    """What was skipped was paid for, too."""
    teacher = Doubtful()
    stopped = []

    def train(student, data):
        if len(data) > 20 and not stopped:  # round 1, when all of its answers are there
            stopped.append(len(data))
            raise Killed
        return student

    given = {"teacher": teacher, "invalid": "skip", "train": train, "rounds": 1, "budget": 60}
    made = ActiveDistiller(**arguments(**given, journal=tmp_path / "journal"))
    with pytest.raises(Killed):
        made.run()
    asked = teacher.points
    assert stopped[0] < 20 + 60  # some have no answer
    if again == "from the journal":
        made = ActiveDistiller(**arguments(**given, journal=tmp_path / "journal"))
    made.run()
    assert teacher.points == asked == made.queries


def test_points_without_an_answer_are_not_asked_for_again_where_others_of_the_round_are():
    teacher = Doubtful(fails=range(9, 1000))  # five calls for the hold-out, and four of eight of the round
    made = ActiveDistiller(**arguments(teacher=teacher, invalid="skip", rounds=1, budget=60, retries=0))
    with pytest.raises(TeacherError):
        made.run()
    teacher.fails = ()
    made.run()
    assert teacher.points == made.queries == 40 + 60


@pytest.mark.parametrize("after", range(9))
def test_killed_at_any_call_and_resumed(after, tmp_path):
    """Nine calls: five for the hold-out, two a round."""
    uninterrupted, weights = whole()
    path = tmp_path / "run" / "journal"
    first = Dying(after)
    with pytest.raises(Killed):
        ActiveDistiller(**arguments(teacher=first, journal=path)).run()
    second = Teacher()
    made = ActiveDistiller(**arguments(teacher=second, journal=path))
    student = made.run()
    assert first.points + second.points == TOTAL
    assert not set(first.seen) & set(second.seen)
    assert np.array_equal(made.selected, uninterrupted.selected)
    assert np.array_equal(weights_of(student), weights)
    third = Teacher()
    again = ActiveDistiller(**arguments(teacher=third, journal=path))
    assert np.array_equal(weights_of(again.run()), weights)  # a finished run has nothing to do
    assert third.points == 0
    assert again.history == made.history


def test_killed_while_training(tmp_path):
    _, weights = whole()
    fit = arguments()["train"]
    times = []

    def train(student, dataset):
        times.append(len(dataset))
        if len(times) == 3:
            raise Killed
        return fit(student, dataset)

    path, teacher = tmp_path / "journal", Teacher()
    with pytest.raises(Killed):
        ActiveDistiller(**arguments(train=train, journal=path, teacher=teacher)).run()
    with pytest.warns(UserWarning, match="begun otherwise: train was train, here it is Fit"):
        made = ActiveDistiller(**arguments(journal=path, teacher=teacher))
    assert np.array_equal(weights_of(made.run()), weights)
    assert teacher.points == TOTAL


SCRIPT = """
import json, os, signal, sys
from distill_problem import Teacher, arguments
from rad_fast.distill import ActiveDistiller

path, counts, after = sys.argv[1], sys.argv[2], int(sys.argv[3])

class Counting(Teacher):
    def __call__(self, batch):
        if self.calls == after:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = super().__call__(batch)
        with open(counts, "a") as file:
            file.write(json.dumps(self.seen[-len(batch):]) + chr(10))
        return answer

ActiveDistiller(**arguments(teacher=Counting(), journal=path)).run()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_killed_process_resumes_without_asking_twice(tmp_path):
    path, counts = tmp_path / "journal", tmp_path / "counts"
    here = str(Path(__file__).resolve().parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([here, *sys.path])}

    def start(after: int) -> int:
        command = [sys.executable, "-c", SCRIPT, str(path), str(counts), str(after)]
        return subprocess.run(command, env=environment, check=False, timeout=100).returncode

    assert start(7) == -signal.SIGKILL
    assert start(-1) == 0
    asked = [tuple(point) for line in counts.read_text().splitlines() for point in json.loads(line)]
    assert len(asked) == len(set(asked)) == TOTAL


def test_a_torn_line_costs_that_line_alone(tmp_path):
    path = tmp_path / "journal"
    ActiveDistiller(**arguments(journal=path)).run()
    lines = path.read_bytes().splitlines(keepends=True)
    last = max(at for at, line in enumerate(lines) if b'"answers"' in line)
    path.write_bytes(b"".join(lines[:last]) + lines[last][:50])  # killed while the last answers were written
    (tmp_path / "journal.student").unlink()
    teacher = Teacher()
    made = ActiveDistiller(**arguments(journal=path, teacher=teacher))
    made.run()
    assert teacher.points == 7
    assert made.queries == TOTAL


def test_a_damaged_journal_is_refused_rather_than_cut(tmp_path):
    path = tmp_path / "journal"
    ActiveDistiller(**arguments(journal=path)).run()
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ValueError, match="is damaged after line"):
        ActiveDistiller(**arguments(journal=path))
    assert path.read_bytes() == raw


def test_a_journal_of_another_run_is_refused(tmp_path):
    path = tmp_path / "journal"
    ActiveDistiller(**arguments(journal=path)).run()
    with pytest.raises(ValueError, match="belongs to another run: its budget is 15, here it is 16"):
        ActiveDistiller(**arguments(journal=path, budget=16))


def test_more_rounds_can_be_added(tmp_path):
    path = tmp_path / "journal"
    ActiveDistiller(**arguments(journal=path)).run()
    teacher = Teacher()
    made = ActiveDistiller(**arguments(journal=path, rounds=3, teacher=teacher))
    made.run()
    assert teacher.points == 15
    assert [report.number for report in made.history] == [0, 1, 2, 3]


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("restart", [True, False])
@pytest.mark.parametrize("strategy", ["rad", "cluster-margin", "coreset"])
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, strategy, restart, lost):
    """Also where the student's file is lost, and where a strategy notes something in its first round."""
    pool = plane()[0][60:]
    given = {"strategy": strategy, "restart": restart, "pool_logits": truth(pool + 0.15), "budget": 10}
    whole = ActiveDistiller(**arguments(**given, rounds=3))
    whole.run()
    path = tmp_path / "journal"
    ActiveDistiller(**arguments(**given, rounds=2, journal=path)).run()
    if lost:
        (tmp_path / "journal.student").unlink()
    made = ActiveDistiller(**arguments(**given, rounds=3, journal=path))
    made.run()
    assert np.array_equal(made.selected, whole.selected)
    assert np.array_equal(weights_of(made.student), weights_of(whole.student))


def test_what_a_strategy_notes_is_kept_or_said_not_to_be(tmp_path):
    seen = []

    def noting(r):
        seen.append({name: np.copy(value) if name != "words" else value for name, value in r.memory.items()})
        r.memory["times"] = r.memory.get("times", np.zeros(2, np.int64)) + r.number + 1
        if r.number == 2:
            r.memory["words"] = ["a list"]
        return Choice(r.left[: r.budget])

    path = tmp_path / "journal"
    ActiveDistiller(**arguments(strategy=noting, rounds=2, journal=path)).run()
    ActiveDistiller(**arguments(strategy=noting, rounds=3, journal=path)).run()
    assert [note.get("times", np.zeros(1)).tolist() for note in seen] == [[0.0], [1, 1], [3, 3]]
    with pytest.warns(UserWarning, match="strategy: what it noted in memory as 'words' is not kept in the journal"):
        made = ActiveDistiller(**arguments(strategy=noting, rounds=4, journal=path))
    made.run()
    assert seen[-1]["times"].tolist() == [6, 6]
    assert "words" not in seen[-1]


def test_the_student_s_file_is_whole_or_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "journal"
    ActiveDistiller(**arguments(journal=path)).run()
    before = (tmp_path / "journal.student").read_bytes()

    def torn(state: object, file: object) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", torn)
    with pytest.raises(OSError, match="No space"):
        ActiveDistiller(**arguments(journal=path, rounds=3)).run()
    assert (tmp_path / "journal.student").read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["journal", "journal.student"]
