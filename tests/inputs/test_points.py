"""What is given of every point, and what chunks have in common: each check for itself, with its words."""

from __future__ import annotations

import re
import sys
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rad_fast import TeacherLabels, inputs
from rad_fast.inputs import arguments, arrays, points, shown, softmax
from rad_fast.inputs.arrays import Matrix
from rad_fast.inputs.points import Source
from rad_fast.kernels.reference.score import Gain

N = 6


def bfloat16(values: Any) -> np.ndarray:
    """The bits of bfloat16, as host_array gives them."""
    return np.asarray(values).astype(pytest.importorskip("ml_dtypes").bfloat16)


def refused(error: type[Exception], call: Any, *given: Any, **others: Any) -> str:
    with pytest.raises(error) as raised:
        call(*given, **others)
    return str(raised.value)


# ------------------------------------------------------------------------------------------------ numbers of each point

SHARES = [
    (inputs.correctness_array, "correctness"),
    (inputs.agreement_array, "agreement"),
    (inputs.gain_array, "gain"),
]


@pytest.mark.parametrize(("check", "name"), SHARES)
def test_numbers_from_0_to_1_are_taken_in_every_precision(check, name) -> None:
    numbers = np.array([0.0, 0.25, 0.5, 0.75, 1.0, 0.125])
    for kind in ("float64", "float32", "float16"):
        found = check(numbers.astype(kind), N, None)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, numbers)
    np.testing.assert_array_equal(check(bfloat16(numbers), N, None), numbers)
    np.testing.assert_array_equal(check(numbers[::-1], N, None), numbers[::-1])


@pytest.mark.parametrize(("check", "name"), SHARES)
@pytest.mark.parametrize("wrong", [-0.25, 1.25, np.nan, np.inf])
def test_others_are_refused_with_the_first_unless_they_are_excluded(check, name, wrong) -> None:
    numbers = np.full(N, 0.5)
    numbers[[2, 4]] = wrong
    said = f"{name}: expected numbers in [0, 1], 2 are not, the first: {wrong} at index 2"
    assert refused(ValueError, check, numbers, N, None) == said
    one = np.arange(N) == 2
    assert refused(ValueError, check, numbers, N, one) == said.replace("2 are", "1 is").replace("index 2", "index 4")
    assert check(numbers, N, np.isin(np.arange(N), [2, 4]))[3] == 0.5
    bits = refused(ValueError, check, bfloat16(numbers), N, None)
    assert bits == f"{name}: expected numbers in [0, 1], 2 are not, the first at index 2"


@pytest.mark.parametrize(("check", "name"), SHARES)
def test_there_is_one_for_each_point(check, name) -> None:
    for shape in ((5,), (7,), (6, 1), ()):
        said = refused(ValueError, check, np.zeros(shape), N, None)
        assert said == f"{name}: expected one number per point, shape (6,), got shape {shape}"
    assert "got dtype complex128" in refused(TypeError, check, np.zeros(N, complex), N, None)
    for kind in ("bool", "int8", "uint32"):
        if name == "agreement":
            assert f"got dtype {kind}" in refused(TypeError, check, np.ones(N, kind), N, None)
        else:
            assert check(np.ones(N, kind), N, None).tolist() == [1.0] * N


def test_numbers_on_a_device_are_counted_there() -> None:
    inputs.refuse_numbers("gain", 0, 0)
    said = refused(ValueError, inputs.refuse_numbers, "gain", 1, 7)
    assert said == "gain: expected numbers in [0, 1], 1 is not, the first at index 7"


def test_gains_are_rounded_to_the_grid_that_sums_are_exact_on() -> None:
    unit = 2.0**-24
    given = np.array([0.4, 0.5, 0.6, 1.4, 1.5, 2.6]) * unit
    assert (inputs.gain_array(given, N, None) / unit).tolist() == [0, 1, 1, 1, 2, 3]
    assert inputs.gain_array("label", N, None) is None
    for alone in (None, 0.5, 1):
        assert f"got {alone!r}" in refused(TypeError, inputs.gain_array, alone, N, None)


