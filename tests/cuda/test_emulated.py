"""The kernels of csrc/cuda, whole, run by an emulator on the CPU, against the reference.

What this can show: indexing, reductions, barriers that are missing (threads take turns in a shuffled order), the
stages' arithmetic. What it cannot: races between blocks, the memory model, clusters, speed.
"""

from __future__ import annotations

import ctypes
import gc
import weakref
from types import ModuleType

import numpy as np
import pytest

from rad_fast.device import cuda
from rad_fast.device.arrays import Memory
from rad_fast.game import solver
from rad_fast.kernels.reference import game as reference_game
from rad_fast.kernels.reference import sample as reference_sample
from rad_fast.kernels.reference import score as reference_score
from rad_fast.kernels.reference.score import Gain, Kind, Points, Rule

pytestmark = pytest.mark.usefixtures("on_emulator")

DTYPES = ("float64", "float32", "float16", "bfloat16")


def as_dtype(z: np.ndarray, dtype: str) -> np.ndarray:
    if dtype != "bfloat16":
        return z.astype(dtype)
    bits = z.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def hard_rows(rows: int, classes: int, rng: np.random.Generator) -> np.ndarray:
    z = rng.normal(0, 4, (rows, classes))
    z[0] = 1.0
    z[1, 0] = np.nan
    z[2, -1] = np.inf
    z[3] = -np.inf
    z[4, : classes // 2] = -np.inf
    z[5, [0, classes - 1]] = 50.0
    z[6] = np.round(z[6])
    return z


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [2, 5, 10, 17, 33, 64, 101, 250, 1000, 2047, 5000, 40_000])
def test_scores(dtype: str, classes: int) -> None:
    rng = np.random.default_rng(classes)
    rows = 41 if classes < 600 else 7
    logits = as_dtype(hard_rows(rows, classes, rng), dtype)
    given = rng.integers(-1, classes + 1, rows).astype(np.int32)
    expected = reference_score.score(logits, given)
    got = cuda.score(Memory.of(logits, dtype=dtype), Memory.of(given))
    np.testing.assert_array_equal(got.label.numpy(), expected.label)
    for name in ("margin", "confidence", "given_probability"):
        np.testing.assert_allclose(getattr(got, name).numpy(), getattr(expected, name), atol=6 * 2.0**-24, rtol=0)
    assert cuda.findings(got.status).teacher == reference_score.invalid(expected.label < 0)


class Moved:
    """A view of device memory, through the CUDA array interface."""

    def __init__(self, memory: Memory, shape: tuple[int, int], strides: tuple[int, int], first: int, size: int) -> None:
        self.memory = memory
        self.__cuda_array_interface__ = {
            "shape": shape, "strides": tuple(stride * size for stride in strides), "version": 3,
            "typestr": memory.__cuda_array_interface__["typestr"], "data": (memory.address + first * size, False),
        }  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("classes", [3, 10, 37, 600, 5000])
def test_scores_do_not_depend_on_where_the_rows_lie(dtype: str, classes: int) -> None:
    """Bit for bit: at any address, in rows apart, upside down, by columns, and one row alone."""
    rng = np.random.default_rng(classes)
    z = rng.normal(0, 4, (9, classes)).astype(dtype)
    size = z.itemsize

    def bits(logits: object) -> tuple[bytes, bytes, bytes]:
        scores = cuda.score(logits)
        return scores.margin.bytes(), scores.confidence.bytes(), scores.label.bytes()

    expected = bits(Memory.of(z))
    for first in (1, 2, 3, 5):
        flat = np.concatenate([np.full(first, 99, dtype), z.ravel(), np.full(2, 99, dtype)])
        assert bits(Moved(Memory.of(flat), z.shape, (classes, 1), first, size)) == expected
    wide = np.full((9, classes + 3), 99, dtype)
    wide[:, 1:-2] = z
    assert bits(Moved(Memory.of(wide), z.shape, (classes + 3, 1), 1, size)) == expected
    assert bits(Moved(Memory.of(np.ascontiguousarray(z.T)), z.shape, (1, 9), 0, size)) == expected
    turned = bits(Moved(Memory.of(z), z.shape, (-classes, 1), 8 * classes, size))
    assert [np.frombuffer(part, np.uint32)[::-1].tobytes() for part in turned] == list(expected)
    alone = bits(Memory.of(z[4:5]))
    assert alone == tuple(part[16:20] for part in expected)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("with_student", [False, True])
