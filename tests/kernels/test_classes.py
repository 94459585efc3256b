"""Points by class, probabilities by class and the sample along keys, on every CPU backend and SIMD level, against
kernels/reference: bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from rad_fast.device import backends
from rad_fast.game.by_class import play
from rad_fast.game.group import Alone
from rad_fast.game.quotas import class_counts, shares
from rad_fast.kernels.reference.game import NOTHING, Equilibria
from rad_fast.kernels.reference.sample import others_of, running_by_key
from rad_fast.kernels.reference.score import Gain, Kind, Points, Rule, empty_points
from tests.oracle import assert_same

from .test_game import BLOCK, threads

SIZES = (1, 7, 8, 9, 1000, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 3)  # within a vector, around one, blocks, threads
# One game; the commonest; the last that are counted by bytes; the last with an other class; the key is the label.
CLASSES = (1, 2, 10, 16, 256, 257, 3000)


def points(size: int, classes: int, seed: int = 0) -> Points:
    rng = np.random.default_rng(seed)
    gain = rng.random(size).astype(np.float32)
    gain[rng.random(size) < 0.1] = np.nan
    label = rng.integers(0, classes, size).astype(np.int32)
    label[np.isnan(gain) & (rng.random(size) < 0.5)] = -1
    other = rng.integers(0, min(classes, 256), size).astype(np.uint8)
    return Points(gain, rng.random(size).astype(np.float32), label, other)


def equilibria(classes: int, seed: int = 1) -> Equilibria:
    """Of every sort: no quota, few points, thresholds below 0, thresholds that are points'."""
    rng = np.random.default_rng(seed)
    columns = np.array([rng.random(classes), rng.random(classes) * 1.6 - 0.6, rng.random(classes), np.zeros(classes)])
    columns[:, rng.random(classes) < 0.2] = np.array(NOTHING)[:, None]
    columns[1, rng.random(classes) < 0.1] = 0.0
    return Equilibria(*columns)


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("size", SIZES)
def test_counts_groups_and_probabilities_equal_the_reference(
    kernels: backends.Backend, reference: backends.Backend, size: int, classes: int
) -> None:
    gain, correctness, label, _ = some = points(size, classes)
    both = reference.class_counts(gain, correctness, label, classes)
    assert_same(kernels.class_counts(gain, correctness, label, classes), both, "counts")
    counts = both[0]
    starts = np.cumsum(counts) - counts
    expected, found = np.zeros((2, 2, counts.sum()), np.float32)
    assert_same(reference.group(gain, correctness, label, starts, *expected), starts + counts, "ends")
    assert_same(kernels.group(gain, correctness, label, starts, *found), starts + counts, "ends")
    assert_same(found, expected, "gain and correctness by class")
    for k in range(min(classes, 10)):
        here = (label == k) & ~np.isnan(gain)
        assert_same(expected[0, starts[k] : starts[k] + counts[k]], gain[here], f"class {k}")
    answers = equilibria(classes)
    assert_same(
        kernels.class_probabilities(some, answers), reference.class_probabilities(some, answers), "probabilities"
    )


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("size", SIZES)
def test_masses_and_samples_along_the_keys_equal_the_reference(
    kernels: backends.Backend, reference: backends.Backend, size: int, classes: int
) -> None:
    some, answers, others = points(size, classes), equilibria(classes), others_of(classes, classes)
    expected = reference.mass_by_key(some, answers, others)
    found = kernels.mass_by_key(some, answers, others)
    assert_same(found.sum(axis=0, dtype=np.uint64), expected[0], "masses")
    none = np.zeros_like(expected[0])
    running = running_by_key(found, expected[0], none, 12345 << 40)
    taken = kernels.sample_by_key(some, answers, others, running)
    assert_same(
        taken,
        reference.sample_by_key(some, answers, others, running_by_key(expected, expected[0], none, 12345 << 40)),
        "indices",
    )


def test_the_sample_is_one_scan_along_the_sorted_points(kernels: backends.Backend) -> None:
    """Sorted by key the scan by key is the plain scan; unsorted it takes the same points."""
    some, answers = points(3000, 10), equilibria(10)
    assert some.other is not None
    order = np.argsort(some.label * 10 + some.other, kind="stable")
    q = kernels.class_probabilities(some, answers)[order]
    running = np.floor(np.concatenate([[0.0], np.cumsum(q)]) + 0.37)
    expected = np.sort(order[np.diff(running) > 0])
    masses = kernels.mass_by_key(some, answers, 10)
    total = masses.sum(axis=0, dtype=np.uint64)
    starts = running_by_key(masses, total, np.zeros_like(total), int(0.37 * 2**62))
    assert_same(kernels.sample_by_key(some, answers, 10, starts), expected, "indices")