# --------------------------------------------------------------------------------------------------- labels and classes


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ([0, 1, 2, 3], ValueError, "labels: expected labels from 0 to 2, 1 is not, the first: 3 at index 3"),
        ([1, 2, 3, 1], ValueError, "first: 3 at index 2; classes are counted from 0: give labels - 1"),
        ([1, 2, 4, 1], ValueError, "first: 4 at index 2"),
        ([-1, 0, 0, 3], ValueError, "2 are not, the first: -1 at index 0"),
        ([0, 1], ValueError, "labels: expected one label per row, shape (4,), got shape (2,)"),
        ([0.0, 1.0, 0.0, 1.0], TypeError, "index of each row's class, got dtype float64; give labels.astype(int)"),
        (["a", "b", "a", "b"], TypeError, "the list of classes: [names.index(label) for label in labels]"),
        (np.eye(4, dtype=int), ValueError, "shape (4,), got shape (4, 4)"),
        (np.eye(4), TypeError, "and shape (4, 4); of one-hot rows, give labels.argmax(axis=1)"),
        (
            [True, False, True, True],
            TypeError,
            "got dtype bool; not whether the teacher is right, but the true class of each point",
        ),
    ],
)
def test_labels_are_classes_by_their_index(given, error, words) -> None:
    said = refused(error, inputs.labels, "labels", np.asarray(given), 4, 3)
    assert said.endswith(words), said
    assert inputs.labels("labels", np.array([0, 2, 1, 2], np.uint8), 4, 3).dtype == np.int64
    assert "got dtype bfloat16" in refused(TypeError, inputs.labels, "labels", bfloat16([0, 1, 2, 0]), 4, 3)


TEACHER = Matrix("logits", np.zeros((N, 4)), "float64", inputs.same)


def test_which_gain_is_meant() -> None:
    alike, other = TEACHER._replace(name="s"), Matrix("s", np.zeros((N, 3)), "float64", inputs.same)
    for value, student, gain in (
        ("auto", None, Gain.MARGIN),
        ("auto", alike, Gain.LABEL),
        ("auto", other, Gain.MARGIN),
        ("margin", alike, Gain.MARGIN),
        ("label", alike, Gain.LABEL),
        (np.zeros(N), alike, Gain.MARGIN),
    ):
        assert inputs.gain_of(value, TEACHER, student) is gain
    assert "give student_logits" in refused(ValueError, inputs.gain_of, "label", TEACHER, None)
    said = refused(ValueError, inputs.gain_of, "label", TEACHER, other)
    assert 'one of 4 classes, in the student\'s probabilities, of 3 classes; use "margin"' in said
    assert "got 'best'" in refused(ValueError, inputs.gain_of, "best", TEACHER, alike)


def test_labels_alone_say_nothing_of_a_gain() -> None:
    said = np.array([0, 1, 2, -1, 1, 1])
    for labels, silent in ((said, True), (abs(said), False)):
        alone = TEACHER._replace(data=TeacherLabels(labels, n_classes=4))  # type: ignore[arg-type]
        assert "expected confidence= with TeacherLabels" in refused(ValueError, inputs.unanswered, alone, None, "auto")
        for student, gain in ((TEACHER, "auto"), (None, np.zeros(N))):
            found = inputs.unanswered(alone, student, gain)
            assert (None if found is None else found.tolist()) == (list(said < 0) if silent else None)
        sure = alone._replace(data=TeacherLabels(labels, np.full(N, 0.9), n_classes=4))  # type: ignore[arg-type]
        assert (inputs.unanswered(sure, None, "auto") is not None) is silent
    assert inputs.unanswered(TEACHER, None, "auto") is None


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("some", ValueError, "; got 'some'"),
        (3, TypeError, "; got 3"),
        ({0.5: 1.0}, TypeError, "quotas: expected a mapping of classes, ints, to weights, got 0.5: 1.0"),
        ({True: 1.0}, TypeError, "got True: 1.0"),
        ({1: "x"}, TypeError, "got 1: 'x'"),
        ([[1.0, 2.0]], TypeError, "got dtype float64 and shape (1, 2)"),
        ([True, False], TypeError, "got dtype bool and shape (2,)"),
        ([1.0, -1.0, np.nan], ValueError, "finite weights of at least 0, 2 are not, the first: -1.0"),
        ([1.0, np.inf], ValueError, "1 is not, the first: inf"),
        ({0: 0.0, 1: 0}, ValueError, "quotas: expected a weight above 0, all are 0; None means no quotas"),
        ([1e308, 1e308], ValueError, "quotas: expected weights whose sum is finite"),
    ],
)
def test_quotas_that_cannot_be_meant(given, error, words) -> None:
    assert refused(error, inputs.quotas, given).endswith(words)


