"""What wrong input gets: an error that names the argument, what was expected and what came."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

import rad_fast
from rad_fast import inputs
from rad_fast.device import backends

N, C = 50, 4
LOGITS = np.random.default_rng(0).normal(0, 5, size=(N, C)).astype(np.float32)
LABELS = LOGITS.argmax(axis=1)


class Predicted(NamedTuple):
    """What Trainer.predict of transformers returns."""

    predictions: Any
    label_ids: Any


def poisoned(row: int, column: int, value: float) -> np.ndarray:
    logits = LOGITS.copy()
    logits[row, column] = value
    return logits


def fitted(student: bool) -> rad_fast.Calibrator:
    truth = np.where(np.arange(N) % 5 == 0, (LABELS + 1) % C, LABELS)
    return rad_fast.Calibrator().fit(LOGITS, truth, LOGITS if student else None)


# (what is wrong, arguments of select beside a valid logits and budget, exception, what the text must hold)
WRONG = [
    ("one dimension", {"logits": LOGITS[0]}, ValueError, ["logits", "2 dimensions", "(4,)"]),
    ("three dimensions", {"logits": LOGITS[None]}, ValueError, ["logits", "2 dimensions", "(1, 50, 4)"]),
    ("no rows", {"logits": LOGITS[:0]}, ValueError, ["logits", "at least one row"]),
    ("no columns", {"logits": LOGITS[:, :0]}, ValueError, ["logits", "at least 2 columns", "(50, 0)"]),
    ("one column", {"logits": LOGITS[:, :1]}, ValueError, ["logits", "at least 2 columns", "[0, z]"]),
    ("integers", {"logits": LOGITS.astype(np.int64)}, TypeError, ["logits", "float32", "int64"]),
    ("uint16 is not taken for bfloat16", {"logits": LOGITS.astype(np.uint16)}, TypeError, ["logits", "uint16"]),
    ("complex", {"logits": LOGITS.astype(np.complex64)}, TypeError, ["logits", "complex64"]),
    ("booleans", {"logits": LOGITS > 0}, TypeError, ["logits", "bool"]),
    ("objects", {"logits": LOGITS.astype(object)}, TypeError, ["logits", "object"]),
    ("text", {"logits": "logits.npy"}, TypeError, ["logits", "array", "str"]),
    ("nothing", {"logits": None}, TypeError, ["logits", "NoneType"]),
    ("ragged", {"logits": [[1.0, 2.0], [3.0]]}, TypeError, ["logits", "array", "list"]),
    ("masked", {"logits": np.ma.array(LOGITS)}, TypeError, ["logits", "masked", "exclude="]),
    ("NaN", {"logits": poisoned(3, 1, np.nan)}, ValueError, ["logits", "1 row has", "NaN", "row 3", "exclude"]),
    ("+inf", {"logits": poisoned(49, 0, np.inf)}, ValueError, ["logits", "+inf", "row 49"]),
    ("nothing finite", {"logits": np.full((3, 2), -np.inf)}, ValueError, ["logits", "3 rows have", "row 0"]),
    ("budget 0", {"budget": 0}, ValueError, ["budget", "got 0"]),
    ("budget negative", {"budget": -3}, ValueError, ["budget", "got -3"]),
    ("budget above N", {"budget": 51}, ValueError, ["budget", "at most 50", "got 51"]),
    ("budget above what is left", {"budget": 45, "exclude": np.arange(10)}, ValueError, ["at most 40", "10 left out"]),
    ("budget 0.0", {"budget": 0.0}, ValueError, ["budget", "(0, 1]", "0.0"]),
    ("budget 1.5", {"budget": 1.5}, ValueError, ["budget", "(0, 1]", "1.5"]),
    ("budget 20.0 means 20", {"budget": 20.0}, ValueError, ["budget", "a number of points is an int: 20"]),
    ("budget NaN", {"budget": np.nan}, ValueError, ["budget", "nan"]),
    ("budget a truth value", {"budget": True}, TypeError, ["budget", "True"]),
    ("budget text", {"budget": "5"}, TypeError, ["budget", "'5'"]),
    ("budget an array", {"budget": np.array([5])}, TypeError, ["budget", "array"]),
    ("accuracy above 1", {"correctness": 1.5}, ValueError, ["correctness", "accuracy", "1.5"]),
    ("accuracy negative", {"correctness": -0.1}, ValueError, ["correctness", "accuracy", "-0.1"]),
    ("correctness too short", {"correctness": np.ones(49)}, ValueError, ["correctness", "(50,)", "(49,)"]),
    ("correctness of two columns", {"correctness": np.ones((50, 1))}, ValueError, ["correctness", "(50, 1)"]),
    ("correctness above 1", {"correctness": np.full(50, 1.01)}, ValueError, ["correctness", "50 are not", "index 0"]),
    ("correctness NaN", {"correctness": poisoned(7, 0, np.nan)[:, 0] * 0}, ValueError, ["correctness", "index 7"]),
    ("correctness text", {"correctness": np.array(["a"] * 50)}, TypeError, ["correctness", "dtype"]),
    ("calibrator not fitted", {"correctness": rad_fast.Calibrator()}, ValueError, ["correctness", "fitted", ".fit("]),
    ("calibrator needs the student", {"correctness": fitted(True)}, ValueError, ["student_logits", "calibrator"]),
    (
        "calibrator needs as many classes",
        {"correctness": fitted(True), "student_logits": LOGITS[:, :3]},
        ValueError,
        ["student_logits", "4 classes", "got 3"],
    ),
    ("student of other length", {"student_logits": LOGITS[:20]}, ValueError, ["student_logits", "50", "20"]),
    ("student with NaN", {"student_logits": poisoned(9, 2, np.nan)}, ValueError, ["student_logits", "row 9"]),
    ("student of integers", {"student_logits": LOGITS.astype(int)}, TypeError, ["student_logits", "int64"]),
    ("mistakes negative", {"mistakes": -1}, ValueError, ["mistakes", "-1"]),
    ("mistakes infinite", {"mistakes": np.inf}, ValueError, ["mistakes", "inf"]),
    ("mistakes text", {"mistakes": "five%"}, TypeError, ["mistakes", "'five%'", '"5%"']),
    ("mistakes a truth value", {"mistakes": True}, TypeError, ["mistakes", "True"]),
    ("mask too short", {"exclude": np.zeros(49, bool)}, ValueError, ["exclude", "50", "49"]),
    ("index beyond the end", {"exclude": [3, 50]}, ValueError, ["exclude", "0 to 49", "50 at index 1"]),
    ("negative index", {"exclude": [-1]}, ValueError, ["exclude", "-1 at index 0"]),
    ("exclude of floats", {"exclude": np.ones(3)}, TypeError, ["exclude", "float64"]),
    ("all excluded", {"exclude": np.arange(50)}, ValueError, ["no row is left"]),
    ("a number of points as text", {"budget": "5"}, TypeError, ["budget", "'5'; write it without quotes: 5"]),
    ("labels for logits", {"logits": LABELS}, TypeError, ["logits", "int64", "rad_fast.TeacherLabels(labels"]),
    (
        "names for logits",
        {"logits": ["a", "b"]},
        TypeError,
        ["logits", "got text", "TeacherLabels", "places in the list"],
    ),
    ("labels of a student", {"student_logits": LABELS}, TypeError, ["student_logits", "a row for each point"]),
    ("a model", {"logits": SimpleNamespace(predict_proba=None)}, TypeError, ["logits", "Probabilities(model.predict"]),
    ("what a model returns", {"logits": SimpleNamespace(logits=LOGITS)}, TypeError, ["logits", "give its .logits"]),
    ("a Trainer's prediction", {"logits": Predicted(LOGITS, LABELS)}, TypeError, ["logits", "give its .predictions"]),
    ("a path", {"logits": "logits.npy"}, TypeError, ["logits", "str", "open_shards"]),
    ("seed negative", {"seed": -1}, ValueError, ["seed", "-1"]),
    ("seed a float", {"seed": 1.0}, TypeError, ["seed", "1.0"]),
    ("invalid unknown", {"invalid": "drop"}, ValueError, ["invalid", "'raise'", "'exclude'", "'drop'"]),
    ("backend unknown", {"backend": "fast"}, ValueError, ["backend", "'auto'", "'fast'"]),
    ("backend of no name", {"backend": None}, ValueError, ["backend", "None"]),
]


@pytest.mark.parametrize(
    ("arguments", "exception", "fragments"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG]
)
def test_wrong_input_is_named_with_what_was_expected(arguments, exception, fragments):
    with pytest.raises(exception) as raised:
        rad_fast.select(**{"logits": LOGITS, "budget": 5, **arguments})
    missing = [fragment for fragment in fragments if fragment not in str(raised.value)]
    assert not missing, f"{missing} not in: {raised.value}"


def test_a_backend_that_is_not_installed_says_the_pip_command(monkeypatch):
    monkeypatch.setattr(backends, "LOADED", {})
    monkeypatch.setattr(backends.importlib, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    with pytest.raises(ValueError, match=re.escape('pip install "rad_fast[numba]"')):
        rad_fast.select(LOGITS, 5, backend="numba")
    with pytest.raises(ValueError, match="pip install"):
        rad_fast.select(LOGITS, 5, backend="cpp")


def test_threads_must_be_a_number(monkeypatch):
    monkeypatch.setenv("RAD_FAST_THREADS", "all")
    with pytest.raises(ValueError, match=r"RAD_FAST_THREADS.*'all'"):
        backends.threads()


# (arguments of Calibrator.fit, exception, what the text must hold)
WRONG_FIT = [
    ((LOGITS, LABELS[:-1]), ValueError, ["labels", "(50,)", "(49,)"]),
    ((LOGITS, LABELS.astype(float)), TypeError, ["labels", "integers", "float64; give labels.astype(int)"]),
    ((LOGITS, np.eye(4)[LABELS]), TypeError, ["labels", "shape (50, 4)", "labels.argmax(axis=1)"]),
    ((LOGITS, LABELS.astype(str)), TypeError, ["labels", "got text", "[names.index(label) for label in labels]"]),
    ((LOGITS, LABELS + 1), ValueError, ["labels", "0 to 3", "classes are counted from 0: give labels - 1"]),
    ((LOGITS, LABELS - 1), ValueError, ["labels", "0 to 3", "-1"]),
    ((LOGITS[:0], LABELS[:0]), ValueError, ["teacher_logits", "at least one row"]),
    ((poisoned(2, 2, np.nan), LABELS), ValueError, ["teacher_logits", "row 2"]),
    ((LOGITS, LABELS, LOGITS[:-1]), ValueError, ["student_logits", "50", "49"]),
    ((LOGITS, LABELS, poisoned(4, 0, np.inf)), ValueError, ["student_logits", "row 4"]),
]


@pytest.mark.parametrize(("arguments", "exception", "fragments"), WRONG_FIT)
def test_wrong_input_of_the_calibrator_is_named(arguments, exception, fragments):
    with pytest.raises(exception) as raised:
        rad_fast.Calibrator().fit(*arguments)
    missing = [fragment for fragment in fragments if fragment not in str(raised.value)]
    assert not missing, f"{missing} not in: {raised.value}"


def test_chunks_of_one_selection_must_be_alike():
    selector = rad_fast.Selector(5).partial_fit(LOGITS)
    for arguments, fragments in [
        ({"logits": LOGITS[:, :3]}, "logits: expected 4 classes"),
        ({"logits": LOGITS, "student_logits": LOGITS}, "student_logits: expected no classes"),
        ({"logits": LOGITS, "correctness": np.ones(N)}, "correctness: expected the teacher's confidence"),
    ]:
        with pytest.raises(ValueError, match=fragments):
            selector.partial_fit(**arguments)
    assert selector.finalize().n_points == N


def test_the_row_of_an_invalid_chunk_is_counted_from_the_first_chunk():
    selector = rad_fast.Selector(5).partial_fit(LOGITS)
    with pytest.raises(ValueError, match="the first is row 57"):
        selector.partial_fit(poisoned(7, 0, np.nan))


def test_excluded_rows_may_hold_anything():
    clean = rad_fast.select(LOGITS, 5, exclude=[3, 8])
    logits = poisoned(3, 1, np.nan)
    logits[8] = np.inf
    np.testing.assert_array_equal(rad_fast.select(logits, 5, exclude=[3, 8]), clean)
    with pytest.raises(ValueError, match=r"1 row has .* row 8"):
        rad_fast.select(logits, 5, exclude=[3])


@pytest.mark.parametrize(
    ("given", "points", "count"),
    [(0.5, 3, 2), (0.001, 10, 1), (1.0, 7, 7), (0.25, 10, 3), (7, 7, 7), ("50%", 3, 2)],  # halves round up; never none
)
def test_a_fraction_is_of_the_points_that_can_be_selected(given, points, count):
    assert inputs.budget(given, points + 4, 4) == count


@pytest.mark.parametrize(
    ("given", "meaning"),
    # A float below 1 is a fraction of 200, and so is text.
    [(0, 0.0), (1, 1.0), (1.0, 1.0), (2.5, 2.5), (0.1, 20.0), (0.0, 0.0), ("10%", 20.0), ("100%", 200.0)],
)
def test_mistakes_are_a_count_or_a_fraction(given, meaning):
    count, each = inputs.mistakes_rate(given)
    assert count + each * 200 == meaning


def test_correctness_is_looked_at_where_points_are_not_excluded_and_only_there():
    correctness = np.full(50, 0.9)
    correctness[[3, 8]] = np.nan, 7.0
    expected = rad_fast.select(LOGITS, 5, correctness=np.full(50, 0.9), exclude=[3, 8])
    np.testing.assert_array_equal(rad_fast.select(LOGITS, 5, correctness=correctness, exclude=[3, 8]), expected)
    with pytest.raises(
        ValueError, match=r"correctness: expected numbers in \[0, 1\], 1 is not, the first: 7.0 at index 8"
    ):
        rad_fast.select(LOGITS, 5, correctness=correctness, exclude=[3])


def test_a_value_of_exactly_0_is_unreliable():
    with pytest.warns(rad_fast.UnreliableTeacherWarning, match="the value of the game is 0: "):
        selection = rad_fast.Selector(5, mistakes=0, quotas=None).fit(LOGITS, correctness=np.full(50, 0.5))
    assert selection.value == 0
