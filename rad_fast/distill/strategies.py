"""Ways to choose the points of a round, behind one interface: RAD and what people would use instead.

A strategy is any callable that takes a ``Round`` and returns a ``Choice``. Those with a name:

>>> sorted(STRATEGIES)[:4]
['balanced', 'cluster-margin', 'coreset', 'entropy']
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from rad_fast import Calibrator, Selector

from . import inputs
from .geometry import clusters, k_center

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]


@dataclass
class Round:
    """What a strategy may look at. N points in the pool, C classes, n in the labelled hold-out.

    Attributes
    ----------
    budget : how many points to choose, at most ``available.sum()``.
    available : (N,) bool, the points that were not chosen in earlier rounds.
    student_logits : (N, C), of the student as the round begins.
    teacher_logits : (N, C) or None, where the teacher's logits for the pool are known before any choice.
    features : (N, D), where distances between points are measured.
    seed, number : of the run; the round, from 0.
    holdout_labels, holdout_teacher, holdout_student : (n,), (n, C), (n, C), the labelled hold-out.
    known_features, known_logits : features and student logits of the labelled points and of the points chosen before.
    memory : a dictionary that is handed on from round to round.
    left : indices of the available points.
    student, student_margin : (N, C), (N,) float64, probabilities of the student and their margins.
    rng : a random generator, seeded by the pair (seed, number).

    Examples
    --------
    >>> import numpy as np
    >>> from rad_fast.distill import Round, STRATEGIES
    >>> logits = np.array([[5.0, 0.0], [0.1, 0.0], [3.0, 0.0]], np.float32)
    >>> seen = Round(budget=1, available=np.ones(3, bool), student_logits=logits)
    >>> STRATEGIES["margin"](seen).indices
    array([1])
    """

    budget: int
    available: npt.NDArray[np.bool_]
    student_logits: Float32s
    teacher_logits: Float32s | None = None
    features: Float32s | None = None
    seed: int = 0
    number: int = 0
    holdout_labels: Int64s | None = None
    holdout_teacher: Float32s | None = None
    holdout_student: Float32s | None = None
    known_features: Float32s | None = None
    known_logits: Float32s | None = None
    memory: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def rng(self) -> np.random.Generator:
        return np.random.default_rng((self.seed, self.number))

    @cached_property
    def left(self) -> Int64s:
        return np.flatnonzero(self.available)

    @cached_property
    def student(self) -> Float64s:
        """(N, C) probabilities of the student."""
        return softmax(self.student_logits)

    @cached_property
    def student_margin(self) -> Float64s:
        return margins(self.student)

    def selector(self, mistakes: float | None = None, points: int = 1) -> Selector:
        """``mistakes`` among so many points; None leaves them to the Selector."""
        share = None if mistakes is None else min(mistakes / points, 1.0 - 2.0**-24)  # below 1: a share, not a count
        return Selector(self.budget, mistakes=share, seed=self.seed * 1009 + self.number)

    def teacher(self, strategy: str) -> Float32s:
        """The teacher's logits for the pool; ValueError, which names the strategy, where they are not known."""
        if self.teacher_logits is None:
            raise inputs.needs(strategy, "the teacher's logits for the pool", "give pool_logits=, or take 'rad-prior'")
        return self.teacher_logits

    def holdout(self, strategy: str) -> tuple[Int64s, Float32s, Float32s]:
        """Labels, teacher's and student's logits of the hold-out; ValueError where there is none."""
        if self.holdout_labels is None or self.holdout_teacher is None or self.holdout_student is None:
            raise inputs.needs(strategy, "a labelled hold-out that the teacher has seen", "give holdout=")
        return self.holdout_labels, self.holdout_teacher, self.holdout_student


@dataclass(frozen=True)
class Choice:
    """The points of a round, ascending; for some of them a partner to mix with, before the teacher sees them.

    With ``partners`` and ``shares`` the input of point i becomes (1 - share) x[i] + share x[partner]. ``value`` is the
    value of the game, where one was played.

    Attributes
    ----------
    indices : (budget,) int64, available points, each once.
    partners, shares : (budget,) int64, float64 in [0, 1], or None.
    value : float, or None.

    Examples
    --------
    >>> import numpy as np
    >>> from rad_fast.distill import Choice
    >>> Choice(np.array([2, 5, 7])).indices
    array([2, 5, 7])
    """

    indices: Int64s
    partners: Int64s | None = None
    shares: Float64s | None = None
    value: float | None = None


Strategy = Callable[[Round], Choice]


def uniform(r: Round) -> Choice:
    """Every point is as likely as every other."""
    return chosen(r.rng.choice(r.left, r.budget, replace=False))


