"""A game a class and the sample along keys in CUDA, on the emulator, against the reference and the host's solver."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest

from rad_fast.device import cuda, cuda_classes
from rad_fast.device.arrays import Memory, described
from rad_fast.device.backends import backend
from rad_fast.game.quotas import ClassPools, Shares, solve_by_class
from rad_fast.game.solver import on_grid
from rad_fast.kernels.reference import quotas as reference_quotas
from rad_fast.kernels.reference import sample as reference_sample
from rad_fast.kernels.reference.game import Equilibria, class_counts
from rad_fast.kernels.reference.score import Points

pytestmark = pytest.mark.usefixtures("on_emulator")

BACKEND = backend("auto")


class Case(NamedTuple):
    """Points, and how they are shared out."""

    points: Points
    others: int
    classes: int
    quotas: np.ndarray
    mistakes: float
    budget: int

    def on_device(self) -> cuda.Points:
        fields = [Memory.of(field) for field in self.points if field is not None]
        other = fields[3] if self.points.other is not None else None
        return cuda.Points(*fields[:3], other, cuda.new_account(described("gain", fields[0])))


def case(
    seed: int, rows: int, classes: int, others: int, share: float, mistakes: float = 0.03, weights: str = "root"
) -> Case:
    rng = np.random.default_rng(seed)
    margin = rng.random(rows) ** rng.choice([0.5, 1, 4])
    if seed % 4 == 3:
        margin = np.round(margin * 16) / 16  # ties
    gain = np.float32(1) - margin.astype(np.float32)
    correctness = np.clip(rng.normal(0.85, 0.15, rows), 0, 1).astype(np.float32)
    label = np.minimum(rng.geometric(min(0.9, 3 / classes), rows) - 1, classes - 1).astype(np.int32)
    out = rng.random(rows) < 0.1
    gain[out] = np.nan
    label[out & (rng.random(rows) < 0.5)] = -1
    other = rng.integers(0, others, rows).astype(np.uint8) if others > 1 else None
    points = Points(gain, correctness, label, other)
    counts = class_counts(gain, correctness, label, classes)[0]
    budget = max(1, int(share * counts.sum()))
    of = {"root": np.sqrt(counts), "some": np.where(np.arange(classes) % 3 == 0, 1.0, 0.0), "all": counts * 1.0}[
        weights
    ]
    if not of[counts > 0].any():
        of = np.ones(classes)
    quotas = reference_quotas.quotas(of, counts, np.zeros(classes, np.int64), budget)
    return Case(points, others, classes, quotas, mistakes * counts.sum(), budget)


def on_host(given: Case) -> tuple[Any, np.ndarray]:
    counts = class_counts(*given.points[:3], given.classes)[0]
    found = Shares(given.quotas, given.quotas, counts, np.zeros_like(counts))
    answers = solve_by_class(ClassPools([given.points], given.classes, BACKEND, counts), found, given.mistakes)
    running = reference_sample.start(5, given.budget, len(given.points.gain))
    return answers, along_keys(given, answers, running)


def along_keys(given: Case, answers: Any, running: int) -> np.ndarray:
    """The reference's indices."""
    masses = reference_sample.mass_by_key(given.points, answers, given.others)
    starts = reference_sample.running_by_key(masses, masses[0], np.zeros_like(masses[0]), running)
    return reference_sample.sample_by_key(given.points, answers, given.others, starts)


def drawn(given: Case) -> cuda_classes.Drawn:
    points = given.on_device()
    counts = class_counts(*given.points[:3], given.classes)[0]
    each = np.array([on_grid(given.mistakes * int(n) / int(counts.sum())) for n in counts])
    running = reference_sample.start(5, given.budget, len(given.points.gain))
    return cuda_classes.select_by_class(points, counts, given.quotas, each, given.others, running, given.budget)