def test_quotas_of_classes_that_are_there() -> None:
    assert inputs.quotas(None) is None
    for name in ("auto", "equal", "proportional"):
        assert inputs.quotas(name) == name
        inputs.quotas_of_classes(name, 3)
    assert inputs.quotas([2, 0, 1]).tolist() == [2.0, 0.0, 1.0]
    assert inputs.quotas({np.int64(2): 3}) == {2: 3.0}
    for weights in (np.ones(3), {0: 1.0, 2: 1.0}):
        inputs.quotas_of_classes(weights, 3)
    assert refused(ValueError, inputs.quotas_of_classes, np.ones(4), 3) == (
        "quotas: expected a weight for each of 3 classes, got 4"
    )
    for label in (-1, 3):
        said = refused(ValueError, inputs.quotas_of_classes, {label: 1.0}, 3)
        assert said == f"quotas: expected classes from 0 to 2, got {label}"


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({3: 1}, ValueError, "chosen: expected classes from 0 to 2, got 3"),
        ({-1: 1}, ValueError, "got -1"),
        ({1: -2}, ValueError, "chosen: expected counts of at least 0, got -2 for class 1"),
        ({1: 2.5}, TypeError, "got 1: 2.5"),
        ({1: True}, TypeError, "got 1: True"),
        ({"a": 1}, TypeError, "chosen: expected a mapping of classes to counts, ints, got 'a': 1"),
    ],
)
def test_counts_of_what_was_chosen_elsewhere(given, error, words) -> None:
    assert refused(error, inputs.chosen, given, N, 3).endswith(words)
    mask, counts = inputs.chosen({0: 2, 2: np.int64(5)}, N, 3)
    assert mask is None
    assert counts.tolist() == [2, 0, 5]
    mask, counts = inputs.chosen([4, 1], N, 3)
    assert counts is None
    assert np.flatnonzero(mask).tolist() == [1, 4]


# ---------------------------------------------------------------------------------------------------- alike and invalid

SOURCE = Source(4, None, "the teacher's confidence", None, None)


def test_a_source_is_told_in_full_so_that_ranks_can_compare() -> None:
    assert (
        SOURCE.described() == "4 classes, no student, correctness from the teacher's confidence, a gain of the margin"
    )
    other = Source(4, 3, "the average accuracy", None, 0.9, "of the label")
    words = "4 classes, 3 classes of the student, correctness from the average accuracy 0.9, a gain of the label"
    assert other.described() == words
    fitted = Source(4, None, "a Calibrator", SimpleNamespace(rule_="THE RULE"), None)
    assert "correctness from a Calibrator with THE RULE, a gain" in fitted.described()


def test_what_a_source_is_of() -> None:
    student = Matrix("s", np.zeros((N, 3)), "float64", inputs.same)
    calibrator = SimpleNamespace(predict=None)
    assert inputs.source(TEACHER, None, None) == SOURCE
    assert inputs.source(TEACHER, student, 0.9, "of the label") == Source(
        4, 3, "the average accuracy", None, 0.9, "of the label"
    )
    assert inputs.source(TEACHER, None, calibrator) == Source(4, None, "a Calibrator", calibrator, None)
    assert inputs.source(TEACHER, None, np.ones(N)) == Source(4, None, "an array", None, None)


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (SOURCE._replace(classes=5), "logits: expected 4 classes as in the calls before, got 5"),
        (SOURCE._replace(student_classes=3), "student_logits: expected no classes as in the calls before, got 3"),
        (SOURCE._replace(gain="of the label"), "expected one of the margin as before, the same in every call; got one"),
        (SOURCE._replace(kind="an array"), "expected the teacher's confidence as in the calls before, the same in ev"),
        (SOURCE._replace(accuracy=0.5), "correctness: expected the teacher's confidence"),
    ],
)
def test_chunks_of_one_selection_are_alike(now, words) -> None:
    inputs.same_source(None, now)
    inputs.same_source(now, now)
    assert words in refused(ValueError, inputs.same_source, SOURCE, now)
    had = refused(ValueError, inputs.same_source, SOURCE._replace(student_classes=3), SOURCE)
    assert had == "student_logits: expected 3 classes as in the calls before, got none"