def test_a_point_counts_as_positive_just_where_its_effective_gain_is(kernels: backends.Backend) -> None:
    half, least = np.float32(0.5), np.float32(2.0**-24)
    near = [np.float32(0), np.nextafter(half, np.float32(0)), half, np.nextafter(half, np.float32(1)), np.float32(1)]
    gain, correctness = (
        np.repeat(pair.ravel(), 7) for pair in np.meshgrid(np.array([0, least, 1, np.nan], np.float32), near)
    )
    label = np.tile(np.arange(7, dtype=np.int32), len(gain) // 7)
    d = (2 * correctness.astype(np.float64) - 1) * gain
    played, positive = kernels.class_counts(gain, correctness, label, 7)
    assert played.tolist() == [15] * 7
    assert positive.tolist() == [int((d > 0).sum()) // 7] * 7 == [4] * 7


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_samples_along_the_keys_do_not_depend_on_the_number_of_threads(
    kernels: backends.Backend, reference: backends.Backend, count: int
) -> None:
    some, answers = points(13 * BLOCK + 1, 10), equilibria(10)
    expected = reference.mass_by_key(some, answers, 10)
    none = np.zeros_like(expected[0])
    indices = reference.sample_by_key(some, answers, 10, running_by_key(expected, expected[0], none, 5))
    with threads(kernels, count):
        masses = kernels.mass_by_key(some, answers, 10)
        taken = kernels.sample_by_key(some, answers, 10, running_by_key(masses, expected[0], none, 5))
        counts = kernels.class_counts(*some[:3], 10)[0]
        starts = np.cumsum(counts) - counts
        found, reference_found = np.zeros((2, 2, counts.sum()), np.float32)
        kernels.group(some.gain, some.correctness, some.label, starts, *found)
    reference.group(some.gain, some.correctness, some.label, starts, *reference_found)
    assert_same(taken, indices, "indices")
    assert_same(found, reference_found, "groups")


def test_the_extension_refuses_labels_and_keys_that_no_table_has_room_for() -> None:
    cpp = pytest.importorskip("rad_fast._cpu") and backends.load("cpp")
    gain, correctness, label, other = points(100, 10)
    label[:], answers = 10, equilibria(10)
    gain[:] = 0.5
    stray = Points(gain, correctness, label, other)
    with pytest.raises(ValueError, match="label"):
        cpp.class_counts(gain, correctness, label, 10)
    with pytest.raises(ValueError, match="label"):
        cpp.class_probabilities(stray, answers)
    with pytest.raises(ValueError, match="label"):
        cpp.mass_by_key(stray, answers, 10)
    label[:] = 0
    other[:] = 10
    every = Equilibria(np.ones(10), np.full(10, -1.0), np.ones(10), np.zeros(10))
    with pytest.raises(ValueError, match="other"):
        cpp.mass_by_key(stray, every, 10)
    with pytest.raises(ValueError, match="starts"):
        cpp.group(gain, correctness, label, np.zeros(10, np.int64), gain[:5].copy(), gain[:5].copy())


@pytest.mark.parametrize("level", ["v2", "v3", "v4"])
def test_games_refuse_labels_and_other_classes_that_are_none(level: str) -> None:
    """In the pass over all points, too, which has boxes for the classes of so many."""
    cpp = pytest.importorskip("rad_fast._cpu") and backends.load("cpp")
    name = f"x86-64-{level}"
    if name not in cpp.module.levels():
        pytest.skip(f"this processor lacks {name}")
    before = cpp.module.level()
    some = points(40_000, 10)
    some.gain[:] = np.floor(some.gain * 2**24) * 2.0**-24
    assert some.other is not None
    counts = class_counts([some], 10, cpp)
    found = shares("equal", counts, np.zeros(10, np.int64), None, 400)
    cpp.module.set_level(name)
    try:
        play([some], found, 800.0, 10, 1 << 61, cpp, Alone(), counts[0])
        left_out = np.flatnonzero(np.isnan(some.gain))
        some.other[left_out] = 255  # nobody looks at these
        play([some], found, 800.0, 10, 1 << 61, cpp, Alone(), counts[0])
        for values, stray in ((some.other, 200), (some.label, 10), (some.label, -1)):
            kept, values[~np.isnan(some.gain)] = values.copy(), stray
            with pytest.raises(ValueError, match="label"):
                play([some], found, 800.0, 10, 1 << 61, cpp, Alone(), counts[0])
            values[:] = kept
    finally:
        cpp.module.set_level(before)


# ---------------------------------------------------------------------------------- the gain of a label, other classes


def logits_of(dtype: str, rows: int, classes: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    z = np.round(rng.normal(0, 2, (rows, classes)) * 4) / 4  # ties are common
    z[rng.random((rows, classes)) < 0.05] = -np.inf
    z[: rows // 50] = np.nan
    if rows > 9:
        z[9] = -np.inf
        z[9, 0] = 1.0  # all others are ruled out
    z[:, 0] = np.where(np.isneginf(z).all(axis=1), 0.0, z[:, 0])
    if dtype == "uint16":
        return (z.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return z.astype(dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "uint16"])
@pytest.mark.parametrize(
    "classes", [2, 3, 10, 17, 112, 113, 225, 256]
)  # even, odd, each way through a row, as many as fit
@pytest.mark.parametrize("student_classes", [None, 0, 5])  # none; those of the teacher; others
def test_the_gain_of_the_label_and_the_likeliest_other_class_equal_the_reference(
    kernels: backends.Backend, reference: backends.Backend, dtype: str, classes: int, student_classes: int | None
) -> None:
    rows = 1037  # no multiple of any vector, more than two rounds of appraise
    teacher = logits_of(dtype, rows, classes, 1)
    student = None if student_classes is None else logits_of(dtype, rows, student_classes or classes, 2)
    gain = Gain.LABEL if student_classes == 0 else Gain.MARGIN
    rule = Rule(Kind.CONSTANT, gain=gain)
    expected, found = empty_points(rows, other=True), empty_points(rows, other=True)
    bad = reference.appraise(teacher, student, rule, None, expected)
    assert kernels.appraise(teacher, student, rule, None, found) == bad
    assert_same(found.label, expected.label, "labels")
    assert_same(found.other, expected.other, "other classes")
    np.testing.assert_allclose(found.gain, expected.gain, atol=5e-7)
    assert expected.other is not None
    assert (expected.other[expected.label < 0] == 0).all()
    valid = expected.label >= 0
    if student_classes != 5:
        assert (expected.other[valid] != expected.label[valid]).all()
    grid = found.gain[valid].astype(np.float64) * 2.0**24
    assert (grid == np.floor(grid)).all(), "gains are multiples of 2**-24"


@pytest.mark.parametrize("classes", [4, 5, 15, 16, 17, 33, 66, 223, 224, 225])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_the_other_class_of_rows_with_hardly_anything_finite_and_of_ties_is_the_references(
    kernels: backends.Backend, reference: backends.Backend, dtype: str, classes: int
) -> None:
    rng = np.random.default_rng(classes)
    z = np.where(rng.random((61, classes)) < 0.9, -np.inf, rng.integers(0, 2, (61, classes)))
    z[np.arange(61), rng.integers(0, classes, 61)] = 1.0
    z[:5] = rng.integers(0, 2, (5, classes))
    z[5] = -np.inf
    z[5, -1] = 0.0
    expected, found = empty_points(61, other=True), empty_points(61, other=True)
    reference.appraise(z.astype(dtype), None, Rule(), None, expected)
    kernels.appraise(z.astype(dtype), None, Rule(), None, found)
    assert_same(found.label, expected.label, "labels")
    assert_same(found.other, expected.other, "other classes")


def test_rows_that_are_strided_or_byte_swapped_have_the_same_other_classes(
    kernels: backends.Backend,
) -> None:
    wide = logits_of("float32", 600, 21, 3)
    expected = empty_points(600, other=True)
    kernels.appraise(np.ascontiguousarray(wide[:, 3:13]), None, Rule(), None, expected)
    swapped = wide.astype(wide.dtype.newbyteorder())
    for view in (wide[:, 3:13], wide[::-1, 3:13][::-1], np.asfortranarray(wide[:, 3:13]), swapped[:, 3:13]):
        found = empty_points(600, other=True)
        kernels.appraise(view, None, Rule(), None, found)
        assert_same(found.other, expected.other, "other classes")


def test_a_logistic_rule_stays_within_its_bounds(kernels: backends.Backend) -> None:
    teacher, student = logits_of("float32", 3000, 10, 4), logits_of("float32", 3000, 10, 5)
    rule = Rule(Kind.LOGISTIC, weights=(1.0, 3.0, 3.0, 1.0), bounds=(0.125, 0.875))
    points = empty_points(3000)
    kernels.appraise(teacher, student, rule, None, points)
    inside = points.correctness[~np.isnan(points.correctness)]
    assert inside.min() == 0.125
    assert inside.max() == 0.875