CASES = [
    case(0, 3000, 10, 10, 0.03),
    case(1, 3000, 10, 10, 0.6),
    case(2, 3000, 300, 1, 0.05),
    case(3, 3000, 7, 7, 0.1),
    case(4, 700, 5, 5, 1.0),  # all of them
    case(5, 3000, 2000, 1, 0.02),  # more classes than budget
    case(6, 3000, 10, 4, 0.1, 0.0),  # no adversary
    case(7, 3000, 10, 10, 0.1, 0.03, "some"),  # classes without a quota
    case(8, 2000, 5000, 1, 0.05),
    case(13, 18_000, 5000, 1, 0.05, 0.03, "some"),  # of so many classes some play alone
    case(17, 40_000, 5000, 1, 0.05, 0.03, "all"),  # the same, some of them with a box
    case(18, 20_000, 200, 1, 0.05),  # no box, and points that several blocks bring together
    case(9, 5000, 100, 100, 0.02),  # two digits of keys
    case(11, 17_000, 100, 100, 0.02),  # the same, more points than one block brings into order
    case(10, 60_000, 2, 1, 0.05),  # classes that have a box
    case(12, 70_000, 3, 3, 0.3, 0.01, "all"),
    case(14, 60_000, 2, 1, 0.02, 0.0),
    case(16, 1, 3, 3, 1.0),
]


def called(given: Case) -> str:
    return f"{len(given.points.gain)} x {given.classes}, {given.budget}"


@pytest.mark.parametrize("given", CASES, ids=called)
def test_equilibria_and_indices_are_the_references(given: Case) -> None:
    answers, indices = on_host(given)
    got = drawn(given)
    mine, settled, count = cuda_classes.read_by_class(got)
    assert settled.all(), np.flatnonzero(~settled)
    counts = class_counts(*given.points[:3], given.classes)[0]
    if got.played is not None:  # of many classes those that have a quota
        np.testing.assert_array_equal(got.played, np.flatnonzero(given.quotas))
        counts = counts[got.played]
    numbers = np.frombuffer(got.account.bytes(), count=6 * len(counts)).reshape(6, -1)
    large = counts > cuda_classes.kernels().class_games_direct
    assert (numbers[5][large] < counts[large] / 2).all()  # the boxes decide the others
    # Where a class's quota is all that its points hold, several prices and thresholds stand for the same probabilities.
    q = reference_sample.class_probabilities(given.points, mine)
    np.testing.assert_array_equal(q, reference_sample.class_probabilities(given.points, answers))
    np.testing.assert_allclose(mine.value, answers.value, rtol=1e-9, atol=1e-9)
    assert count == given.budget
    np.testing.assert_array_equal(got.indices.numpy(), indices)


@pytest.mark.parametrize("levels", [9, 4])  # ties of a ninth of the points, and of more than there is room for
def test_what_a_first_box_leaves_is_given_a_second(levels: int) -> None:
    rng = np.random.default_rng(levels)
    rows = 200_000 if levels == 9 else 100_000
    gain = (np.round(rng.integers(1, levels + 1, rows) / levels * 2**24) / 2**24).astype(np.float32)
    label = (rng.random(rows) < 0.1).astype(np.int32)
    points = Points(gain, np.full(rows, 0.9, np.float32), label, None)
    quotas = np.floor(
        np.bincount(label) * 1.5 / levels
    )  # with no adversary, all of the best level and half of the next
    given = Case(points, 1, 2, quotas, 0.0, int(quotas.sum()))
    answers, indices = on_host(given)
    got = drawn(given)
    mine, settled, count = cuda_classes.read_by_class(got)
    assert settled.all()
    left = np.frombuffer(got.account.bytes(), count=12).reshape(6, 2)[5]
    assert left[0] > cuda_classes.kernels().class_games_direct
    np.testing.assert_allclose(mine.value, answers.value, rtol=1e-9)
    assert count == given.budget
    np.testing.assert_array_equal(got.indices.numpy(), indices)