def test_appraise(kind: Kind, with_student: bool) -> None:
    if kind == Kind.LOGISTIC and not with_student:
        with pytest.raises(ValueError, match="student"):
            cuda.appraise(Memory.of(np.zeros((2, 3), np.float32)), rule=Rule(Kind.LOGISTIC))
        return
    rng = np.random.default_rng(kind)
    rule = Rule(kind, 0.8, (0.1, 0.5, 0.75), (0.2, 0.5, 0.6, 0.9), (0.1, 0.8, 0.3, -0.5))
    for classes in (3, 40, 700):
        teacher = hard_rows(30, classes, rng).astype(np.float32)
        student = rng.normal(0, 2, (30, classes)).astype(np.float16) if with_student else None
        if student is not None:
            student[9, 1] = np.nan
        given = rng.random(30).astype(np.float32)
        expected = Points(np.empty(30, np.float32), np.empty(30, np.float32), np.empty(30, np.int32))
        bad = reference_score.appraise(teacher, student, rule, given, expected)
        arrays = (Memory.of(teacher), None if student is None else Memory.of(student))
        got = cuda.appraise(*arrays, rule, Memory.of(given))
        np.testing.assert_array_equal(got.label.numpy(), expected.label)
        np.testing.assert_allclose(got.gain.numpy(), expected.gain, atol=6 * 2.0**-24, rtol=0)
        np.testing.assert_allclose(got.correctness.numpy(), expected.correctness, atol=2e-6, rtol=0)
        grid = got.gain.numpy()[expected.label >= 0] * np.float64(2**24)
        np.testing.assert_array_equal(grid, np.round(grid))
        assert cuda.findings(got.status)[:2] == bad
        mask = np.zeros(30, bool)
        mask[[1, 12]] = True
        left = cuda.appraise(*arrays, rule, Memory.of(given), Memory.of(mask))
        assert cuda.findings(left.status).teacher.rows == bad[0][0] - 1
        np.testing.assert_array_equal(np.isnan(left.gain.numpy()), np.isnan(expected.gain) | mask)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [3, 10, 40, 130, 256])