def test_invalid_rows_are_counted() -> None:
    assert "; 1 row has NaN, +inf or nothing finite, the first is row 5; fix them" in str(
        inputs.invalid_rows("z", 1, 5)
    )
    assert "; 2 rows have NaN" in str(inputs.invalid_rows("z", 2, 5))
    assert str(inputs.none_valid("z")) == "z: no row is left to select from: all are invalid or excluded"
    assert [shown.are(count) for count in (0, 1, 2)] == ["0 are", "1 is", "2 are"]


def test_a_warning_is_of_the_line_outside_the_package() -> None:
    """Called through two functions of the package, as it would be."""
    names: dict[str, Any] = {"__name__": "rad_fast.some", "warn": points.warn}
    exec("def inner(): warn('words', UserWarning)\ndef outer(): inner()", names)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        names["outer"]()
        line = sys._getframe().f_lineno - 1
    assert [(each.filename, each.lineno) for each in said] == [(__file__, line)]


def test_what_is_warned_of_is_said_with_its_numbers() -> None:
    with pytest.warns(UserWarning, match=r"^certificate: 1 labelled point promises hardly anything; label at least 30"):
        inputs.warn_few_labelled(1)
    with pytest.warns(UserWarning, match=r"^certificate: 2 labelled points promise hardly"):
        inputs.warn_few_labelled(2)
    with pytest.warns(
        inputs.UnreliableTeacherWarning, match=r"is -1\.5: if 20 more labels .* of 30 points can promise"
    ):
        inputs.warn_unreliable(-1.5, 20.0, 30)


# ------------------------------------------------------------------------------------------------------------- settings


def test_names_that_say_another_kind_of_file() -> None:
    for name in ("a.npz", "a", "a.zip", "csv"):
        inputs.archive_path(name)
    for suffix, instead in arguments.INSTEAD.items():
        for name in (f"a{suffix}", f"a{suffix.upper()}"):
            said = refused(ValueError, inputs.archive_path, name)
            assert said == f"path: expected a name such as selection.npz, got {name!r}; {instead}"


@pytest.mark.parametrize("value", [0.5, 0.95, np.float32(0.25)])
def test_a_confidence_and_an_accuracy_are_shares(value) -> None:
    assert inputs.confidence(value) == inputs.accuracy(value) == float(value)
    for bound in (0, 1, 0.0, 1.0):
        assert f"got {bound!r}" in refused(ValueError, inputs.confidence, bound)
        assert inputs.accuracy(bound) == bound
    for outside in (-0.1, 1.1, np.nan):
        refused(ValueError, inputs.confidence, outside)
        assert f"got {outside}" in refused(ValueError, inputs.accuracy, outside)


def test_where_a_backend_serves() -> None:
    for name in ("auto", "cpp", "numba", "reference"):
        inputs.host_backend(name)
        if name != "auto":
            assert f"'{name}' serves arrays in host memory" in refused(ValueError, inputs.device_backend, name)
    for name in ("auto", "triton", "cuda", "triton+cuda"):
        inputs.device_backend(name)
        if name != "auto":
            assert f"'{name}' serves arrays on a CUDA device" in refused(ValueError, inputs.host_backend, name)


def test_a_larger_budget_is_a_total() -> None:
    assert inputs.larger_budget(7, 20, 5, 6) == 7
    assert inputs.larger_budget(0.5, 20, 0, 9) == 10
    for total in (5, 6):
        said = refused(ValueError, inputs.larger_budget, total, 20, 5, 6)
        assert said == f"budget: expected a total of more than the 6 points already selected, got {total}"