@pytest.mark.parametrize(
    ("rows", "classes", "others"),
    # Keys of three digits, of one, of one bit; up to 16,384 points by one block, and by many.
    [(3000, 70_000, 1), (17_000, 70_000, 1), (70_000, 12, 12), (16_384, 12, 12), (40, 2, 1), (1, 2, 1)],
)
def test_a_sample_under_given_equilibria_is_the_references(rows: int, classes: int, others: int) -> None:
    rng = np.random.default_rng(rows)
    gain = (rng.integers(0, 2**24 + 1, rows) / 2**24).astype(np.float32)
    other = rng.integers(0, others, rows).astype(np.uint8) if others > 1 else None
    label = rng.integers(0, classes, rows).astype(np.int32)
    points = Points(gain, rng.random(rows).astype(np.float32), label, other)
    given = Case(points, others, classes, np.empty(0), 0.0, 1)
    answers = Equilibria(rng.random(classes), rng.normal(0, 0.2, classes), rng.random(classes), np.zeros(classes))
    running = reference_sample.start(1, 1, rows)
    expected = along_keys(given, answers, running)
    got = cuda_classes.sample_by_class(given.on_device(), answers, others, running, rows).numpy()
    np.testing.assert_array_equal(got[: len(expected)], expected)
    q = cuda_classes.class_probabilities(given.on_device(), answers).numpy()
    np.testing.assert_array_equal(q, reference_sample.class_probabilities(points, answers))


@pytest.mark.parametrize("classes", [2, 300, 5000])  # counted in shared memory, and where it is too small for them
def test_points_are_counted_by_class(classes: int) -> None:
    rng = np.random.default_rng(classes)
    z = rng.normal(0, 4, (700, classes)).astype(np.float32)
    z[5] = np.nan
    mask = rng.random(700) < 0.2
    mask[5] = False
    points = cuda.appraise(Memory.of(z), exclude=Memory.of(mask))
    findings, (playing, positive), chosen = cuda_classes.tally(points, classes, Memory.of(mask))
    label = points.label.numpy()
    assert (findings.teacher, findings.left_out) == ((1, 5), 1)
    np.testing.assert_array_equal(playing, np.bincount(label[~mask & (label >= 0)], minlength=classes))
    gain, correctness = points.gain.numpy(), points.correctness.numpy()
    assert 0 < positive.sum() < playing.sum()
    np.testing.assert_array_equal(positive, class_counts(gain, correctness, label, classes)[1])
    np.testing.assert_array_equal(chosen, np.bincount(label[mask], minlength=classes))
    assert not cuda_classes.tally(points, classes)[2].any()


def test_addresses_and_numbers_of_classes_are_checked(on_emulator: ModuleType) -> None:
    points = (64, 64, 64, 0, 10, 3, 1)
    with pytest.raises(ValueError, match="points: expected at most 2"):
        on_emulator.count_classes((64, 64, 64, 0, 2**33, 3, 1), 0, 64, 64, 0, 0)
    with pytest.raises(ValueError, match="label: expected an address"):
        on_emulator.count_classes((64, 64, 0, 0, 10, 3, 1), 0, 64, 64, 0, 0)
    with pytest.raises(ValueError, match="others: expected 1 to 256"):
        on_emulator.count_classes((64, 64, 64, 64, 10, 3, 300), 0, 64, 64, 0, 0)
    three = np.array([4, 3, 3]), np.ones(3), np.zeros(3)
    with pytest.raises(ValueError, match="workspace: expected the bytes of select_by_class_workspace, got 1"):
        on_emulator.select_by_class(points, *three, 0, 64, 3, 64, 1, 0, 0)
    room = on_emulator.select_by_class_workspace(10, 3)
    for counts in ([4, 3, 4], [-1, 3, 3], [11, 0, 0]):
        with pytest.raises(ValueError, match="counts: expected no more than the points in all"):
            on_emulator.select_by_class(points, np.array(counts), *three[1:], 0, 64, 3, 64, room, 0, 0)
    with pytest.raises(ValueError, match="counts, quotas and mistakes: expected 3 numbers each, got 2"):
        on_emulator.select_by_class(points, *three[:2], np.zeros(2), 0, 64, 3, 64, room, 0, 0)
    for function in (on_emulator.class_answers, on_emulator.class_counts):
        with pytest.raises(ValueError, match="account: expected"):
            function(bytes(100), 3)
    with pytest.raises(ValueError, match="workspace: smaller"):
        on_emulator.sample_by_class(points, 64, 0, 64, 1, 64, 1, 64, 0, 0)