def test_gain_of_the_label_and_the_likeliest_other_class(dtype: str, classes: int) -> None:
    """With a student of the teacher's classes, of other classes, and without one; ties, and all but the label out."""
    rng = np.random.default_rng(classes)
    teacher, student = (as_dtype(hard_rows(40, classes, rng), dtype) for _ in range(2))
    teacher[7:12] = student[7:12]  # the student's largest is the label
    minus = as_dtype(np.full((2, classes), -np.inf), dtype)
    minus[0, 0] = minus[1, 2] = as_dtype(np.ones(1), dtype)[0]
    teacher[20:22] = student[21:23] = student[24:26] = minus
    gains = rng.random(40).astype(np.float32)
    for beside in (None, student, student[:, : max(3, classes // 2)].copy()):
        alike = beside is not None and beside.shape == teacher.shape
        rule = Rule(gain=Gain.LABEL if alike else Gain.MARGIN)
        for given in (None, gains):
            expected = reference_score.empty_points(40, other=True)
            bad = reference_score.appraise(teacher, beside, rule, None, expected)
            arrays = (Memory.of(teacher, dtype=dtype), None if beside is None else Memory.of(beside, dtype=dtype))
            got = cuda.appraise(*arrays, rule, gains=None if given is None else Memory.of(given), others=True)
            want = expected.gain if given is None else np.where(np.isnan(expected.gain), np.nan, given)
            np.testing.assert_allclose(got.gain.numpy(), want, atol=6 * 2.0**-24, rtol=0)
            np.testing.assert_array_equal(got.label.numpy(), expected.label)
            np.testing.assert_array_equal(got.other.numpy(), expected.other)
            grid = got.gain.numpy()[expected.label >= 0] * np.float64(2**24)
            np.testing.assert_array_equal(grid, np.round(grid))
            found = cuda.findings(got.status)
            assert found[:2] == bad
            assert found.left_out == (expected.label < 0).sum()


def test_logistic_correctness_stays_within_its_bounds() -> None:
    rng = np.random.default_rng(0)
    teacher, student = (rng.normal(0, 4, (60, 5)).astype(np.float32) for _ in range(2))
    rule = Rule(Kind.LOGISTIC, weights=(0.5, 2.0, 1.0, 0.3), bounds=(0.1, 0.9))
    expected = reference_score.empty_points(60)
    reference_score.appraise(teacher, student, rule, None, expected)
    got = cuda.appraise(Memory.of(teacher), Memory.of(student), rule).correctness.numpy()
    # A margin near 1 has few digits of 1 - margin left in float32.
    np.testing.assert_allclose(got, expected.correctness, atol=1e-4, rtol=0)
    assert (got.min(), got.max()) == (np.float32(0.1), np.float32(0.9))


@pytest.mark.parametrize("with_student", [False, True])
def test_what_neighbours_agree_on_moves_the_logistic_rule(with_student: bool) -> None:
    rng = np.random.default_rng(2)
    teacher, student = (rng.normal(0, 2, (60, 5)).astype(np.float32) for _ in range(2))
    share = (rng.integers(0, 11, 60) / 10).astype(np.float32)
    rule = Rule(Kind.LOGISTIC, weights=(-0.2, 0.7, 0.4, 0.3), agreement=0.9)
    expected, beside = reference_score.empty_points(60), student if with_student else None
    reference_score.appraise(teacher, beside, rule, share, expected)
    there = Memory.of(student) if with_student else None
    got = cuda.appraise(Memory.of(teacher), there, rule, Memory.of(share))
    np.testing.assert_allclose(got.correctness.numpy(), expected.correctness, atol=1e-5, rtol=0)
    np.testing.assert_allclose(got.gain.numpy(), expected.gain, atol=6 * 2.0**-24, rtol=0)
    share[[4, 6]] = [np.nan, 1.5]
    assert cuda.findings(cuda.appraise(Memory.of(teacher), there, rule, Memory.of(share)).status).given == (2, 4)


def test_given_gains_outside_their_range_are_counted_and_left_out() -> None:
    gains = np.array([0.5, 1.5, np.nan, -0.1, 1.0], np.float32)
    points = cuda.appraise(Memory.of(np.eye(5, dtype=np.float32)), gains=Memory.of(gains))
    assert cuda.findings(points.status).gain == (3, 1)
    np.testing.assert_array_equal(points.gain.numpy(), [0.5, np.nan, np.nan, np.nan, 1.0])


def test_chunks_share_their_counts() -> None:
    z = hard_rows(40, 10, np.random.default_rng(0)).astype(np.float32)
    z[33, 2] = np.nan
    whole = cuda.appraise(Memory.of(z))
    first = cuda.appraise(Memory.of(z[5:25]))
    new = {
        name: Memory((15,), dtype)
        for name, dtype in (("gain", "float32"), ("correctness", "float32"), ("label", "int32"))
    }
    out = cuda.Points(**new, other=None, status=first.status)
    assert cuda.findings(first.status).teacher == (0, -1)
    cuda.appraise(Memory.of(z[25:]), out=out, first_row=25)
    assert cuda.findings(first.status).teacher == (1, 33)
    assert cuda.findings(whole.status).teacher == (4, 1)
    assert cuda.findings(cuda.score(Memory.of(z[25:]), first_row=25).status).teacher == (1, 33)


def test_given_correctness_outside_its_range_is_counted_and_left_out() -> None:
    given = np.array([0.5, 1.5, np.nan, -0.1, 1.0], np.float32)
    points = cuda.appraise(Memory.of(np.eye(5, dtype=np.float32)), rule=Rule(Kind.GIVEN), given=Memory.of(given))
    assert cuda.findings(points.status).given == (3, 1)
    np.testing.assert_array_equal(np.isnan(points.gain.numpy()), [False, True, True, True, False])


def points(kind: int, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    margin, correctness = {
        0: lambda: (rng.random(size), rng.random(size)),
        1: lambda: (rng.random(size) ** 4, np.clip(rng.normal(0.9, 0.1, size), 0, 1)),
        2: lambda: (1 - rng.random(size) ** 3, rng.beta(8, 2, size)),
        3: lambda: (np.round(rng.random(size) * 4) / 4, np.round(rng.random(size) * 4) / 4),
    }[kind]()
    return np.float32(1) - margin.astype(np.float32), correctness.astype(np.float32)


@pytest.mark.parametrize("size", [1, 5, 2048, 5000])
@pytest.mark.parametrize("kind", range(4))
def test_reduce(kind: int, size: int) -> None:
    rng = np.random.default_rng(size)
    gain, correctness = points(kind, size, rng)
    gain[::17] = np.nan
    for ends in ((0.2, 0.4, -0.3, 0.1), (0.5, 0.5, 0.1, 0.2), (0.1, 0.2, -0.4, -0.2)):
        box = reference_game.Box(*ends)
        sums, left_gain, left_correctness = reference_game.reduce(gain, correctness, box)
        got, left = cuda.DevicePool(Memory.of(gain), Memory.of(correctness)).reduce(box)
        assert got == sums
        assert left.size == len(left_gain)
        if left.size <= 0.7 * size:
            g, c = left.on_host()
            order, wanted = np.lexsort((c, g)), np.lexsort((left_correctness, left_gain))
            np.testing.assert_array_equal(g[order], left_gain[wanted])
            np.testing.assert_array_equal(c[order], left_correctness[wanted])


@pytest.mark.parametrize(
    ("kind", "size"), [(0, 1), (0, 700), (1, 3000), (3, 900), (0, 60_000), (1, 150_000), (2, 100_000)]
)
@pytest.mark.parametrize("share", [0.05, 0.6])
def test_select(kind: int, size: int, share: float) -> None:
    """From points to indices on the device: the host's equilibrium and the reference's indices."""
    rng = np.random.default_rng(size)
    gain, correctness = points(kind, size, rng)
    if size > 100:
        gain[rng.random(size) < 0.1] = np.nan
    valid = int((~np.isnan(gain)).sum())
    budget = max(1, int(share * valid))
    g, c = Memory.of(gain), Memory.of(correctness)
    for mistakes in (0.0, 0.03 * valid):
        host = solver.solve(cuda.DevicePool(g, c), budget, solver.on_grid(mistakes))
        solution = cuda.solve(g, c, budget, mistakes)
        answer = cuda.equilibrium(solution)
        assert answer is not None
        assert answer.value == pytest.approx(host.value, rel=1e-9, abs=1e-9)
        q = reference_game.probabilities(gain, correctness, answer)
        expected_q = reference_game.probabilities(gain, correctness, host)
        np.testing.assert_allclose(q, expected_q, rtol=2.0**-37, atol=2.0**-37)
        np.testing.assert_array_equal(cuda.probabilities(g, c, answer).numpy(), q)
        start = reference_sample.start(7, budget, size)
        expected, after = reference_sample.sample(gain, correctness, answer, start)
        assert len(expected) == budget
        np.testing.assert_array_equal(cuda.sample(g, c, solution, start, budget).numpy(), expected)
        indices, running = cuda.sample_part(g, c, answer, start, 10**12)
        np.testing.assert_array_equal(indices.numpy(), expected + 10**12)
        assert running == after
        assert cuda.mass(g, c, answer) == reference_sample.mass(gain, correctness, answer)


@pytest.mark.parametrize(
    ("kind", "size", "budget"), [(0, 700, 40), (3, 900, 500), (2, 16_000, 160), (0, 40_000, 400), (1, 60_000, 30_000)]
)
def test_a_cluster_of_blocks_finds_the_same_bits(kind: int, size: int, budget: int, emulated: ModuleType) -> None:
    gain, correctness = points(kind, size, np.random.default_rng(size))
    gain[::7] = np.nan
    g, c = Memory.of(gain), Memory.of(correctness)
    capability = ctypes.c_int.in_dll(ctypes.CDLL(str(emulated.__file__)), "emulated_capability")

    def solved() -> tuple[object, bytes]:
        solution = cuda.solve(g, c, budget, 0.01 * size)
        start = reference_sample.start(3, budget, size)
        return cuda.equilibrium(solution), cuda.sample(g, c, solution, start, budget).bytes()

    alone = solved()
    assert alone[0] is not None
    capability.value = 9
    try:
        assert solved() == alone
    finally:
        capability.value = 8


def test_mistakes_are_counted_in_the_unit_of_all_backends() -> None:
    """One point has 0.02 mistakes, which is no multiple of 2^-25."""
    teacher = np.array([[1.0, 0.5, -0.25]], np.float32)
    chosen = cuda.select(Memory.of(teacher), 1, reference_sample.start(0, 1, 1), 0.0, 0.02)
    got = cuda.read(chosen).equilibrium
    pool = cuda.DevicePool(chosen.points.gain, chosen.points.correctness)
    host, exact = (solver.solve(pool, 1, mistakes) for mistakes in (solver.on_grid(0.02), 0.02))
    assert got is not None
    assert got.value == pytest.approx(host.value, rel=1e-12)
    assert abs(exact.value - host.value) > 1e-9


def test_a_budget_far_below_the_mistakes_is_solved_on_the_device() -> None:
    """In a sample the budget is then some 20 points: where the first step is small, it is not yet near the answer."""
    rng = np.random.default_rng(9)
    gain, correctness = points(2, 60_000, rng)
    g, c = Memory.of(gain), Memory.of(correctness)
    answer = cuda.equilibrium(cuda.solve(g, c, 120, 0.02 * 60_000))
    assert answer is not None
    host = solver.solve(cuda.DevicePool(g, c), 120, 0.02 * 60_000)
    assert answer.value == pytest.approx(host.value, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("rows", [300, 50_000])
def test_whole_selection_with_mistakes_for_each_valid_point(rows: int) -> None:
    rng = np.random.default_rng(rows)
    teacher, student = (rng.normal(0, 4, (rows, 7)).astype(np.float32) for _ in range(2))
    teacher[[3, 9]] = np.nan
    student[7, 2] = np.inf
    exclude = rng.random(rows) < 0.2
    exclude[[3, 7, 9]] = [True, False, False]
    budget, valid = rows // 10, int((~exclude).sum()) - 2
    start = reference_sample.start(1, budget, rows)
    arrays = {"student": Memory.of(student), "exclude": Memory.of(exclude)}
    chosen = cuda.select(Memory.of(teacher), budget, start, 2.0, 0.05, **arrays)
    account = cuda.read(chosen)
    assert account.findings[:2] == ((1, 9), (1, 7))
    assert (account.findings.left_out, account.valid, account.outcome) == (2, valid, "solved")
    gain, correctness = chosen.points.gain.numpy(), chosen.points.correctness.numpy()
    pool = cuda.DevicePool(chosen.points.gain, chosen.points.correctness)
    host = solver.solve(pool, budget, solver.on_grid(2.0 + 0.05 * valid))
    assert account.equilibrium is not None
    assert account.equilibrium[:3] == host[:3]
    expected, _ = reference_sample.sample(gain, correctness, host, start)
    np.testing.assert_array_equal(chosen.indices.numpy(), expected)
    too_much = cuda.select(Memory.of(teacher), valid + 1, start, 2.0, 0.05, **arrays)
    assert cuda.read(too_much).outcome == "few"
    assert cuda.read(too_much).valid == valid


def test_points_of_a_selection_stay_as_long_as_one_of_their_arrays() -> None:
    """They are in one piece of memory; the logits are not kept for them."""
    logits = Memory.of(np.random.default_rng(0).normal(size=(301, 3)).astype(np.float32))
    gone = weakref.ref(logits)
    chosen = cuda.select(logits, 30, reference_sample.start(0, 30, 301), 1.0)
    status, points, indices = cuda.read(chosen).outcome, chosen.points, chosen.indices.numpy()
    del logits
    assert status == "solved"
    assert gone() is None
    gain, label = points.gain, points.label
    assert all(field.address % 256 == points.memory.address % 256 for field in (gain, points.correctness, label))
    whole, before = weakref.ref(points.memory), label.numpy()
    del points, chosen, gain
    gc.collect()
    assert whole() is not None
    np.testing.assert_array_equal(label.numpy(), before)
    assert set(before[indices]) <= {0, 1, 2}
    del label
    assert whole() is None


def test_points_that_are_alike_are_left_to_the_host() -> None:
    """A pool that no box makes smaller ends in None, never in a wrong answer."""
    gain, correctness = points(3, 300_000, np.random.default_rng(0))
    g, c = Memory.of(gain), Memory.of(correctness)
    assert cuda.equilibrium(cuda.solve(g, c, 150_000, 15_000.0)) is None
    assert solver.solve(cuda.DevicePool(g, c), 150_000, 15_000.0).price > 0


def test_addresses_and_numbers_are_checked(on_emulator: ModuleType) -> None:
    module = on_emulator
    with pytest.raises(ValueError, match="gain: expected an address"):
        module.solve(0, 64, 10, 5, 1.0, 0.0, 64, 1 << 20, 64, 0, 0)
    with pytest.raises(ValueError, match="budget: expected 1 to"):
        module.solve(64, 64, 10, 11, 1.0, 0.0, 64, 1 << 20, 64, 0, 0)
    with pytest.raises(ValueError, match="workspace: smaller"):
        module.solve(64, 64, 10, 5, 1.0, 0.0, 64, 1, 64, 0, 0)
    with pytest.raises(ValueError, match="classes: expected 2"):
        module.score((64, 1, 1, 1, 1), 4, 0, 0, 64, 64, 64, 0, 64, 0, 0)
    whole = (1, 1.0, 0, 0, 0, 0, (0.0,) * 4, (0.0, 1.0), 1, 0, ())
    logits = (64, 1, 300, 300, 1)
    with pytest.raises(ValueError, match="student: expected logits, which the gain of the label"):
        module.appraise(logits, None, 1, 0, whole, 0, 64, 64, 64, 0, 64, False, 0, 0.0, 0, 0)
    with pytest.raises(ValueError, match="other: expected 0 where"):
        module.appraise(logits, logits, 1, 0, whole, 0, 64, 64, 64, 64, 64, False, 0, 0.0, 0, 0)
    with pytest.raises(ValueError, match="multiple of 4"):
        module.score((66, 1, 3, 3, 1), 4, 0, 0, 64, 64, 64, 0, 64, 0, 0)
    of_rows = ((64, 1, 3, 3, 1), None, 4, (0, *whole[1:8], 0, 0, ()), 0, 64, 64, 64)
    for account, indices, refused in ((0, 64, "account"), (64, 0, "indices")):
        with pytest.raises(ValueError, match=f"{refused}: expected an address"):
            module.select(*of_rows, account, 2, 0, 1.0, 0.0, 64, 1 << 20, indices, 0, 0.0, 0, 0)
    with pytest.raises(ValueError, match="share: expected"):
        module.probabilities(64, 64, 1, (0.5, 0.5, float("nan")), 64, 0, 0)
