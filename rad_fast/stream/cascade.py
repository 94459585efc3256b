"""Cascade: a small model answers, and a large one where the small one is likely wrong, within a rate."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rad_fast.calibration import Calibrator
from rad_fast.device import topk
from rad_fast.device.backends import backend as backend_of
from rad_fast.inputs import Seen, TopKLogits, host_backend, invalid_rows, refuse_probabilities
from rad_fast.inputs import labels as checked_labels
from rad_fast.kernels.reference.score import Points, Rule, empty_points

from . import inputs
from .course import Wanted
from .curve import RATES, Curve, measured
from .decider import Decider
from .selector import rows_of

Bools = npt.NDArray[np.bool_]
Model = Callable[[Any], Any]

TIES = 2.0**-10  # of the routing score is the margin's: a calibration in steps leaves many queries alike


@dataclass(frozen=True, eq=False)
class CascadeAnswer:
    """What a cascade answers: one entry per query.

    answers : labels, (rows,) int64; or a list of what the models returned as answers.
    by_large : (rows,) bool, whether the large model gave the answer.
    certainty : (rows,) float32, how sure the small model was: its margin, or its calibrated correctness.

    Examples
    --------
    >>> import numpy as np
    >>> from rad_fast.stream import Cascade
    >>> sure, unsure = [5.0, 0.0], [0.1, 0.0]
    >>> cascade = Cascade(lambda rows: np.array(rows), lambda rows: ["asked"] * len(rows), rate=0.5)
    >>> answer = cascade([sure, unsure] * 100)
    >>> answer.answers[-1], answer.by_large[-4:].tolist()
    ('asked', [False, True, False, True])
    """

    answers: Any
    by_large: Bools
    certainty: npt.NDArray[np.float32]


class Cascade:
    """Answers queries with a small model, and with a large one where the small one is least certain.

    Every query is decided on arrival, by a threshold that follows the queries before it. The number of queries that the
    large model gets never differs from rate x seen by more than ``slack``. The certainty is the margin of the small
    model (for a language model: of its first token), or the probability that it is right, calibrated on labelled
    queries.

    Parameters
    ----------
    small, large : callables of a batch of queries
        Each returns logits, (rows, C) or TopKLogits; or (answers, logits) if an answer is more than a label. The large
        one may return just answers. ``large`` gets only the queries that it has to answer, and is not called if there
        are none. Either may be None if you only use ``route``.
    rate : float in (0, 1]
        The share of queries that the large model answers.
    calibrator : Calibrator, optional
        Fitted with the small model's logits and true labels.
    window, slack, seed, backend : as for ``StreamSelector``.

    Raises
    ------
    TypeError, ValueError : naming the argument, what was expected and what came.

    Notes
    -----
    Routing by the margin of the first token is the two-tier selection of 2024. With a calibrator, queries with equal
    correctness are ordered by their margin.

    Examples
    --------
    >>> import numpy as np
    >>> from rad_fast.stream import Cascade
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.integers(0, 5, 2000)
    >>> def model(strength):
    ...     noise = rng.normal(size=(2000, 5))
    ...     return lambda queries: noise[queries] + strength * np.eye(5)[truth[queries]]
    >>> cascade = Cascade(model(1.5), model(4.0), rate=0.2)
    >>> answer = cascade(np.arange(2000))
    >>> small = cascade.small(np.arange(2000)).argmax(1)
    >>> int(answer.by_large.sum()), float((small == truth).mean()), float((answer.answers == truth).mean())
    (401, 0.653, 0.768)
    """

    def __init__(
        self,
        small: Model | None,
        large: Model | None,
        rate: float,
        calibrator: Calibrator | None = None,
        *,
        window: int | None = None,
        slack: float | None = None,
        seed: int = 0,
        backend: str = "auto",
    ) -> None:
        for name, model in (("small", small), ("large", large)):
            inputs.model(name, model)
        pace = inputs.pace(
            inputs.share("rate", rate, "the share of the queries that the large model answers"), None, None, slack
        )
        inputs.calibrator(calibrator)
        host_backend(backend)
        self.small, self.large, self.rate = small, large, rate
        self.calibrator = copy.copy(calibrator)  # as it is now: it may be fitted again
        self.window, self.slack = inputs.window(window, pace), pace.slack
        self.seed, self.backend = inputs.seed(seed), backend
        self._kernels = backend_of(backend)
        self._looked = Seen()
        wanted = Wanted(pace.budget / pace.of, pace.slack, 0.0)
        self._decider = Decider(pace, self.window, wanted, self.seed, self._kernels)

    @property
    def seen(self) -> int:
        return int(self._decider.standing.counts[0])

    @property
    def asked(self) -> int:
        """How many queries went to the large model."""
        return int(self._decider.standing.counts[1])

    def __call__(self, queries: Any) -> CascadeAnswer:
        """Answer a batch of queries: an array or tensor of rows, or a list."""
        small, large = inputs.both_models(self.small, self.large)
        answers, logits = split(small(queries), "small")
        if logits is None:
            raise inputs.no_logits(answers)
        given = rows_given(queries)
        if given is not None:  # before any is decided
            inputs.answers_of("small", logits, given)
            inputs.answers_of("small", answers, given)
        by_large, certainty = self._routed(logits)
        inputs.answers_of("small", answers, len(by_large))
        at = np.flatnonzero(by_large)
        if not len(at):
            return CascadeAnswer(answers, by_large, certainty)
        better, _ = split(large(part_of(queries, at)), "large")
        inputs.answers_of("large", better, len(at))
        return CascadeAnswer(merged(answers, better, at), by_large, certainty)

    def route(self, logits: Any) -> Bools:
        """Which queries go to the large model, given the small model's logits; for a loop of your own.

        Parameters
        ----------
        logits : (rows, C) array of any library, or TopKLogits; for a language model, those of its first token.
        """
        return self._routed(logits)[0]

    def watch(self, logits: Any) -> Cascade:
        """Learn the threshold from earlier queries, without deciding them."""
        self._decider.watch(points_for(self._certainty(logits)))
        return self

    def table(
        self,
        small_logits: Any,
        large_logits: Any,
        labels: Any,
        rates: Sequence[float] = RATES,
        cost: tuple[float, float] = (0.0, 1.0),
    ) -> Curve:
        """Accuracy against cost on labelled queries, to choose a rate.

        Parameters
        ----------
        small_logits, large_logits : (n, C) arrays or TopKLogits, of the same queries.
        labels : (n,) integers, the true classes.
        rates : shares of queries for the large model, each in [0, 1].
        cost : of one query to the small model, and to the large one.

        Returns
        -------
        Curve : prints as a table, and plots.
        """
        small, large = rows_of("small_logits", small_logits)[0], rows_of("large_logits", large_logits)[0]
        for given in (small, large):
            refuse_probabilities(given)
        truth = checked_labels("labels", labels, small.rows, max(small.classes, large.classes))
        inputs.same_queries(small.rows, large.rows)
        right = [topk.score(self._kernels, m.data, None, m.name).label == truth for m in (small, large)]
        return measured(self._certainty(small_logits), right[0], right[1], inputs.rates(rates), inputs.costs(cost))

    def _routed(self, logits: Any) -> tuple[Bools, npt.NDArray[np.float32]]:
        score = self._certainty(logits)
        return self._decider.decide(points_for(score)), score

    def _certainty(self, logits: Any) -> npt.NDArray[np.float32]:
        checked, _ = rows_of("logits", logits)
        if not self._looked.others:  # rows that may still be probabilities, given for logits
            self._looked = self._looked.after(checked, None)
        if self.calibrator is not None:
            self.calibrator.check_classes("logits", checked.classes)
            self.calibrator.check_columns(checked)
        points = empty_points(checked.rows)
        rule = Rule() if self.calibrator is None else self.calibrator.rule_
        bad, _ = topk.appraise(self._kernels, checked.data, None, rule, None, points)
        if bad.rows:
            raise invalid_rows("logits", bad.rows, bad.first, "fix them, or leave these queries out")
        margin = np.float32(1) - points.gain
        if self.calibrator is None:
            return margin
        mixed: npt.NDArray[np.float32] = (1.0 - TIES) * points.correctness + TIES * margin
        return mixed.astype(np.float32)

    def state_dict(self) -> dict[str, Any]:
        """Where the stream of queries stands."""
        return {"settings": self._settings(), **self._decider.state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where ``state_dict`` was taken; ValueError if it is that of another cascade."""
        inputs.same_settings(state, self._settings())
        inputs.whole_state(state, self.state_dict())
        self._decider.load(state)

    def _settings(self) -> dict[str, Any]:
        settings = {name: getattr(self, name) for name in ("rate", "window", "slack", "seed")}
        return {**settings, "calibrator": inputs.told_apart(self.calibrator)}

    def __repr__(self) -> str:
        return f"Cascade(rate={self.rate}, seen={self.seen}, asked={self.asked})"


