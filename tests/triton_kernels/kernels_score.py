"""Scoring kernels against the reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cases import DEVICE, DTYPES, EVERY, given_labels, host, logits, on_device, some

from rad_fast.kernels.reference import score as reference
from rad_fast.kernels.reference.score import Findings, Gain, Invalid, Kind, Rule, empty_points
from rad_fast.kernels.triton import score as kernels

pytestmark = pytest.mark.usefixtures("few_looks")

TOLERANCE = 2e-6  # the interpreter adds float32 one after the other


def assert_scores(z: torch.Tensor, given: torch.Tensor | None = None) -> kernels.Scores:
    before = z.clone()
    if given is None and not EVERY:  # with labels or without them is another kernel
        given = given_labels(z)
    got = kernels.score(z, given)
    want = reference.score(host(z), None if given is None else host(given))
    assert np.array_equal(host(got.label), want.label)
    pairs = [(got.margin, want.margin), (got.confidence, want.confidence)]
    if given is not None and got.given_probability is not None and want.given_probability is not None:
        pairs.append((got.given_probability, want.given_probability))
    for mine, theirs in pairs:
        np.testing.assert_allclose(host(mine), theirs, atol=TOLERANCE, rtol=0, equal_nan=True)
    bad = reference.invalid(want.label < 0)
    assert kernels.findings(got.status) == Findings(bad, left_out=bad.rows)
    assert torch.equal(z.contiguous().view(torch.uint8), before.contiguous().view(torch.uint8)), "the input was changed"
    return got


@pytest.mark.parametrize("classes", some([*range(1, 41), 63, 64, 65, 100, 1000, 4097], [10]))
def test_scores_equal_the_references(classes: int) -> None:
    for seed, dtype in enumerate(some(DTYPES, [torch.bfloat16])):  # of the other shapes tests/gpu has some
        z = logits(150 if classes < 2000 else 5, classes, dtype, seed)
        assert_scores(z, given_labels(z, seed))


@pytest.mark.parametrize("dtype", some(DTYPES, []))  # on a GPU tests/gpu has such rows
def test_long_rows_are_streamed(dtype: torch.dtype) -> None:
    for classes in (16385, 32768):
        z = logits(4, classes, dtype)
        z[1, 3] = z[1, classes - 1] = 60  # a tie between the first block and the last
        z[2, :] = -float("inf")
        z[2, classes - 2] = -5
        z[3, :20000] = -float("inf")
        assert_scores(z, on_device([3, classes - 1, classes - 2, 5], torch.int32))


@pytest.mark.parametrize("classes", some([2, 10, 100, 1000, 20000], [10]))
@pytest.mark.parametrize("dtype", some(DTYPES, [torch.bfloat16]))
def test_invalid_rows_are_found_wherever_the_number_is(classes: int, dtype: torch.dtype) -> None:
    bad = [float("nan"), float("inf")]
    places = sorted({0, 1, classes // 2, classes - 2, classes - 1})
    z = logits(3 + 2 * len(places), classes, dtype)
    row = 2  # the first two and the last are fine
    for place in places:
        for number in bad:
            z[row, place] = number
            row += 1
    z[2] = -float("inf")  # nothing finite
    assert_scores(z)
    z[1, :] = float("nan")
    assert_scores(z[:2])


@pytest.mark.parametrize("classes", some([3, 100, 17000], [10]))
def test_a_row_with_one_finite_number_is_sure(classes: int) -> None:
    dtype = some([torch.float32], [torch.bfloat16])[0]
    z = torch.full((2, classes), -float("inf"), dtype=dtype, device=DEVICE)
    z[0, 1] = -3e38
    z[1, classes - 1] = torch.finfo(dtype).min
    assert assert_scores(z).margin.tolist() == [1, 1]


def test_any_strides_are_read() -> None:
    for dtype in some(DTYPES, [torch.bfloat16]):
        wide = logits(40, 130, dtype)
        views = (
            wide[:, :100],
            wide[:, 1:11],
            wide[::3, :10],
            wide[3:, 5:130:5],
            wide.T[:, :33],
            wide[:1].expand(7, 130),
        )
        for view in some(views, [wide[1:21, :10].contiguous()]):  # on a GPU tests/gpu has the others
            assert_scores(view)


def test_a_base_off_16_bytes_and_no_rows() -> None:
    flat = logits(1, 1001, torch.bfloat16)[0]
    for view in some([flat[1:].view(100, 10), flat[1:].view(1, 1000)], []):
        assert_scores(view)
    none = kernels.score(torch.empty((0, 10), device=DEVICE))
    assert len(none.label) == 0
    assert kernels.findings(none.status) == Findings()


RULES = [
    Rule(),
    Rule(Kind.CONSTANT, constant=0.75),
    Rule(Kind.GIVEN),
    Rule(Kind.STEPS, steps=(0.1, 0.25, 0.25, 0.6, 0.9), levels=(0.2, 0.4, 0.5, 0.6, 0.8, 0.95)),
    Rule(Kind.STEPS, steps=(), levels=(0.5,)),
    Rule(Kind.STEPS, steps=tuple(np.linspace(0, 1, 130)), levels=tuple(np.linspace(0, 1, 131))),
    Rule(Kind.LOGISTIC, weights=(0.3, 0.6, 0.2, -1.5)),
    Rule(Kind.LOGISTIC, weights=(0.3, 0.6, 0.2, -1.5), bounds=(0.3, 0.8), gain=Gain.LABEL),
    Rule(gain=Gain.LABEL),
]


@pytest.mark.parametrize("rule", some(RULES, [RULES[6]]), ids=lambda rule: f"{rule.kind.name} {rule.gain.name}".lower())
@pytest.mark.parametrize("classes", some([10, 100, 16500], [10]))
def test_points_equal_the_references(rule: Rule, classes: int) -> None:
    rows = 200 if classes < 1000 else 6
    (of_teacher, of_student), more = some([(DTYPES[:2], 3)], [(DTYPES[1:2] * 2, 0)])[0]
    teacher, student = logits(rows, classes, of_teacher, 1), logits(rows, classes + more, of_student, 2, 1.0)
    teacher[2, 1] = float("nan")
    student[4, classes + more - 3] = float("inf")
    random = np.random.default_rng(0)
    given = on_device(random.random(rows).astype(np.float32)) if rule.kind == Kind.GIVEN else None
    exclude = on_device(random.random(rows) < 0.3)
    exclude[2], exclude[4] = False, False
    # Each with what is excluded or without it, the other way round in the kernel of another length.
    masks = (exclude, None) if classes == 100 else (None, exclude)
    for beside, mask in zip((student, None) if rule.kind != Kind.LOGISTIC else (student,), masks, strict=False):
        want = empty_points(rows)
        values = None if given is None else host(given)
        beside_numpy = None if beside is None else host(beside)
        bad = reference.appraise(host(teacher), beside_numpy, rule, values, want)
        got = kernels.appraise(teacher, beside, rule, given, mask)
        gain = want.gain.copy()
        if mask is not None:
            gain[host(mask)] = np.nan
        assert np.array_equal(host(got.label), want.label)
        np.testing.assert_allclose(host(got.gain), gain, atol=TOLERANCE, rtol=0, equal_nan=True)
        margin = reference.score(host(teacher)).margin
        sure = np.full(rows, True)
        for step in rule.steps:  # a margin on a step may fall on either side of it
            sure &= ~(np.abs(margin - step) < TOLERANCE)
        tolerance = 1e-4 if rule.kind == Kind.LOGISTIC else TOLERANCE
        np.testing.assert_allclose(
            host(got.correctness)[sure], want.correctness[sure], atol=tolerance, rtol=0, equal_nan=True
        )
        left_out = int(np.count_nonzero(want.label < 0))
        assert kernels.findings(got.status)[:5] == Findings(*bad, left_out=left_out)[:5]
        on_grid = host(got.gain).astype(np.float64) * 2**24
        assert np.array_equal(on_grid[~np.isnan(on_grid)], np.round(on_grid[~np.isnan(on_grid)]))


def test_what_neighbours_agree_on_is_part_of_correctness() -> None:
    dtype, classes, gain = some([(torch.float32, 13, Gain.LABEL)], [(torch.bfloat16, 10, Gain.MARGIN)])[0]
    teacher, student = logits(200, 10, dtype, 1), logits(200, classes, torch.bfloat16, 2, 1.0)
    share = np.random.default_rng(0).integers(0, 11, 200).astype(np.float32) / np.float32(10)
    rule = Rule(Kind.LOGISTIC, weights=(0.3, 0.6, 0.2, -1.5), bounds=(0.3, 0.9), gain=gain, agreement=0.7)
    for beside in some((None, student), (student,)):
        want = empty_points(200)
        reference.appraise(host(teacher), None if beside is None else host(beside), rule, share, want)
        got = kernels.appraise(teacher, beside, rule, on_device(share))
        np.testing.assert_allclose(host(got.correctness), want.correctness, atol=1e-4, rtol=0)
        np.testing.assert_allclose(host(got.gain), want.gain, atol=TOLERANCE, rtol=0)
        wrong = on_device(np.where(np.isin(np.arange(200), (7, 9)), np.float32(np.nan), share))
        got = kernels.appraise(teacher, beside, rule, wrong)
        assert kernels.findings(got.status).given == Invalid(2, 7)
        assert torch.isnan(got.gain).nonzero()[:, 0].tolist() == [7, 9]  # what is wrong does not reach the game


@pytest.mark.parametrize("classes", some([3, 10, 100, 129, 256], [10]))  # a thread a row, and a row over several
@pytest.mark.parametrize("whose", some(["own", "teachers", "none but"], ["teachers"]))
def test_the_likeliest_other_class_is_the_references(classes: int, whose: str) -> None:
    rows = 300
    teacher = logits(rows, classes, torch.bfloat16, 1, 1.0)  # of few bits: second places are shared, too
    student = None
    if whose != "own":
        dtype = some([torch.float32], [torch.bfloat16])[0]
        student = logits(rows, classes - (whose == "none but"), dtype, 2, 1.0).round()
    for z in (teacher,) if student is None else (teacher, student):
        z[3] = -float("inf")
        z[3, 0] = 1  # all others are ruled out: the lowest of them is class 1
        z[6] = -float("inf")
        z[6, z.shape[1] - 1] = 1  # and here class 0
        z[9] = -float("inf")
        z[12, 1] = float("nan")
    want = empty_points(rows, other=True)
    beside = None if student is None else host(student)
    rule = some([Rule()], [Rule(gain=Gain.LABEL)])[0]
    reference.appraise(host(teacher), beside, rule, None, want)
    got = kernels.appraise(teacher, student, rule, others=True)
    assert got.other is not None
    assert np.array_equal(host(got.other), want.other)
    assert np.array_equal(host(got.label), want.label)


def test_given_gains_stand_where_rows_are_valid() -> None:
    rows = 100
    teacher, student = logits(rows, 10, torch.bfloat16, 1), logits(rows, 10, torch.float32, 2)
    teacher[5, 1], student[8] = float("nan"), -float("inf")
    gains = torch.randint(0, 1 << 24, (rows,), device=DEVICE).to(torch.float32) / (1 << 24)
    exclude = torch.zeros(rows, dtype=torch.bool, device=DEVICE)
    exclude[3] = True
    for beside in some((student, None), (student,)):
        rule = Rule(gain=Gain.LABEL)
        got = kernels.appraise(teacher, beside, rule, exclude=exclude, gains=gains, others=not EVERY).gain
        out = torch.isnan(got).nonzero()[:, 0].tolist()
        assert out == ([3, 5, 8] if beside is not None else [3, 5])
        kept = ~torch.isnan(got)
        assert torch.equal(got[kept], gains[kept])


def test_given_numbers_outside_0_to_1_are_counted_and_gains_come_to_the_grid() -> None:
    z = logits(40, 10, torch.float32)
    gains, correctness = torch.rand((2, 40), device=DEVICE) * 0.25
    gains[[4, 9, 11]] = on_device(np.array([1.5, np.nan, -0.1], np.float32))
    correctness[[5, 11]] = on_device(np.array([np.nan, 1.1], np.float32))
    exclude = torch.zeros(40, dtype=torch.bool, device=DEVICE)
    exclude[4] = True
    got = kernels.appraise(z, None, Rule(Kind.GIVEN), correctness, exclude, gains)
    assert kernels.findings(got.status)[:5] == Findings(given=Invalid(2, 5), gain=Invalid(2, 9))[:5]
    want = np.floor(host(gains).astype(np.float64) * 2**24 + 0.5) * 2**-24
    want[[4, 5, 9, 11]] = np.nan  # what is wrong does not reach the game
    assert np.array_equal(host(got.gain), want.astype(np.float32), equal_nan=True)


def test_excluded_rows_are_not_counted_as_invalid() -> None:
    z = logits(50, 10, torch.bfloat16)
    z[7], z[9] = float("nan"), float("nan")
    exclude = torch.zeros(50, dtype=torch.bool, device=DEVICE)
    exclude[7] = True
    assert kernels.findings(kernels.appraise(z, exclude=exclude).status).teacher == (1, 9)


def test_chunks_share_their_counts_and_write_in_place() -> None:
    z = logits(300, 10, torch.bfloat16)
    z[150], z[299] = float("nan"), float("inf")
    whole = kernels.appraise(z)
    gain, correctness = torch.empty((2, 300), device=DEVICE)
    label, status = torch.empty(300, dtype=torch.int32, device=DEVICE), kernels.new_status(z.device)
    for start in range(0, 300, 64):
        part = slice(start, start + 64)
        out = kernels.Points(gain[part], correctness[part], label[part], None, status)
        kernels.appraise(z[part], out=out, first_row=start)
    assert torch.equal(label, whole.label)
    assert torch.equal(gain.view(torch.int32), whole.gain.view(torch.int32))
    counted = Findings(Invalid(2, 150), left_out=2)[:5]
    assert kernels.findings(status)[:5] == kernels.findings(whole.status)[:5] == counted


AGREED = Rule(Kind.LOGISTIC, agreement=0.5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"teacher": torch.zeros(3)}, ValueError, r"logits: expected a tensor of shape \(points, classes\)"),
        ({"teacher": torch.zeros(3, 0)}, ValueError, "logits: expected a tensor of shape"),
        ({"teacher": torch.zeros(3, 2, dtype=torch.int32)}, TypeError, "logits: expected float64, float32, float16"),
        ({"teacher": torch.zeros(3, 2), "student": torch.zeros(4, 2)}, ValueError, "student_logits: expected 3 rows"),
        ({"teacher": torch.zeros(3, 2), "rule": Rule(Kind.LOGISTIC)}, ValueError, "student_logits: this Calibrator"),
        ({"teacher": torch.zeros(3, 2), "rule": Rule(Kind.GIVEN)}, ValueError, "correctness: expected one number"),
        ({"teacher": torch.zeros(3, 2), "rule": AGREED}, ValueError, "agreement: expected one number"),
        ({"teacher": torch.zeros(3, 2), "exclude": torch.zeros(3)}, ValueError, "exclude: expected torch.bool"),
        ({"teacher": torch.zeros(3, 2), "gains": torch.zeros(2)}, ValueError, "gain: expected torch.float32"),
        ({"teacher": torch.zeros(3, 257), "others": True}, ValueError, "others: it takes one byte"),
    ],
)
def test_what_cannot_be_is_said(arguments: dict[str, object], error: type[Exception], message: str) -> None:
    moved = {name: value.to(DEVICE) if isinstance(value, torch.Tensor) else value for name, value in arguments.items()}
    with pytest.raises(error, match=message):
        kernels.appraise(**moved)  # type: ignore[arg-type]