def margin(r: Round) -> Choice:
    """The points of smallest student margin (Scheffer, Decomain, Wrobel 2001)."""
    return top(r, -r.student_margin)


def entropy(r: Round) -> Choice:
    """The points of largest entropy of the student."""
    return top(r, entropies(r.student))


def least_confidence(r: Round) -> Choice:
    """The points whose likeliest class is least likely to the student (Lewis, Gale 1994)."""
    return top(r, -r.student.max(1))


def balanced(r: Round) -> Choice:
    """Uniform within each class, all classes equally often as far as they last.

    The class of a point is the teacher's label where it is known, the student's otherwise.
    """
    logits = r.student_logits if r.teacher_logits is None else r.teacher_logits
    label = logits.argmax(1)[r.left]
    order = r.rng.permutation(len(r.left))
    sorted_labels = label[order]
    # Each point's rank within its class; taking the lowest ranks first goes round the classes.
    by_class = np.argsort(sorted_labels, kind="stable")
    starts = np.searchsorted(sorted_labels[by_class], sorted_labels[by_class])
    rank = np.empty(len(order))
    rank[by_class] = np.arange(len(order)) - starts
    return chosen(r.left[order[np.argsort(rank + r.rng.random(len(rank)), kind="stable")[: r.budget]]])


def coreset(r: Round) -> Choice:
    """Greedy k-center over the features (Sener, Savarese: CoreSet, ICLR 2018), around what is known already."""
    if r.features is None:
        raise inputs.needs("coreset", "features", "give features=")
    return chosen(r.left[k_center(r.features[r.left], r.known_features, r.budget, r.rng)])


def pcoreset(r: Round) -> Choice:
    """Greedy k-center over the student's probabilities (Kang et al.: PCoreSet, 2025)."""
    known = None if r.known_logits is None else softmax(r.known_logits).astype(np.float32)
    return chosen(r.left[k_center(r.student[r.left].astype(np.float32), known, r.budget, r.rng)])


CANDIDATES = 10  # Cluster-Margin looks at so many times the budget, as in the paper's largest study


