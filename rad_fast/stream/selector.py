"""StreamSelector: each point of a stream is taken or left when it comes."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from rad_fast.calibration import Calibrator, rule_of
from rad_fast.device import topk
from rad_fast.device.backends import Compiled
from rad_fast.device.backends import backend as backend_of
from rad_fast.inputs import (
    Matrix,
    Seen,
    Source,
    correctness_array,
    gain_array,
    gain_of,
    host_backend,
    invalid_rows,
    is_cuda,
    is_torch,
    matrix,
    quotas_of_classes,
    same_rows,
    same_source,
    source,
    unanswered,
)
from rad_fast.inputs import quotas as checked_quotas
from rad_fast.inputs.parameters import fixed
from rad_fast.inputs.teachers import copier
from rad_fast.kernels.reference.score import Invalid, Kind, Points, Rule, empty_points
from rad_fast.selector import RAW_MISTAKES, _gain_named

from . import inputs
from .course import Wanted
from .decider import Decider
from .point import rows_at, scoring
from .window import some


@dataclass(frozen=True)
class Thresholds:
    """The equilibrium that decides now: above the threshold a point is taken with probability min(1, price / gain).

    price, threshold : (C,) arrays, one entry per class, or floats where one game serves all classes: with
        ``quotas=None``, and until the first window is full. Before the first solution they are 1 and 2, and no point
        is worth that much.

    Examples
    --------
    >>> import numpy as np
    >>> from rad_fast.stream import StreamSelector
    >>> stream = StreamSelector(rate=0.1, quotas=None)
    >>> mask = stream.offer(np.random.default_rng(0).normal(0, 5, size=(3000, 10)))
    >>> round(stream.thresholds.price, 2), round(stream.thresholds.threshold, 2)
    (0.11, 0.15)
    """

    price: Any
    threshold: Any


@fixed
class StreamSelector:
    """Takes or leaves each point of a stream on arrival, at a given rate, as ``select`` would in hindsight.

    The thresholds come from the game on the most recent points, which is solved again when they may have moved. Between
    two solutions a point costs microseconds. The number of points taken never differs from rate x seen by more than
    ``slack``, and never exceeds ``budget``. Decisions depend only on the points, their order and the seed, not on how
    many points arrive at a time.

    Parameters
    ----------
    rate : float in (0, 1]
        The share of the points to take.
    budget : int, optional
        The most points to take. With ``of`` and without ``rate``: exactly this many of that many points.
    of : int, optional
        How many points will come, if that is known; no rate is needed then.
    window : int, optional
        How many recent points the thresholds rest on, 12 bytes each. None: enough that 64 of them are taken, at least
        1,024, and with quotas at least 64 a class. A change in the stream is followed within a window.
    slack : float >= 1, optional
        How far the count may be from rate x seen, in points. With 1, one of every 1 / rate points is taken, good or
        bad; more slack comes closer to what ``select`` takes in hindsight. None: 40 rate (1 - rate), but at least 1
        and at most 8. So up to a rate of 2.5% the count stays within one point of rate x seen.
    gain : {"auto", "label", "margin"}
        What the student would learn, as in ``select``.
    correctness : None, fitted Calibrator, or float in [0, 1]
        The probability that the teacher's label is right, as in ``select``.
    mistakes : None, float in [0, 1) (a fraction of the points), or with ``of`` a count
        How many labels the adversary may spoil beyond what correctness admits; None as in ``select``.
    quotas : None, {"auto", "equal", "proportional"}, or weights
        How the points taken are shared out among the teacher's labels, as in ``select``. They count all points taken
        so far, and begin when the first window is full: before that, and with None, one game serves all classes.
    seed : int >= 0
        The start of the running sum.
    invalid : {"raise", "exclude"}
        What to do with rows that have NaN, +inf or nothing finite. Excluded rows are not taken and do not count as
        seen; nor do points that a teacher of labels has no answer for.
    backend : {"auto", "cpp", "numba", "reference"}

    Attributes
    ----------
    offered, seen, taken : how many rows were offered, how many of them were valid, how many were taken.

    Raises
    ------
    TypeError, ValueError : naming the argument, what was expected and what came.

    Warns
    -----
    BudgetUsedWarning : once, at the first offer after the budget is used.
    UnreliableTeacherWarning : once, if the value of the game on a whole window is not positive.

    Notes
    -----
    ``state_dict()`` holds everything that later decisions depend on; the selector can also be pickled. Nothing is taken
    before half of the first 1 / rate points have come. If you have earlier points, ``watch`` them first, and there are
    thresholds from the first point on. Points in CUDA memory are copied to host memory. Systematic sampling over the
    stream: Madow, 1949; the game: Baykal et al., ICLR 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from rad_fast.stream import StreamSelector
    >>> logits = np.random.default_rng(0).normal(0, 5, size=(5000, 10)).astype("float32")
    >>> stream = StreamSelector(rate=0.02)
    >>> taken = [n for n, row in enumerate(logits) if stream.offer(row)]
    >>> len(taken), taken[:3]
    (100, [33, 55, 102])
    >>> batches = StreamSelector(rate=0.02)
    >>> mask = np.concatenate([batches.offer(batch) for batch in np.array_split(logits, 7)])
    >>> np.flatnonzero(mask).tolist() == taken
    True
    """

    def __init__(
        self,
        rate: float | None = None,
        *,
        budget: int | None = None,
        of: int | None = None,
        window: int | None = None,
        slack: float | None = None,
        gain: str = "auto",
        correctness: Any = None,
        mistakes: int | float | None = None,
        quotas: Any = "auto",
        seed: int = 0,
        invalid: str = "raise",
        backend: str = "auto",
    ) -> None:
        pace = inputs.pace(rate, budget, of, slack)
        inputs.correctness(correctness)
        host_backend(backend)
        self.rate, self.budget, self.of, self.slack = rate, budget, of, pace.slack
        self.window, points = window, inputs.window(window, pace)
        self.correctness, self.mistakes = copy.copy(correctness), mistakes  # a Calibrator may be fitted again
        self.seed = inputs.seed(seed)
        self.invalid = inputs.choice("invalid", invalid, ("raise", "exclude"))
        self.backend = backend
        self._left_out = 0  # rows that are not valid
        self._source: Source | None = None
        self._looked = Seen(), Seen()  # of the teacher's rows and the student's
        self._kernels = backend_of(backend)
        self.gain, self.quotas = inputs.gain(gain), quotas
        self._quotas = checked_quotas(quotas)
        labelled = correctness.n_labelled_ if isinstance(correctness, Calibrator) else None
        rate_of_mistakes = self._mistakes_rate(inputs.mistakes_rate(mistakes, pace))
        wanted = Wanted(pace.budget / pace.of, pace.slack, rate_of_mistakes, self._quotas, labelled)
        self._decider = Decider(pace, points, wanted, self.seed, self._kernels)

    @property
    def offered(self) -> int:
        return self.seen + self._left_out

    @property
    def seen(self) -> int:
        return int(self._decider.standing.counts[0])

    @property
    def taken(self) -> int:
        return int(self._decider.standing.counts[1])

    @property
    def thresholds(self) -> Thresholds:
        price, threshold, *_ = self._decider.solution.equilibria
        if len(price) == 1:
            return Thresholds(float(price[0]), float(threshold[0]))
        return Thresholds(price.copy(), threshold.copy())

    def offer(self, logits: Any, student_logits: Any = None, *, gain: Any = None, correctness: Any = None) -> Any:
        """Decide points, in order.

        Parameters
        ----------
        logits : (C,) for one point or (rows, C), float64, float32, float16 or bfloat16; or TopKLogits
            The teacher's logits, NumPy, torch, CuPy or anything with DLPack.
        student_logits : of the same points, optional
            The gain is then what the student does not know yet.
        gain, correctness : number or (rows,) array in [0, 1], optional
            Of these points, instead of the stream's own.

        Returns
        -------
        bool for one point; for a batch (rows,) booleans of the library of ``logits``: whether to take each point.

        Raises
        ------
        TypeError, ValueError : naming the argument, what was expected and what came. Then nothing was decided.
        """
        if self._decider.scoring is not None and gain is None and correctness is None:
            decided = self._decider.offer(logits, student_logits)
            if decided is None and (is_torch(logits) or is_torch(student_logits)):
                decided = self._offered_at(logits, student_logits)
            if decided is not None:
                return decided
        teacher, one, scores = self._scored(logits, student_logits, gain, correctness)
        if not len(scores.gain):
            return teacher.wrap(np.empty(0, np.bool_))
        valid = scores.label >= 0
        if valid.all():
            taken = self._decider.decide(scores)
        else:
            taken = np.zeros(len(valid), np.bool_)
            taken[valid] = self._decider.decide(some(scores, valid))
            self._left_out += len(valid) - int(np.count_nonzero(valid))
        return bool(taken[0]) if one else teacher.wrap(taken)

    def _offered_at(self, logits: Any, student_logits: Any) -> Any:
        """The decisions on rows that are read where they lie; None where they cannot."""
        known = self._source
        if known is None:
            return None
        at = rows_at(logits, student_logits, known.classes, known.student_classes)
        decided = None if at is None else self._decider.offer(*at)
        if decided is None or logits.ndim == 1:
            return None if decided is None else bool(decided[0])
        return decided if type(logits) is np.ndarray else copier("logits", logits)(decided)

    def watch(
        self, logits: Any, student_logits: Any = None, *, gain: Any = None, correctness: Any = None
    ) -> StreamSelector:
        """Learn the thresholds from points without deciding them; arguments as for ``offer``."""
        _, _, scores = self._scored(logits, student_logits, gain, correctness)
        valid = scores.label >= 0
        self._decider.watch(some(scores, valid))
        return self

    def _scored(self, logits: Any, student_logits: Any, gain: Any, correctness: Any) -> tuple[Matrix, bool, Points]:
        teacher, one = rows_of("logits", logits)
        student = None
        if student_logits is not None:
            student, _ = rows_of("student_logits", student_logits)
            same_rows(teacher, student)
        # Rows that may still be probabilities, given for logits.
        before = zip(self._looked, (teacher, student), strict=True)
        of_both = [seen if seen.others or given is None else seen.after(given, None) for seen, given in before]
        looked = of_both[0], of_both[1]
        silent = unanswered(teacher, student, self.gain if gain is None else gain)
        gain, correctness = (inputs.of_points(value, teacher.rows) for value in (gain, correctness))
        rule = Rule(Kind.GIVEN) if correctness is not None else rule_of(self.correctness, teacher, student)
        rule = rule._replace(gain=gain_of(self.gain if gain is None else gain, teacher, student))
        known = source(
            teacher,
            student,
            self.correctness if correctness is None else correctness,
            _gain_named(self.gain if gain is None else gain, rule.gain),
        )
        if known != self._source:
            same_source(self._source, known)
        given = None if correctness is None else correctness_array(correctness, teacher.rows, None)
        gains = None if gain is None else gain_array(gain, teacher.rows, None)
        if self._source is None and self._quotas is not None:
            quotas_of_classes(self._quotas, teacher.classes)
        points = empty_points(teacher.rows)
        bad = topk.appraise(self._kernels, teacher.data, None if student is None else student.data, rule, given, points)
        if self.invalid == "raise":
            if silent is not None:  # the only rows of TeacherLabels that cannot be scored, and they are no mistake
                wrong = np.flatnonzero((points.label < 0) & ~silent)
                bad = (Invalid(), Invalid(len(wrong), int(wrong[0])) if len(wrong) else Invalid())
            for checked, found in zip((teacher, student), bad, strict=True):
                if checked is not None and found.rows:
                    raise invalid_rows(checked.name, found.rows, found.first)
        if gains is not None:
            np.copyto(points.gain, gains, where=points.label >= 0)
        if self._source is None and self._quotas is not None:
            self._decider.begin(teacher.classes, inputs.window(self.window, self._decider.pace, teacher.classes))
        self._looked = looked
        plain = gains is None and given is None and looked[0].others and (student is None or looked[1].others)
        if self._decider.scoring is None and plain and isinstance(self._kernels, Compiled):
            self._decider.score(scoring(rule, known.classes, known.student_classes))
        if known.columns or self._source is None:
            self._source = known
        return teacher, one, points

    def _mistakes_rate(self, given: float | None) -> float:
        if given is not None:
            return given
        if isinstance(self.correctness, Calibrator):
            return self.correctness.mistakes(1)
        return RAW_MISTAKES if self.correctness is None else 1.0 - float(self.correctness)

    # ------------------------------------------------------------------------------------------------- resuming

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands, as numbers and copies of arrays."""
        known = self._source
        return {
            "settings": self._settings(),
            "offered": self.offered,
            "source": None
            if known is None
            else (known.classes, known.student_classes, known.kind, known.accuracy, known.gain, known.columns),
            **self._decider.state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where ``state_dict`` was taken: with the point numbered ``offered``.

        Raises
        ------
        ValueError : if the state is that of a stream with other settings, or no state at all.
        """
        inputs.same_settings(state, self._settings())
        inputs.whole_state(state, self.state_dict())
        known = state["source"]
        calibrator = self.correctness if hasattr(self.correctness, "predict") else None
        if known is not None:
            classes, of_student, kind, accuracy, gain, columns = known
            known = Source(classes, of_student, kind, calibrator, accuracy, gain, tuple(columns))
        self._source = known
        self._decider.load(state)
        self._left_out = int(state["offered"]) - self.seen

    def _settings(self) -> dict[str, Any]:
        names = ("rate", "budget", "of", "window", "slack", "gain", "mistakes", "seed", "invalid")
        quotas = self._quotas.tolist() if isinstance(self._quotas, np.ndarray) else self._quotas
        correctness = inputs.told_apart(self.correctness)
        return {**{name: getattr(self, name) for name in names}, "quotas": quotas, "correctness": correctness}

    def __getstate__(self) -> dict[str, Any]:
        arguments = {**self._settings(), "correctness": self.correctness, "backend": self.backend}
        return {"arguments": arguments, "state": self.state_dict()}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.__init__(**kept["arguments"])  # type: ignore[misc]
        self.load_state_dict(kept["state"])

    def __repr__(self) -> str:
        pace = f"rate={self.rate}" if self.rate is not None else f"budget={self.budget}, of={self.of}"
        return f"StreamSelector({pace}, seen={self.seen}, taken={self.taken})"


def rows_of(name: str, value: Any) -> tuple[Matrix, bool]:
    """Checked logits in host memory, and whether they are one point's."""
    one = getattr(value, "ndim", None) == 1 or (isinstance(value, (list, tuple)) and np.ndim(value) == 1)
    if one:
        value = np.asarray(value)[None] if isinstance(value, (list, tuple)) else value[None]
    if not is_cuda(value):
        return matrix(name, value, empty=True), one
    back = copier(name, value)
    checked = matrix(name, value.detach().cpu() if hasattr(value, "detach") else value.get(), empty=True)
    return Matrix(name, checked.data, checked.dtype, back), one
