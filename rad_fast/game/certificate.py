"""What a selection promises with confidence, by the points whose true labels are known.

A selection's expected gain is sum q g (1 - 2 wrong) over the points that may be taken, those with q > 0. The labelled
points are a random sample of the same kind as the pool, and the rule says of each whether it would have been one that
may be taken. Of these some are wrong; how many of the pool's can be, at most, follows exactly, with no assumption on
where the teacher errs: labelled and unlabelled points are exchangeable, so that the number of wrong ones among the
labelled is hypergeometric (Clopper, Pearson, 1934, for a finite population). The worst place for so many errors is
where q g is largest. Since the rule was learned from the labelled points, each of them is judged by a rule that was
learned without it.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rad_fast.device.backends import Backend
from rad_fast.kernels.reference.game import Equilibria, Equilibrium
from rad_fast.kernels.reference.score import Points

Float64s = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Labelled(NamedTuple):
    """Labelled points as a rule sees them that does not know them: (n,) arrays. ``gain`` is None where it is not known.

    right : whether the teacher's label, ``label``, is the true one.
    """

    gain: Float64s | None
    correctness: Float64s
    label: npt.NDArray[np.int32]
    right: Bools


def certificate(
    kernels: Backend,
    points: Points,
    answer: Equilibrium | Equilibria,
    before: npt.NDArray[np.int64] | None,
    labelled: Labelled,
    confidence: float,
) -> float:
    """The expected gain of a selection that labelled points promise; ``before``: points taken in earlier stages."""
    q = chances(kernels, points, answer)
    if before is None:
        taken, seen = may_be_taken(kernels, points, answer, labelled)
    else:  # of a sample that was taken in stages any labelled point may be an example
        q[before] = 1.0
        taken, seen = ~np.isnan(points.gain), np.ones(len(labelled.right), bool)
    some = q > 0.0
    worth = q[some] * points.gain[some]
    wrong = int(np.count_nonzero(seen & ~labelled.right))
    # What was left out, by an earlier round say, may be just the points that are right: the sample is of them as well.
    rest = int(np.count_nonzero(taken | np.isnan(points.gain)))
    errors = most_wrong(wrong, int(np.count_nonzero(seen)), rest, confidence)
    return promised(worth, errors)


def may_be_taken(
    kernels: Backend, points: Points, answer: Equilibrium | Equilibria, labelled: Labelled
) -> tuple[Bools, Bools]:
    """Which points of the pool may be taken, and which of the labelled points might be, by the same rule.

    Where the gain of the labelled points is not known, both are asked with the largest gain there is: more points,
    which hold all those that may be taken.
    """
    gain, known = points.gain, labelled.gain
    if known is None:
        if np.min(answer.threshold) < 0.0:  # then points are taken because their gain is small
            return ~np.isnan(points.gain), np.ones(len(labelled.right), bool)
        gain, known = np.where(np.isnan(gain), gain, np.float32(1)), np.ones(len(labelled.right))
    as_seen = Points(known.astype(np.float32), labelled.correctness.astype(np.float32), labelled.label)
    of_pool: Bools = chances(kernels, points._replace(gain=gain), answer) > 0.0
    of_labelled: Bools = chances(kernels, as_seen, answer) > 0.0
    return of_pool, of_labelled


def chances(kernels: Backend, points: Points, answer: Equilibrium | Equilibria) -> Float64s:
    """Inclusion probabilities."""
    if isinstance(answer, Equilibria):
        return kernels.class_probabilities(points, answer)
    return kernels.probabilities(points.gain, points.correctness, answer)


def most_wrong(wrong: int, seen: int, rest: int, confidence: float) -> int:
    """How many of ``rest`` points are wrong at most, where ``wrong`` of ``seen`` were, drawn at random from all.

    The largest number that, with confidence, is not excluded: fewer or equally many wrong among those seen would have
    had a probability of more than 1 - confidence.

    Examples
    --------
    >>> most_wrong(0, 100, 1000, 0.95)  # about 3 in a hundred
    30
    >>> most_wrong(0, 0, 1000, 0.95)
    1000
    """
    low, high = 0, rest
    while low < high:
        middle = (low + high + 1) // 2
        if chance_of_at_most(wrong, seen, rest, wrong + middle) > 1.0 - confidence:
            low = middle
        else:
            high = middle - 1
    return low


def chance_of_at_most(wrong: int, seen: int, rest: int, in_all: int) -> float:
    """The probability of at most so many wrong points among those seen, where ``in_all`` of seen and rest are wrong."""
    from scipy.special import gammaln, logsumexp  # here: importing it takes time, and few calls need it

    def choose(n: Any, k: Any) -> Any:
        return gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)

    least = max(0, in_all - rest)
    if wrong < least:
        return 0.0
    counts = np.arange(least, min(wrong, in_all, seen) + 1, dtype=np.float64)
    terms = choose(in_all, counts) + choose(seen + rest - in_all, seen - counts) - choose(seen + rest, seen)
    return min(1.0, math.exp(float(logsumexp(terms))))


def promised(worth: npt.NDArray[Any], errors: int) -> float:
    """The least expected gain where so many labels are wrong: ``worth`` is q g of the points that may be taken."""
    total = float(worth.sum(dtype=np.float64))
    if errors >= len(worth):
        return -total
    lost = np.partition(worth, len(worth) - errors)[len(worth) - errors :] if errors else worth[:0]
    return total - 2.0 * float(lost.sum(dtype=np.float64))