def points_for(certainty: npt.NDArray[np.float32]) -> Points:
    """Queries as points: the less certain, the more to gain; that the large model is right is not in doubt."""
    gain = np.clip(np.float32(1) - certainty, 0.0, 1.0).astype(np.float32)
    return Points(gain, np.ones(len(gain), np.float32), np.zeros(len(gain), np.int32))


def split(returned: Any, name: str) -> tuple[Any, Any]:
    """Answers and logits of what a model returned; the logits' labels where it has no answers of its own."""
    if isinstance(returned, tuple) and len(returned) == 2 and not isinstance(returned, TopKLogits):
        return returned
    if not isinstance(returned, TopKLogits) and (not hasattr(returned, "ndim") or returned.ndim != 2):
        return returned, None
    checked, _ = rows_of(name, returned)
    return topk.score(backend_of("auto"), checked.data, None, name).label.astype(np.int64), returned


def rows_given(queries: Any) -> int | None:
    """How many queries a batch has, where its kind says so."""
    if isinstance(queries, dict):
        return rows_given(next(iter(queries.values()), None))
    if isinstance(queries, (list, tuple)) or getattr(queries, "ndim", 0) > 0:
        return len(queries)
    return None


def part_of(queries: Any, at: npt.NDArray[np.int64]) -> Any:
    """Some of the queries, as the kind of batch that they came in."""
    if isinstance(queries, (list, tuple)):
        return [queries[i] for i in at]
    if isinstance(queries, dict):  # as a tokenizer returns them
        return {name: part_of(values, at) for name, values in queries.items()}
    return queries[at]


def alike(one: np.dtype[Any], other: np.dtype[Any]) -> bool:
    """Whether one array can hold answers of both dtypes as they are."""
    return one.kind == other.kind or {one.kind, other.kind} <= set("iuf")


def merged(answers: Any, better: Any, at: npt.NDArray[np.int64]) -> Any:
    """The small model's answers, the large one's in their places."""
    if isinstance(answers, np.ndarray) and isinstance(better, np.ndarray) and alike(answers.dtype, better.dtype):
        joined = answers.astype(np.result_type(answers, better))  # that holds both: longer texts, fractions
        joined[at] = better
        return joined
    found = list(answers)
    for i, answer in zip(at, better, strict=True):
        found[i] = answer
    return found