def cluster_margin(r: Round) -> Choice:
    """Cluster-Margin (Citovsky et al., NeurIPS 2021): of the points of smallest student margin, ten times the budget
    but at most half of those left, one from each cluster in turn, the smallest clusters first."""
    if r.features is None:
        raise inputs.needs("cluster-margin", "features", "give features=")
    if "clusters" not in r.memory:  # once, at the first round, as in the paper
        r.memory["clusters"] = clusters(r.features, np.random.default_rng(r.seed))
    few = max(r.budget, min(CANDIDATES * r.budget, len(r.left) // 2))
    near = r.left[np.argsort(r.student_margin[r.left], kind="stable")[:few]]
    names, members, sizes = np.unique(r.memory["clusters"][near], return_inverse=True, return_counts=True)
    order = np.argsort(sizes + r.rng.random(len(names)), kind="stable")
    place = np.empty(len(names), np.int64)
    place[order] = np.arange(len(names))
    turn = place[members]
    shuffled = r.rng.permutation(len(near))
    by_turn = shuffled[np.argsort(turn[shuffled], kind="stable")]
    rank = np.arange(len(near)) - np.searchsorted(turn[by_turn], turn[by_turn])
    return chosen(near[by_turn[np.lexsort((turn[by_turn], rank))[: r.budget]]])


def unixkd(r: Round) -> Choice:
    """Uncertainty and mixing (Xu, Liu, Loy: UNIXKD, 2020), with the paper's shares: of a uniform sample of 4/3 the
    budget the points of largest student entropy; the least uncertain third of them is mixed with points of the sample
    at random, by a share uniform in [0, 1], before the teacher sees them."""
    sample = r.rng.choice(r.left, min(len(r.left), -(-4 * r.budget // 3)), replace=False)
    order = sample[np.argsort(-entropies(r.student[sample]), kind="stable")][: r.budget]
    mixed = np.arange(len(order)) >= -(-2 * len(order) // 3)
    shares = np.where(mixed, r.rng.random(len(order)), 0.0)
    partners = r.rng.choice(sample, len(order))
    by_index = np.argsort(order)
    return Choice(order[by_index], partners[by_index], shares[by_index])


def proportional(r: Round) -> Choice:
    """Probability in proportion to the effective gain (2 c - 1) g, c calibrated on both models: no game."""
    points = r.selector(0.0).fit(
        r.teacher("proportional"),
        student_logits=r.student_logits,
        correctness=calibrated(r, "proportional"),
        exclude=~r.available,
    )
    correctness, gain = np.asarray(points.correctness, np.float64), np.asarray(points.gain, np.float64)
    worth = np.where(r.available, np.maximum((2 * correctness - 1) * gain, 0.0), 0.0)
    return systematic(r, in_proportion(worth, r.available, r.budget))


def rad(r: Round) -> Choice:
    """The default. Where the teacher's logits for the pool are known, the game of 'rad-both' with three changes, none
    of which has a parameter (docs/study.md says what each is worth):

    - the gain is what the student would learn from this label, 1 - its probability of the teacher's label;
    - the adversary spoils as many labels as one expects beyond calibrated correctness (``expected_excess``);
    - the points are sampled in the order of ``spread_order``: the probabilities are the equilibrium's all the same, but
      points that look alike are no longer taken together.

    Before that, 'rad-prior'.
    """
    if r.teacher_logits is None:
        return rad_prior(r)
    calibrator = calibrated(r, "rad")
    correctness = np.asarray(calibrator.predict(r.teacher_logits, r.student_logits), np.float64)
    label = r.teacher_logits.argmax(1)
    gain = 1.0 - r.student[np.arange(len(label)), label]
    return play_spread(r, gain, correctness, label, expected_excess(calibrator, len(r.left)))


def rad_both(r: Round) -> Choice:
    """The game with the student's gain and correctness calibrated on both models."""
    return play(r, r.teacher("rad-both"), calibrated(r, "rad-both"))


def rad_teacher(r: Round) -> Choice:
    """The game with correctness calibrated on the teacher's margin alone."""
    truth, teacher, _ = r.holdout("rad-teacher")
    return play(r, r.teacher("rad-teacher"), Calibrator().fit(teacher, truth))


def rad_raw(r: Round) -> Choice:
    """The game with the teacher's own confidence as correctness."""
    return play(r, r.teacher("rad-raw"), None)


def rad_average(r: Round) -> Choice:
    """Robust Active Distillation as published (ICLR 2023): c = 1, and as many mistakes as the hold-out shows."""
    truth, teacher, _ = r.holdout("rad-average")
    return play(r, r.student_logits, float((teacher.argmax(1) == truth).mean()))


def rad_prior(r: Round) -> Choice:
    """Before any answer of the teacher for the pool: all points are as likely to be labelled correctly (a correctness
    that is the same for all ranks them alike whatever it is: c = 1), the adversary spoils as many labels as one expects
    beyond the hold-out's error rate, the gain is 1 - the student's margin, sampled in ``spread_order``."""
    truth, teacher, _ = r.holdout("rad-prior")
    excess = expected_excess(Calibrator().fit(teacher, truth), len(r.left))
    sure = np.ones(len(r.student_margin))
    return play_spread(r, 1.0 - r.student_margin, sure, r.student_logits.argmax(1), excess)


EXCESS = 1.0 / np.sqrt(2.0 * np.pi)


def expected_excess(calibrator: Calibrator, points: int) -> float:
    """How many more labels are wrong than correctness admits, in expectation: E max(0, x) = sd / sqrt(2 pi) for the
    normal error x of the error rate, whose standard deviation is ``Calibrator.mistakes``."""
    return float(EXCESS * calibrator.mistakes(points))


def spread_order(r: Round, label: Int64s) -> Int64s:
    """Points by label, and within a label along the first principal axis of the student's logits: neighbours in this
    order look alike to the student, and systematic sampling seldom takes both."""
    z = r.student_logits.astype(np.float64)
    z = z - z.mean(1, keepdims=True)
    z = z - z.mean(0)
    axis = np.linalg.eigh(z.T @ z)[1][:, -1]
    return np.lexsort((z @ axis, label)).astype(np.int64)


def play_spread(r: Round, gain: Float64s, correctness: Float64s, label: Int64s, mistakes: float) -> Choice:
    """The game with gain and correctness given for every point, sampled in the order of ``spread_order``."""
    order = spread_order(r, label)
    selection = r.selector(mistakes, len(r.left)).fit(
        with_margin(1.0 - gain)[order],
        correctness=np.clip(correctness, 0.0, 1.0).astype(np.float32)[order],
        exclude=~r.available[order],
    )
    return Choice(np.sort(order[np.asarray(selection.indices)]), value=selection.value)


def with_margin(margin: Float64s) -> Float64s:
    """(N, 2) logits that have this margin: the game takes its gain from logits."""
    z = 2.0 * np.arctanh(np.clip(margin, 0.0, 1.0 - 2.0**-24))
    return np.column_stack([z, np.zeros_like(z)])


def play(r: Round, logits: Float32s, correctness: Any) -> Choice:
    selection = r.selector().fit(logits, student_logits=r.student_logits, correctness=correctness, exclude=~r.available)
    return Choice(np.asarray(selection.indices), value=selection.value)


def calibrated(r: Round, strategy: str) -> Calibrator:
    truth, teacher, student = r.holdout(strategy)
    return Calibrator().fit(teacher, truth, student)


STRATEGIES: dict[str, Strategy] = {
    "rad": rad,
    "uniform": uniform,
    "margin": margin,
    "entropy": entropy,
    "least-confidence": least_confidence,
    "balanced": balanced,
    "coreset": coreset,
    "pcoreset": pcoreset,
    "cluster-margin": cluster_margin,
    "unixkd": unixkd,
    "proportional": proportional,
    "rad-average": rad_average,
    "rad-prior": rad_prior,
    "rad-teacher": rad_teacher,
    "rad-raw": rad_raw,
    "rad-both": rad_both,
}
"""The strategies that have a name: from the name to a function of a ``Round`` that returns a ``Choice``.

| name | what it chooses | source |
|---|---|---|
| `rad` | the game on both models, gain of the label, spread; without pool logits `rad-prior` | docs/study.md |
| `rad-both` | the game, correctness calibrated on both models, as `rad_fast.select` | |
| `rad-teacher` | the same, calibrated on the teacher's margin alone | |
| `rad-raw` | the same, correctness the teacher's confidence | |
| `rad-average` | the game as published: c = 1, mistakes from the average accuracy | Baykal et al., ICLR 2023 |
| `rad-prior` | the game before any answer of the teacher for the pool | |
| `proportional` | probability in proportion to effective gain, no game | |
| `uniform` | every point is as likely as every other | |
| `balanced` | uniform within each class | |
| `margin` | least margin of the student | Scheffer, Decomain, Wrobel 2001 |
| `entropy` | largest entropy of the student | |
| `least-confidence` | least confidence of the student | Lewis, Gale 1994 |
| `coreset` | greedy k-center over the features | Sener, Savarese, ICLR 2018 |
| `pcoreset` | greedy k-center over the student's probabilities | Kang et al. 2025 |
| `cluster-margin` | least margins, one from each cluster in turn | Citovsky et al., NeurIPS 2021 |
| `unixkd` | uncertainty, and mixing of the least uncertain | Xu, Liu, Loy 2020 |
"""


def strategy(name: str | Strategy) -> Strategy:
    """The strategy of that name; a callable is taken as it is."""
    if callable(name):
        return name
    if name not in STRATEGIES:
        raise inputs.unknown_strategy(name, list(STRATEGIES))
    return STRATEGIES[name]


def chosen(indices: Int64s) -> Choice:
    return Choice(np.sort(indices).astype(np.int64))


def top(r: Round, score: Float64s) -> Choice:
    """The points of highest score among those left; the first of equals."""
    return chosen(r.left[np.argsort(-score[r.left], kind="stable")[: r.budget]])


def systematic(r: Round, q: Float64s) -> Choice:
    """A sample with these inclusion probabilities, which sum to the budget."""
    passed = np.floor(np.cumsum(q) * (r.budget / q.sum()) + r.rng.random())
    taken = np.flatnonzero(np.diff(passed, prepend=0.0) > 0)[: r.budget]
    rest = np.setdiff1d(r.left, taken)
    return chosen(np.concatenate([taken, r.rng.choice(rest, r.budget - len(taken), replace=False)]))


def in_proportion(worth: Float64s, available: npt.NDArray[np.bool_], budget: int) -> Float64s:
    """min(1, s worth) that sum to the budget; where too few points are worth anything the others share the rest."""
    positive = worth > 0
    if positive.sum() <= budget:
        others = available & ~positive
        share = (budget - positive.sum()) / max(1, others.sum())
        return np.where(positive, 1.0, np.where(others, share, 0.0))
    full = np.zeros(len(worth), bool)
    while True:
        scale = (budget - full.sum()) / worth[~full].sum()
        over = ~full & (worth * scale > 1.0)
        if not over.any():
            return np.where(full, 1.0, worth * scale)
        full |= over


def softmax(logits: npt.NDArray[Any]) -> Float64s:
    z = logits.astype(np.float64)
    e = np.exp(z - z.max(1, keepdims=True))
    p: Float64s = e / e.sum(1, keepdims=True)
    return p


def margins(p: Float64s) -> Float64s:
    two = np.partition(p, -2, axis=1)[:, -2:]
    return two[:, 1] - two[:, 0]


def entropies(p: Float64s) -> Float64s:
    h: Float64s = -(p * np.log(np.maximum(p, 1e-300))).sum(1)
    return h
