"""Scores: DESIGN section 4, invariant 4, and what an invalid row looks like to the kernels (invariant 5)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

from rad_fast.device import backends
from rad_fast.device.backends import Backend
from rad_fast.kernels.reference.score import Kind, Points, Rule, Scores, empty_points, widened

from ..oracle import assert_same, assert_within

torch = pytest.importorskip("torch", reason="PyTorch's own route is what errors are compared with")

DTYPES = ["float64", "float32", "float16", "bfloat16"]
# Half a unit in the last place below 1: what rounding an exact result to float32 may cost, whoever computes it.
ROUNDING = 2.0**-24
# Means over few rows differ by luck; a quarter of that.
MEAN_ROUNDING = 2.0**-26


def stored(values: np.ndarray, dtype: str) -> np.ndarray:
    """The values as the kernels get them: bfloat16 as uint16."""
    if dtype != "bfloat16":
        with np.errstate(over="ignore"):
            return values.astype(dtype)
    return torch.from_numpy(values.astype(np.float64)).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)


def tensor(logits: np.ndarray) -> torch.Tensor:
    if logits.dtype == np.uint16:
        return torch.from_numpy(logits.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(logits)


def errors(scores: Scores, exact: Scores) -> dict[str, np.ndarray]:
    found = {name: np.abs(getattr(scores, name) - getattr(exact, name)) for name in ("margin", "confidence")}
    if exact.given_probability is not None:
        found["given_probability"] = np.abs(scores.given_probability - exact.given_probability)
    return found


def through_torch(logits: np.ndarray, given: np.ndarray) -> Scores:
    p = torch.softmax(tensor(logits).float(), 1)
    top = p.topk(2)
    probability = p[torch.arange(len(p)), torch.from_numpy(given).long()]
    first, second = top.values[:, 0].numpy(), top.values[:, 1].numpy()
    return Scores(
        (first - second).astype(np.float64),
        first.astype(np.float64),
        top.indices[:, 0].numpy().astype(np.int32),
        probability.numpy().astype(np.float64),
    )


class Peer(NamedTuple):
    """What the scores of some logits are, and how PyTorch errs."""

    given: np.ndarray
    exact: Scores
    errors: dict[str, np.ndarray]


def peer(reference: Backend, logits: np.ndarray) -> Peer:
    given = np.arange(len(logits), dtype=np.int32) % logits.shape[1]
    exact = reference.score(logits, given)
    return Peer(given, exact, errors(through_torch(logits, given), exact))


def assert_no_worse_than_torch(kernels: Backend, logits: np.ndarray, peer: Peer) -> None:
    exact, theirs = peer.exact, peer.errors
    scores = kernels.score(logits, peer.given)
    ours = errors(scores, exact)
    for name, error in ours.items():
        at = int(error.argmax())
        values = f"row {at}: {getattr(scores, name)[at]!r}, not {getattr(exact, name)[at]!r}"
        assert error.max() <= theirs[name].max() + ROUNDING, (
            f"{name}: {error.max()}, PyTorch {theirs[name].max()}, {values}"
        )
        assert error.mean() <= theirs[name].mean() + MEAN_ROUNDING, (
            f"{name}: mean {error.mean()}, {theirs[name].mean()}"
        )
    assert_same(scores.label, exact.label, "labels")


# 2: binary. 3, 10: less than a vector. 16, 17, 31, 32, 33: a vector of any level, and one more or less. 64, 100, 129:
# large tiles or not, by level. 224, 225: where tiles of rows give way to rows. 1000: ImageNet. 4097, 32,000: beyond
# L1. 262,144: a language model's vocabulary.
CLASSES = [2, 3, 5, 10, 16, 17, 31, 32, 33, 64, 100, 129, 224, 225, 1000, 4097, 32_000, 262_144]


def of_every_scale(classes: int, dtype: str) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(classes)
    rows = max(5, min(1001, 2**20 // classes))  # odd: the last tile of rows is never whole
    for scale in (0.01, 1.0, 10.0, 300.0):  # nearly uniform; plain; confident; most of them underflow
        yield stored(rng.normal(0, scale, (rows, classes)), dtype)


@cache
def peers(classes: int, dtype: str) -> list[Peer]:
    """Worked out once, and not for each backend."""
    reference = backends.load("reference")
    return [peer(reference, logits) for logits in of_every_scale(classes, dtype)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", CLASSES)
def test_scores_err_no_more_than_pytorchs_own_float32_route(kernels: Backend, classes: int, dtype: str) -> None:
    for logits, peer in zip(of_every_scale(classes, dtype), peers(classes, dtype), strict=True):
        assert_no_worse_than_torch(kernels, logits, peer)


@pytest.mark.parametrize("dtype", DTYPES)
def test_ruled_out_classes_constant_rows_and_offsets_err_no_more_than_pytorch(
    kernels: Backend, reference: Backend, dtype: str
) -> None:
    rng = np.random.default_rng(0)
    for classes in (2, 10, 33, 200):  # tiles and rows, whole vectors and parts
        z = rng.normal(0, 3, (300, classes))
        z[rng.random(z.shape) < 0.5] = -np.inf
        z[np.arange(300), rng.integers(0, classes, 300)] = 1.0  # something finite in every row
        z[:20] = 7.0
        z[20:40] += 10_000.0  # within float16, far beyond where exp overflows
        z[40:60] -= 10_000.0
        logits = stored(z, dtype)
        assert_no_worse_than_torch(kernels, logits, peer(reference, logits))


def test_float64_beyond_the_range_of_float32_is_scored(kernels: Backend, reference: Backend) -> None:
    z = np.array(
        [
            [1e300, 1e300, 0.0],
            [1e300, -1e300, 5.0],
            [-1e300, -1e300, -1e300],
            [1e308, -1e308, 0.0],
            [1e-300, 0.0, -1e-300],
        ]
    )
    z = np.concatenate([z, 1e15 + np.array([[0.0, 1.0, 2.0], [0.5, 0.0, 0.25]])])  # differences float32 would lose
    scores, exact = kernels.score(z), reference.score(z)
    assert_same(scores.label, np.array([0, 0, 0, 0, 0, 2, 0], np.int32), "labels")
    assert_within(scores.margin, exact.margin, 2e-7, "margins")
    assert_within(scores.confidence, exact.confidence, 2e-7, "confidences")


@given(
    rows=st.integers(1, 40),
    classes=st.integers(2, 70),
    dtype=st.sampled_from(DTYPES),
    levels=st.integers(1, 3),
    seed=st.integers(0, 10**6),
)
def test_the_label_is_the_lowest_index_among_equal_maxima(
    kernels: Backend, rows: int, classes: int, dtype: str, levels: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    logits = stored(rng.integers(0, levels, (rows, classes)).astype(float), dtype)
    scores = kernels.score(logits)
    assert_same(scores.label, widened(logits).argmax(axis=1).astype(np.int32), "labels")
    ties = (np.sort(widened(logits), axis=1)[:, -2:] == widened(logits).max(axis=1)[:, None]).all(axis=1)
    assert_within(scores.margin[ties], np.zeros(ties.sum()), 0.0, "margins of ties")


@given(
    rows=st.integers(0, 60),
    classes=st.integers(2, 140),
    dtype=st.sampled_from(DTYPES),
    layout=st.sampled_from(["C", "F", "reversed rows", "reversed columns", "sliced", "broadcast", "misaligned"]),
    seed=st.integers(0, 10**6),
)
def test_scores_do_not_depend_on_how_the_array_lies_in_memory(
    kernels: Backend, rows: int, classes: int, dtype: str, layout: str, seed: int
) -> None:
    plain = stored(np.random.default_rng(seed).normal(0, 4, (rows, classes)), dtype)
    plain, given = laid_out(plain, layout)
    expected = kernels.score(np.ascontiguousarray(plain), np.zeros(len(plain), np.int32))
    scores = kernels.score(given, np.zeros(len(plain), np.int32))
    for name in Scores._fields:
        assert_same(getattr(scores, name), getattr(expected, name), f"{name}, {layout}")


def laid_out(plain: np.ndarray, layout: str) -> tuple[np.ndarray, np.ndarray]:
    """The values, and the same values in another layout."""
    rows, classes = plain.shape
    if layout == "F":
        return plain, np.asfortranarray(plain)
    if layout == "reversed rows":
        return plain, np.ascontiguousarray(plain[::-1])[::-1]
    if layout == "reversed columns":
        return plain, np.ascontiguousarray(plain[:, ::-1])[:, ::-1]
    if layout == "sliced":
        wide = np.zeros((2 * rows, 3 * classes + 2), plain.dtype)
        wide[::2, 2::3] = plain
        return plain, wide[::2, 2::3]
    if layout == "broadcast" and rows:
        return np.repeat(plain[:1], rows, axis=0), np.broadcast_to(plain[0], plain.shape)
    if layout == "misaligned":
        buffer = np.zeros(plain.nbytes + 1, np.uint8)
        moved = buffer[1:].view(plain.dtype).reshape(plain.shape)
        moved[...] = plain
        return plain, moved
    return plain, plain


@given(
    classes=st.sampled_from([2, 3, 10, 17, 33, 100, 1000]),
    dtype=st.sampled_from(DTYPES),
    first=st.integers(0, 80),
    rows=st.integers(1, 80),
)
def test_a_rows_scores_do_not_depend_on_its_position_nor_on_other_rows(
    kernels: Backend, classes: int, dtype: str, first: int, rows: int
) -> None:
    z = np.random.default_rng(classes).normal(0, 5, (160, classes))
    z[::7, -1] = np.nan  # a bad neighbour in a tile harms nobody
    logits = stored(z, dtype)
    given = (np.arange(160) % classes).astype(np.int32)
    whole, part = kernels.score(logits, given), kernels.score(logits[first : first + rows], given[first : first + rows])
    for name in Scores._fields:
        assert_same(getattr(part, name), getattr(whole, name)[first : first + rows], name)


@pytest.mark.parametrize("dtype", DTYPES)
# Binary; tiles; part vectors; large tiles; rows; several vectors a row.
@pytest.mark.parametrize("classes", [2, 10, 33, 129, 225, 1000])
def test_nan_plus_inf_and_nothing_finite_are_seen_in_every_place(kernels: Backend, classes: int, dtype: str) -> None:
    z = np.random.default_rng(1).normal(0, 3, (90, classes))
    bad = {}
    places = sorted({0, 1, classes // 2, classes - 2, classes - 1})
    for row, (value, column) in zip(
        range(0, 90, 4), ((v, c) for v in (np.nan, np.inf, "nan after inf") for c in places), strict=False
    ):
        z[row, column] = np.nan if value == "nan after inf" else value
        if value == "nan after inf":
            z[row, (column + 1) % classes] = np.inf
        bad[row] = value
    z[89] = -np.inf
    z[88, :-1] = -np.inf  # one class is left: valid, and sure
    rows = np.array([*bad, 89])
    scores = kernels.score(stored(z, dtype), np.zeros(90, np.int32))
    assert_same(np.flatnonzero(scores.label < 0), rows, "invalid rows")
    for name in ("margin", "confidence", "given_probability"):
        assert_same(np.flatnonzero(np.isnan(getattr(scores, name))), rows, name)
    assert (scores.margin[88], scores.confidence[88], scores.label[88]) == (1.0, 1.0, classes - 1)


def test_no_rows_give_no_scores(kernels: Backend) -> None:
    scores = kernels.score(np.empty((0, 5), np.float32), np.empty(0, np.int32))
    assert [len(part) for part in scores] == [0, 0, 0, 0]


def test_a_given_label_outside_the_classes_has_probability_0(kernels: Backend) -> None:
    logits = np.ones((3, 4), np.float32)
    scores = kernels.score(logits, np.array([-1, 4, 1], np.int32))
    assert_within(scores.given_probability, np.array([0.0, 0.0, 0.25]), 0.0)


# 2**31 elements and 2**31 bytes apart: beyond int32 offsets, and beyond what a row's own length explains.
@pytest.mark.parametrize("distance", [2**31 + 3, 2**30 + 1])
def test_rows_may_lie_far_apart(kernels: Backend, reference: Backend, distance: int) -> None:
    space = np.zeros(2 * distance + 10, np.float16)  # pages never written take no memory
    rows = as_strided(space, (3, 10), (2 * distance, 2))
    rows[...] = np.random.default_rng(2).normal(0, 3, (3, 10))
    scores, exact = kernels.score(rows), reference.score(np.ascontiguousarray(rows))
    assert_same(scores.label, exact.label, "labels")
    assert_within(scores.margin, exact.margin, 1e-6, "margins")


def test_more_than_2_to_31_logits(kernels: Backend, reference: Backend) -> None:
    if kernels.name == "reference":
        pytest.skip("the specification would take 17 GB; it has no index arithmetic of its own")
    classes = 262_144
    rows = 2**31 // classes + 3
    logits = np.zeros((rows, classes), np.float16)  # all but four rows are never written: they take no memory
    written = [0, 1, rows - 2, rows - 1]
    logits[written] = np.random.default_rng(3).normal(0, 3, (4, classes)).astype(np.float16)
    scores, exact = kernels.score(logits), reference.score(logits[written])
    assert_same(scores.label[written], exact.label, "labels")
    assert_within(scores.margin[written], exact.margin, 1e-6, "margins")
    others = np.delete(np.arange(rows), written)
    assert_same(scores.label[others], np.zeros(len(others), np.int32), "labels of constant rows")
    assert_within(scores.margin[others], np.zeros(len(others)), 0.0, "margins of constant rows")


# ------------------------------------------------------------------------------------------------ gain and correctness

RULES = {
    "confidence": Rule(),
    "constant": Rule(Kind.CONSTANT, constant=0.875),
    "given": Rule(Kind.GIVEN),
    "steps": Rule(Kind.STEPS, steps=(0.1, 0.5, 0.9), levels=(0.25, 0.5, 0.75, 1.0)),
    "one level": Rule(Kind.STEPS, steps=(), levels=(0.625,)),
    "logistic": Rule(Kind.LOGISTIC, weights=(0.3, 0.8, 0.2, -0.5)),
}


def appraised(
    kernels: Backend, teacher: np.ndarray, student: np.ndarray | None, rule: Rule, given: np.ndarray
) -> tuple:
    points = Points(*(np.empty(len(teacher), kind) for kind in (np.float32, np.float32, np.int32)))
    bad = kernels.appraise(teacher, student, rule, given if rule.kind == Kind.GIVEN else None, points)
    return points, bad


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("classes", "of_student"), [(10, 10), (200, 200), (250, 250), (10, 3), (3, 129)]
)  # alike; not alike
def test_gain_and_correctness_are_the_specifications(
    kernels: Backend, reference: Backend, rule: Rule, dtype: str, classes: int, of_student: int
) -> None:
    if rule.kind == Kind.LOGISTIC and classes != of_student:
        pytest.skip("a calibrator on both models needs as many classes in each")
    rng = np.random.default_rng(classes)
    teacher, student = rng.normal(0, 4, (1500, classes)), rng.normal(0, 3, (1500, of_student))
    teacher[5, 1], student[9, -1] = np.nan, np.inf
    teacher[700, 0] = student[700, 0] = np.nan
    teacher, student, given = stored(teacher, dtype), stored(student, "float32"), rng.random(1500).astype(np.float32)
    for beside in (None, student) if rule.kind != Kind.LOGISTIC else (student,):
        points, bad = appraised(kernels, teacher, beside, rule, given)
        exact, exact_bad = appraised(reference, teacher, beside, rule, given)
        assert tuple(map(tuple, bad)) == tuple(map(tuple, exact_bad))
        assert tuple(bad[0]) == (2, 5)
        assert tuple(bad[1]) == ((2, 9) if beside is not None else (0, -1))
        assert_same(points.label, exact.label, "labels")
        # Near a margin of 0 or 1 the logit has a slope of up to 2**20; rounding is amplified by 2**20 * 2**-25.
        loose = 0.02 if rule.kind == Kind.LOGISTIC else 1e-6
        if rule.kind == Kind.STEPS:
            near = np.zeros(1500, bool)
            margin = reference.score(teacher).margin
            for step in rule.steps:
                near |= np.abs(margin - step) < 1e-6
            points.correctness[near] = exact.correctness[near]
        assert_within(points.correctness, exact.correctness, loose, "correctness")
        assert_within(points.gain, exact.gain, 1e-6, "gain")


@given(classes=st.integers(2, 40), dtype=st.sampled_from(DTYPES), scale=st.sampled_from([0.0, 1e-3, 1.0, 30.0, 5e4]))
def test_gains_are_multiples_of_2_to_minus_24_within_0_and_1_and_correctness_within_0_and_1(
    kernels: Backend, classes: int, dtype: str, scale: float
) -> None:
    """The game's exact integer sums rest on it."""
    logits = stored(np.random.default_rng(classes).uniform(-scale, scale, (200, classes)), dtype)
    points, _ = appraised(kernels, logits, None, Rule(), np.empty(0))
    units = points.gain.astype(np.float64) * 2**24
    assert_same(units, np.floor(units), "gains in units of 2**-24")
    for name in ("gain", "correctness"):
        values = getattr(points, name)
        assert values.min() >= 0, f"{name}: {values.min()!r}"
        assert values.max() <= 1, f"{name}: {values.max()!r}"


def test_a_margin_on_a_step_has_the_level_after_it(kernels):
    """Isotonic regression's steps are margins that were seen: the reference's side of them is everyone's."""
    logits = np.array([[1.0, 1.0], [0.0, -np.inf], [0.0, -0.1]], np.float32)  # margins 0 and 1, exactly, and between
    rule = Rule(Kind.STEPS, steps=(0.0, 0.5, 1.0), levels=(0.1, 0.2, 0.3, 0.4))
    points = empty_points(3)
    kernels.appraise(logits, None, rule, None, points)
    np.testing.assert_allclose(points.correctness, [0.2, 0.4, 0.2], rtol=1e-6)