@pytest.mark.parametrize(
    ("given", "count"), [(0.5, 5), (0.45, 5), (0.44, 4), (1.0, 10), (1e-9, 1), ("25%", 3), (" 100% ", 10), (10, 10)]
)
def test_a_fraction_is_rounded_and_never_none_and_never_more_than_all(given, count) -> None:
    assert inputs.budget(given, 12, 2) == count
    assert refused(ValueError, inputs.budget, 11, 12, 2) == (
        "budget: expected at most 10, 12 points less 2 left out; got 11"
    )
    assert refused(ValueError, inputs.budget, 11, 10, 0) == "budget: expected at most 10, the number of points; got 11"


@pytest.mark.parametrize(
    ("value", "rate"),
    [(0, (0, 0)), (1, (1, 0)), (0.5, (0, 0.5)), (1.0, (1, 0)), ("100%", (0, 1)), ("5%", (0, 0.05)), (2.5, (2.5, 0))],
)
def test_mistakes_are_a_count_or_a_number_for_each_point(value, rate) -> None:
    assert inputs.mistakes_rate(value) == rate
    assert inputs.mistakes(value) == (1.0 if value == "100%" else sum(rate))
    assert inputs.mistakes(None) is None


def test_one_seed_by_either_name() -> None:
    assert [inputs.seed(3), inputs.seed(0, 4), inputs.seed(np.int32(5)), inputs.seed(0, 0)] == [3, 4, 5, 0]
    assert "expected one of them, as they are the same setting; got 1 and 2" in refused(ValueError, inputs.seed, 1, 2)
    for wrong, error in ((-1, ValueError), (1.0, TypeError), (True, TypeError), ("1", TypeError)):
        assert f"seed: expected an int of at least 0, got {wrong!r}" in refused(error, inputs.seed, wrong)
        assert refused(error, inputs.seed, 0, wrong).startswith("random_state: ")


# --------------------------------------------------------------------------------------------------------------- arrays


def test_how_large_logits_may_be() -> None:
    for shape in ((2**40 - 1, 2), (1, 2**31 - 1), (0, 2)):
        inputs.check_logits("z", "float32", shape, empty=True)
    for shape in ((2**40, 2), (1, 2**31)):
        assert "fewer than 2**31 classes and 2**40 rows" in refused(
            ValueError, inputs.check_logits, "z", "float32", shape, empty=True
        )
    said = refused(ValueError, inputs.check_logits, "z", "float32", (0, 2), empty=False)
    assert said == "z: expected at least one row, got shape (0, 2)"


