"""Points by key, a game a class and the sample along the keys: the reference's, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cases import DEVICE, KINDS, host, on_device, points

from rad_fast.device.backends import Kernels
from rad_fast.game import solver
from rad_fast.game.pool import ArrayPool
from rad_fast.kernels.reference import game as reference
from rad_fast.kernels.reference import sample as reference_sample
from rad_fast.kernels.reference.game import NOTHING, Equilibria
from rad_fast.kernels.reference.score import Findings, Points
from rad_fast.kernels.triton import by_class, keys, score
from rad_fast.kernels.triton.equilibrium import usual_shape


def made(random: np.random.Generator, sizes: list[int], others: int) -> Points:
    """Points of classes of such sizes, each of a kind of its own, in any order; some are left out."""
    parts = [points(random, size, k % KINDS) for k, size in enumerate(sizes)]
    label = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    order = random.permutation(len(label))
    gain, correctness = (np.concatenate(fields)[order] for fields in zip(*parts, strict=True))
    label = label[order]
    gain[random.random(len(label)) < 0.1] = np.nan
    invalid = random.random(len(label)) < 0.05
    gain[invalid], label[invalid] = np.nan, -1
    other = random.integers(0, others, len(label)).astype(np.uint8)
    return Points(gain, correctness, label, other if others > 1 else None)


def there(mine: Points) -> score.Points:
    gain, correctness, label, other = (None if field is None else on_device(field) for field in mine)
    assert gain is not None
    assert correctness is not None
    assert label is not None
    return score.Points(gain, correctness, label, other, torch.zeros(1, device=DEVICE))


@pytest.mark.parametrize(
    ("sizes", "others"),
    [
        ([700, 0, 1, 2500, 40], 1),
        ([300, 900, 0, 30], 200),  # more keys than points of a block
        ([1, 0], 1),
        ([2] * 5000, 1),  # most classes that are here
    ],
)
def test_points_are_counted_and_brought_together_in_their_order(sizes: list[int], others: int) -> None:
    mine = made(np.random.default_rng(len(sizes)), sizes, others)
    keyed = keys.count(there(mine), len(sizes), others)
    counts = reference.class_counts(*mine[:3], len(sizes))[0]
    assert np.array_equal(host(keyed.counts()), counts)
    total = int(counts.sum())
    valid = np.flatnonzero(~np.isnan(mine.gain))
    order = valid[np.argsort(reference_sample.keys(mine, others)[valid], kind="stable")]
    assert np.array_equal(host(keyed.order(total)), order)
    gain, correctness, starts = keyed.pairs(counts)
    assert (starts % 4 == 0).all()
    places = np.arange(total) + np.repeat(starts - (np.cumsum(counts) - counts), counts)
    assert np.array_equal(host(gain)[places], mine.gain[order])
    assert np.array_equal(host(correctness)[places], mine.correctness[order])


def wanted(mine: Points, counts: np.ndarray, quotas: np.ndarray, mistakes: np.ndarray) -> Equilibria:
    """Each class's equilibrium by the host's solver on the reference's kernels."""
    answers = [NOTHING] * len(quotas)
    for k in np.flatnonzero(quotas):
        here = mine.label == k
        pool = ArrayPool([(mine.gain[here], mine.correctness[here])], Kernels("reference"))
        answers[k] = solver.solve(pool, float(quotas[k]), float(mistakes[k]))
    return Equilibria(*np.array(answers).T.copy())


def games(random: np.random.Generator, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quotas in multiples of 2^-24, whole ones among them, and mistakes of each class."""
    quotas = np.floor(random.random(len(counts)) * counts * 2.0**24) * 2.0**-24
    whole = random.random(len(counts)) < 0.4
    quotas[whole] = np.ceil(quotas[whole])
    quotas[random.random(len(counts)) < 0.1] = 0
    choices = np.array(
        [np.zeros(len(counts)), random.random(len(counts)) * counts, 3.0 * counts, np.full(len(counts), 0.3)]
    )
    mistakes = choices[random.integers(0, 4, len(counts)), np.arange(len(counts))]
    return np.minimum(quotas, counts), np.array([solver.on_grid(m) for m in mistakes])


@pytest.mark.parametrize(
    ("classes", "most", "alone"),
    [
        (64, 60, by_class.ALONE),  # small games, many in a program
        (8, 900, by_class.ALONE),  # larger ones
        (3, 500, 50),  # those that all of the device plays
    ],
)
def test_each_class_has_the_answer_of_the_hosts_solver(classes: int, most: int, alone: int) -> None:
    random = np.random.default_rng(classes)
    mine = made(random, random.integers(0, most, classes).tolist(), 1)
    counts = reference.class_counts(*mine[:3], classes)[0]
    quotas, mistakes = games(random, counts)
    found = by_class.solve(keys.count(there(mine), classes), counts, quotas, mistakes, alone, usual_shape())
    drawn = by_class.Drawn(torch.empty(0), found, torch.zeros(1, dtype=torch.int64, device=DEVICE))
    got, settled, _ = by_class.read_by_class(drawn)
    assert settled.all()
    want = wanted(mine, counts, quotas, mistakes)
    for name in ("price", "threshold", "share"):
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name), name)
    np.testing.assert_allclose(got.value, want.value, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("others", [1, 7, 200])
def test_the_sample_along_the_keys_is_the_references(others: int) -> None:
    random = np.random.default_rng(others)
    mine = made(random, [500, 9, 0, 900, 200], others)
    counts = reference.class_counts(*mine[:3], 5)[0]
    quotas = np.array([20.25, 1.5, 0, 30.75, 7.5])
    answers = wanted(mine, counts, quotas, np.array([solver.on_grid(0.05 * n) for n in counts]))
    running = reference_sample.start(0, 60, len(mine.gain))
    masses = reference_sample.mass_by_key(mine, answers, others)
    starts = reference_sample.running_by_key(masses, masses[0], np.zeros_like(masses[0]), running)
    want = reference_sample.sample_by_key(mine, answers, others, starts)
    assert len(want) == 60
    assert np.array_equal(host(by_class.sample_by_class(there(mine), answers, others, running, 60)), want)
    q = reference_sample.class_probabilities(mine, answers)
    assert np.array_equal(host(by_class.class_probabilities(there(mine), answers)), q)
    # And all of it at once.
    mistakes = np.array([solver.on_grid(0.05 * n) for n in counts])
    drawn = by_class.select_by_class(there(mine), counts, quotas, mistakes, others, running, 60)
    _, settled, passed = by_class.read_by_class(drawn)
    assert settled.all()
    assert passed == 60
    assert np.array_equal(host(drawn.indices), want)


def test_a_tally_counts_who_plays_and_who_was_chosen() -> None:
    mine = made(np.random.default_rng(0), [50, 0, 70], 1)
    chosen = np.random.default_rng(1).random(len(mine.gain)) < 0.3
    points = there(mine)
    points = points._replace(status=score.new_status(points.gain.device))
    findings, counts, before = by_class.tally(points, 3, on_device(chosen))
    assert findings[:5] == Findings()[:5]
    assert np.array_equal(counts, reference.class_counts(*mine[:3], 3))
    assert 0 < counts[1].sum() < counts[0].sum()
    labels = mine.label[chosen]
    assert np.array_equal(before, np.bincount(labels[labels >= 0], minlength=3))
    assert by_class.tally(points, 3)[2].tolist() == [0, 0, 0]
