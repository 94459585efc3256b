"""What is said while a run is on: of the teacher's answers, of the student, of the journal.

A message names what failed, what was expected, what came, what is kept, and what to do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .inputs import TeacherError


def answer_rows(got: int, expected: int, kept: str) -> TeacherError:
    return TeacherError(
        f"teacher: expected a row of logits for each of the {expected} points of a batch, got {got}, so it is unclear "
        f"which row belongs to which point. {kept}"
    )


def answer_classes(shape: tuple[int, ...], expected: int, kept: str) -> TeacherError:
    return TeacherError(
        f"teacher: expected logits of {expected} classes, as the student and the labelled set have, got shape {shape}; "
        f"map the teacher's classes to the student's in the callable, or give a student that has them (n_classes= of a "
        f"SklearnStudent). {kept}"
    )


def answer_labels(expected: int, kept: str) -> TeacherError:
    return TeacherError(
        f"teacher: expected logits of {expected} classes, got one whole number a row; if these are labels, return "
        f"rad_fast.TeacherLabels(labels, n_classes={expected}). {kept}"
    )


def answer_probabilities(rows: int, kept: str) -> TeacherError:
    return TeacherError(
        f"teacher: expected logits, got probabilities: all {rows} rows of a batch are in [0, 1] and sum to 1; return "
        f"rad_fast.Probabilities(p), or their logarithm log(p). {kept}"
    )


def answer_percentages(rows: int, kept: str) -> TeacherError:
    return TeacherError(
        f"teacher: expected logits, got percentages: all {rows} rows of a batch are in [0, 100] and sum to 100; return "
        f"rad_fast.Probabilities(p / p.sum(axis=1, keepdims=True)). {kept}"
    )


def answer_invalid(count: int, expected: int, first: int, where: str, kept: str) -> TeacherError:
    return TeacherError(
        f"teacher: {count} of {expected} rows have NaN, +inf or nothing finite, the first for point {first} of the "
        f'{where}; the others are kept. Fix the teacher, or leave such points out with invalid="skip". {kept}'
    )


def no_holdout(points: int) -> ValueError:
    return ValueError(
        f"holdout: expected an answer of the teacher for some of the {points} points, there is none: nothing is known "
        "of how often it is right; hold out points that it can answer"
    )


def answer_type(error: TypeError, kept: str) -> TeacherError:
    return TeacherError(f"teacher: {error}; return logits (rows, C), TeacherLabels or Probabilities. {kept}")


def teacher_mistaken(rows: int, error: Exception, kept: str) -> TeacherError:
    return TeacherError(
        f"teacher: a mistake in the callable, found on a batch of {rows} points and not repeated: "
        f"{type(error).__name__}: {error}. {kept}"
    )


def teacher_repeated(error: Exception, wait: float, times: int, retries: int) -> str:
    return f"teacher: {type(error).__name__}: {error}; trying again in {wait:g} s ({times} of {retries})"


def teacher_failed(times: int, rows: int, error: BaseException, kept: str) -> TeacherError:
    return TeacherError(
        f"teacher: failed {times} times in a row on a batch of {rows} points, the last time with "
        f"{type(error).__name__}: {error}. {kept}"
    )


COUNTS = {"pool": "points in the pool", "holdout": "points in the hold-out", "classes": "classes"}


def other_run(path: Any, name: str, before: Any, now: Any, content: bool) -> ValueError:
    verbs = ("are", "they are") if name.endswith("s") else ("is", "it is")
    what, then = f"its {name} {verbs[0]} {before!r}, here {verbs[1]} {now!r}", f"{name}={before!r} to resume it"
    if content:
        what = f"its {name} differ from those given here, or are in another order"
        then = "those of the run to resume it"
    if content and now is None:
        what, then = f"it has {name}, and here there are none", f"the same {name}= to resume it"
    if name in COUNTS:
        what, then = f"it has {before} {COUNTS[name]}, here there are {now}", "those of the run to resume it"
    return ValueError(f"journal: {path} belongs to another run: {what}; give {then}, or another path for another run")


def old_journal(path: Any, points: bool, settings: list[str], run: dict[str, Any]) -> str:
    unsaid = ["its points"] * points + [f"{name}= (here {run[name]!r})" for name in settings]
    default = '; labels="soft" was the default in versions before' if "labels" in settings else ""
    return (
        f"journal: {path} was written by a version that did not record {', '.join(unsaid)}; make sure that they are "
        f"the same{default}"
    )


def other_course(path: Any, changed: dict[str, tuple[Any, Any]]) -> str:
    """Of what was another when the run began, and may be changed: the rounds that are done are left as they are."""
    words = [
        f"{name} was not given then" if name.endswith("_logits") else f"{name} was {before}, here it is {now}"
        for name, (before, now) in changed.items()
    ]
    return (
        f"journal: {path} was begun otherwise: {'; '.join(words)}. Rounds that are done keep their points and their "
        "student, those from here on go by what is given here; give what it was for the run that was begun, or another "
        "path for another run"
    )


def fewer_rounds(path: Any, rounds: int, done: int) -> str:
    return (
        f"rounds: {rounds} asked for, but {path} has {done} already, and the student is that of the last one; give "
        f"rounds={done}, or another path"
    )


def no_journal(path: Any) -> ValueError:
    return ValueError(f"journal: {path} exists and is not a journal; it is left unchanged, give another path")


def no_file(name: str, path: Any) -> ValueError:
    return ValueError(f"{name}: expected the path of a file, which {path} is not")


def damaged_journal(path: Any, line: int) -> ValueError:
    return ValueError(
        f"journal: {path} is damaged after line {line - 1}: the check sum of line {line} is wrong. Nothing was "
        "changed, because it may hold answers that were paid for. Restore a copy, or remove the line yourself"
    )


def journal_in_use(path: Any) -> ValueError:
    return ValueError(f"journal: {path} is in use by another run; wait for it, or give another path")


def run_in_progress() -> RuntimeError:
    return RuntimeError("run: this distiller is already running in another thread; wait for it")


def journal_changed(path: Any) -> ValueError:
    return ValueError(
        f"journal: {path} has changed since it was read, probably by another run; create the ActiveDistiller "
        "again, and it continues from there"
    )


def not_written(error: OSError) -> str:
    return f"journal: the record could not be written ({error.strerror}); everything before it is kept"


def forgotten(names: list[str]) -> str:
    return (
        f"strategy: what it noted in memory as {', '.join(map(repr, names))} is not kept in the journal: the rounds to "
        "come begin without it; arrays of whole numbers are kept"
    )


def student_not_used(path: Any, why: str) -> str:
    return f"journal: {path} is not used ({why}); the student is trained again on what the journal holds"


def diverged(what: str, bad: npt.NDArray[np.bool_]) -> RuntimeError:
    return RuntimeError(
        f"student: its {what} have NaN, +inf or nothing finite for {int(bad.sum())} of {len(bad)} inputs, the first at "
        f"{int(bad.argmax())}: training diverged, or these inputs are not numbers. Train with a smaller lr, or fix "
        "the inputs; the teacher's answers are kept"
    )


def no_answers(number: int, points: int) -> str:
    return (
        f"round {number}: the teacher answered for none of its {points} points, and nothing is learned from them; see "
        "what it says of a batch"
    )


def no_better_than_chance(right: int, points: int, classes: int, order: list[int] | None, then: int) -> str:
    """Of a teacher that is right less often than one that guesses; with the order of its classes that suits better."""
    hint = "look at what it says of some points"
    if order is not None:
        hint = (
            f"with its columns in the order {order} it would be right on {then}: map its classes to those of the labels"
        )
    return (
        f"teacher: right on {right} of {points} points of the hold-out, no more than a guess among {classes} classes: "
        f"nothing good can be learned from it; {hint}"
    )


def student_classes(shape: tuple[int, ...]) -> ValueError:
    hint = "for two classes the student needs two outputs" if shape[1:] in ((), (1,)) else "flatten or choose in call="
    return ValueError(f"student: expected logits (rows, C) of 2 classes or more, got shape {shape}; {hint}")


def student_parts(count: int) -> TypeError:
    return TypeError(
        f"student: expected logits, got {count} things at once; say which they are: call=lambda student, batch: "
        "student(batch)[0], say"
    )


def check_student(student: Any, asked: bool, name: str = "student") -> None:
    """``asked``: it is called itself, and not by a callable that knows how."""
    if not asked:
        return
    if is_estimator(student):
        raise no_student(student)
    if isinstance(student, type) or not callable(student):
        got = (
            f"the class {student.__name__}; give {student.__name__}(...)"
            if isinstance(student, type)
            else repr(student)
        )
        raise TypeError(f"{name}: expected a torch module or another callable of a batch, got {got}")


def estimator_failed(name: str, what: str, error: Exception) -> ValueError:
    return ValueError(f"student: {name} cannot {what}: {type(error).__name__}: {error}")


def nothing_counts() -> ValueError:
    return ValueError("dataset: expected weights of which some are above 0, got 0 for every point: nothing is learned")


def nothing_to_learn() -> ValueError:
    return ValueError("dataset: expected at least one point to learn, got none")


def not_taken(name: str, error: Exception) -> ValueError:
    return ValueError(
        f"{name}: the student cannot be asked for its first input: {type(error).__name__}: {error}; give collate= or "
        "call= if the inputs need it"
    )


def is_estimator(value: Any) -> bool:
    """Whether a value is a classifier of scikit-learn, or of a library that does as it does, rather than a callable."""
    return not callable(value) and hasattr(value, "fit") and hasattr(value, "predict")


def no_student(value: Any) -> TypeError:
    name = type(value).__name__
    return TypeError(
        f"student: expected a torch module or another callable of a batch, got {name}; wrap a classifier: "
        f"SklearnStudent({name}(...))"
    )


def check_teacher(value: Any) -> None:
    if value is None or callable(value):
        return
    hint = ""
    if is_estimator(value):
        hint = "; of a classifier give lambda batch: rad_fast.Probabilities(model.predict_proba(batch))"
    raise TypeError(f"teacher: expected a callable on a batch, got {type(value).__name__}{hint}")