class OnDevice:
    """An array that says where it is, or cannot."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind

    def __dlpack_device__(self) -> tuple[int, int]:
        if isinstance(self.kind, Exception):
            raise self.kind
        return self.kind, 0


def test_where_an_array_is_said_by_itself() -> None:
    for kind, cuda in ((1, False), (2, True), (13, True), (3, False), (10, False), (BufferError(), False)):
        assert inputs.is_cuda(OnDevice(kind)) is cuda
    for error in (NotImplementedError(), RuntimeError(), TypeError(), ValueError()):
        array = OnDevice(error)
        assert not inputs.is_cuda(array)
        array.__cuda_array_interface__ = {}  # type: ignore[attr-defined]
        assert inputs.is_cuda(array)
    assert not inputs.is_cuda(np.zeros(3))


def test_rows_and_classes_are_those_of_the_teacher() -> None:
    inputs.same_rows(TEACHER, TEACHER._replace(data=np.zeros((N, 3))))
    inputs.same_classes(TEACHER, TEACHER._replace(data=np.zeros((5, 4))))
    assert inputs.needed_student(TEACHER, TEACHER) is TEACHER
    other = Matrix("s", np.zeros((5, 3)), "float64", inputs.same)
    assert (
        refused(ValueError, inputs.same_rows, TEACHER, other) == "s: expected a row for every row of logits, 6, got 5"
    )
    assert "s: expected 4 classes as in logits, got 3" in refused(ValueError, inputs.same_classes, TEACHER, other)
    assert "expected the student's logits" in refused(ValueError, inputs.needed_student, TEACHER, None)


def test_what_hands_arrays_back_can_be_pickled_where_it_knows_no_address() -> None:
    assert inputs.portable(inputs.same)
    assert inputs.portable(arrays.as_torch)
    assert not inputs.portable(lambda array: array)
    assert not inputs.portable(SimpleNamespace())  # type: ignore[arg-type]


def test_rows_that_are_0_at_the_end_are_found_from_where_on() -> None:
    for rows in (9, 10, 64, 100):
        data = np.ones((rows, 3))
        assert inputs.first_unwritten(data) is None
        for first in {min(first, rows - 8) for first in (1, 2, rows // 2, rows)}:
            data = np.ones((rows, 3))
            data[first:] = 0
            assert inputs.first_unwritten(data) == first
        data[rows - 8 :] = 0
        data[rows - 8, 1] = 1  # of the last 8 one is not
        assert inputs.first_unwritten(data) is None
    assert inputs.first_unwritten(np.zeros((100, 3))) is None
    assert inputs.first_unwritten(np.r_[np.ones((1, 3)), np.zeros((7, 3))]) is None
    inputs.warn_unwritten("z", None)
    with pytest.warns(UserWarning, match="z: its last rows, from row 4 on, are 0 in every class"):
        inputs.warn_unwritten("z", 4)


# --------------------------------------------------------------------------------------------------------------- chunks


def test_lists_in_chunks_are_told_by_their_row_in_the_whole() -> None:
    pa = pytest.importorskip("pyarrow")
    from rad_fast.inputs import lists

    rows = [[1.0, 2.0]] * 3 + [None] * 3 + [[3.0, 4.0]] * 3 + [[5.0]]
    kind = pa.list_(pa.float32())
    chunks = pa.chunked_array([pa.array(rows[at : at + 3], kind) for at in range(0, 10, 3)])
    with pytest.raises(ValueError, match=r"z: expected lists of equal length, 2, got 1 in row 109"):
        lists.matrix_of("z", chunks, first=100)
    found = lists.matrix_of("z", chunks.slice(0, 9))
    np.testing.assert_array_equal(found, [[1, 2]] * 3 + [[np.nan] * 2] * 3 + [[3, 4]] * 3)
    whole = pa.chunked_array([pa.array([None, None], pa.list_(pa.int64())), pa.array([[7, 8]], pa.list_(pa.int64()))])
    assert lists.matrix_of("z", whole, integers=True).tolist() == [[-1, -1], [-1, -1], [7, 8]]
    assert lists.matrix_of("z", whole.slice(0, 2), 3, integers=True).tolist() == [[-1] * 3] * 2
    assert lists.matrix_of("z", whole.slice(0, 0), 3, integers=True).shape == (0, 3)


def test_what_was_seen_of_probabilities_adds_up_over_chunks() -> None:
    seen = softmax.Seen(3, 2)
    assert seen.joined("z", softmax.Seen(4, 0)) == softmax.Seen(7, 2)
    assert seen.joined("z", softmax.Seen(5, 1, True)) == softmax.Seen(8, 3, True)
    for before, chunk in ((seen, softmax.Seen(5, 0)), (softmax.Seen(9, 9, True), softmax.Seen(8, 0))):
        with pytest.raises(ValueError, match="z: expected logits, got probabilities"):
            before.joined("z", chunk)
    assert softmax.Seen(9, 9, True).joined("z", softmax.Seen(7, 1)).alike == 16
    assert softmax.Seen(9, 9).joined("z", softmax.Seen(0, 0)).alike == 9
    assert softmax.Seen(1, 2, True).counts == (1, 2, 1, 0)
    inputs.refuse_all_probabilities("z", [softmax.Seen(7, 0)])
    inputs.refuse_all_probabilities("z", [softmax.Seen(9, 3), softmax.Seen(others=True)])
    for every in ([softmax.Seen(8, 0)], [softmax.Seen(4, 0), softmax.Seen(4, 0)], [softmax.Seen(1, 1)]):
        with pytest.raises(ValueError, match=re.escape(softmax.GIVE)):
            inputs.refuse_all_probabilities("z", every)
