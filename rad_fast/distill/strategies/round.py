"""What a strategy sees, a Round, and what it answers, a Choice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from rad_fast.distill import inputs
from rad_fast.selector import Selector

from .scores import margins, softmax

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
    labelled : labels of the student's labelled points; quotas count them.
    vectors, holdout_vectors : (N, D'), (n, D'), where a point's neighbours are looked for: the inputs where these are
        vectors, or a frozen encoder's embedding. None: the student's logits.
    unanswered : (N,) bool or None, points for which the teacher has no answer: they are not available, their rows of
        ``teacher_logits`` say nothing, and nobody chose them.
    memory : a dictionary that is handed on from round to round; a journal keeps arrays of whole numbers in it.
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
    labelled: Int64s | None = None
    vectors: Float32s | None = None
    holdout_vectors: Float32s | None = None
    unanswered: npt.NDArray[np.bool_] | None = None
    memory: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        inputs.round_of(self.budget, self.available, self.student_logits, self.teacher_logits)

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

    def selector(self, mistakes: float | None = None, points: int = 1, quotas: Any = None) -> Selector:
        """``mistakes`` among so many points; None leaves them to the Selector."""
        share = None if mistakes is None else min(mistakes / points, 1.0 - 2.0**-24)  # below 1: a share, not a count
        return Selector(self.budget, mistakes=share, quotas=quotas, seed=self.seed * 1009 + self.number)

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
    value of the game, where one was played, and ``certificate`` what the hold-out promises of it with 95% confidence.

    Attributes
    ----------
    indices : (budget,) int64, available points, each once.
    partners, shares : (budget,) int64, float64 in [0, 1], or None.
    value, certificate : float, or None.

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
    certificate: float | None = None


Strategy = Callable[[Round], Choice]


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
