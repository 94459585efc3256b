"""Active distillation, whole: choose, ask, train, round by round; interrupted at any point it goes on where it was."""

from __future__ import annotations

import copy
import numbers
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import ConcatDataset, default_collate

import rad_fast.inputs
from rad_fast.calibration import Calibrator
from rad_fast.inputs.shown import card

from . import errors, fit_inputs, inputs, overlap, round_inputs
from .answers import given as given_answers
from .answers import unanswered
from .estimators import SklearnStudent, prepared
from .identity import course, digests, name_of
from .journal import VERSION
from .ledger import Ledger, bar
from .pairs import Mixed, Pairs, Part, Rows
from .querying import Answers, Asker
from .round_report import RoundReport
from .strategies import Round, Strategy, strategy
from .training import SEEDS, Fit, Items, logits_of, predict, vectors
from .trial import classes_of

Float32s = npt.NDArray[np.float32]
Int64s = npt.NDArray[np.int64]
HELD_OUT = 5  # without a hold-out one labelled point in five becomes it


class ActiveDistiller:
    """Trains a student on a labelled set and on the points of a pool that are worth asking a teacher about.

    Each round: the student's logits for the pool, a choice of ``budget`` points by the strategy, the teacher's answers
    for these points, training on the labelled points and all answered ones. ``run()`` does it all and returns the
    student. If it was interrupted, call it again, in this process or in another with the same ``journal``: it continues
    without asking the teacher twice.

    Parameters
    ----------
    student : a torch module, a ``SklearnStudent``, or anything that ``train`` and ``call`` understand. It is copied,
        never modified. It returns logits; if all its outputs for the pool are probabilities, their logarithms are used.
    teacher : a callable on a batch of inputs that returns logits (rows, C), TeacherLabels or Probabilities; only asked
        for chosen points and, once, for the hold-out. None if ``pool_logits`` and ``holdout_logits`` are given.
    labelled : a data set of (input, label), or a pair (inputs, labels); labels 0..C-1.
    pool : a data set, tensor, array, pandas column or table of inputs, taken by position; of items that are tuples the
        first part is the input.
    budget : points per round: an int, or a fraction of the pool as a float in (0, 1]. The last round takes what is
        left, with a ``BudgetWarning``.
    rounds : how many; fewer if the pool is used up.
    holdout : labelled as above: calibrates correctness, stops training early; never trained on. None: a random fifth
        of ``labelled``.
    pool_logits, holdout_logits : the teacher's logits if they are known already: (N, C), (n, C); or TeacherLabels
        or Probabilities. Points without an answer, the label -1, are neither selected nor calibrated on.
    strategy : a name in ``STRATEGIES``, or a callable of a ``Round`` that returns a ``Choice``.
    train : a callable (student, dataset) that returns the trained student, or None if it trains it in place; items
        are (input, target (C,), weight ()). Default: ``Fit(holdout=holdout)``.
    labels : "hard", the teacher's top class, or "soft", its probabilities: with ``rad``'s picks hard ones train better
        students (docs/study.md). ``unixkd``, and a loss that needs the teacher's distribution, want "soft".
    temperature : of soft labels; with hard ones only 1 is taken.
    weights : "correctness" weights the points in the loss by the probability that the teacher is right; None does not.
    features : a callable (student, batch) to (rows, D), where strategies measure distances and look for neighbours.
        None: the logits; neighbours in the inputs where these are vectors.
    restart : whether every round trains from the initial weights (True), or continues with the student as it is.
    evaluate : a callable (student) to a dictionary of numbers, kept in each round's report.
    call : a callable (student, batch) to logits, if neither ``student(batch)`` nor ``student(**batch)`` gives them.
    collate : a list of inputs to a batch.
    journal : a path. Every choice and answer is appended to it as it comes, and the student is kept beside it. What the
        run is, with a digest of its points, is written first: other points or settings are refused. Only one run at a
        time may use it. None keeps everything in memory only.
    query_batch, retries, backoff : points per call of the teacher; how often a call that raises is repeated; the
        first wait in seconds, doubled every time. A NameError, TypeError, AttributeError, ImportError or
        NotImplementedError is a mistake in the callable, and not repeated.
    invalid : what to do with answers of NaN: "raise", or "skip" those points.
    batch_size : for the student's logits.
    sleep : waits between retries.
    progress : show progress bars, if tqdm is installed.
    seed : for everything random.

    Attributes
    ----------
    history : a ``RoundReport`` of every round done, round 0 first.
    student : the student as trained so far.

    Raises
    ------
    TypeError, ValueError : naming the argument, what was expected and what came.
    TeacherError : from ``run``, if the teacher fails for good or its answer cannot be used.

    Warns
    -----
    BudgetWarning : fewer points are left than a round should have.
    UserWarning : what is doubtful: points in two places, a teacher that guesses, a run that goes on otherwise.

    References
    ----------
    The game: Baykal, Trinh, Iliopoulos, Menghani, Vee. Robust Active Distillation. ICLR 2023. What the default strategy
    adds to it is in docs/study.md.

    Examples
    --------
    >>> import torch
    >>> from rad_fast.distill import ActiveDistiller, Fit
    >>> x = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
    >>> y = (x[:, 0] > 0).long()
    >>> distiller = ActiveDistiller(
    ...     torch.nn.Linear(2, 2), lambda batch: torch.stack([-9 * batch[:, 0], 9 * batch[:, 0]], 1),
    ...     labelled=(x[:20], y[:20]), holdout=(x[20:100], y[20:100]), pool=x[100:],
    ...     budget=10, rounds=2, progress=False)
    >>> student = distiller.run()
    >>> [(report.selected, report.queries) for report in distiller.history]
    [(0, 80), (10, 90), (10, 100)]
    """

    def __init__(
        self,
        student: Any,
        teacher: Callable[[Any], Any] | None,
        labelled: Any,
        pool: Any,
        *,
        budget: int | float,
        rounds: int = 1,
        holdout: Any = None,
        pool_logits: Any = None,
        holdout_logits: Any = None,
        strategy: str | Strategy = "rad",
        train: Callable[[Any, Any], Any] | None = None,
        labels: str = "hard",
        temperature: float = 1.0,
        weights: str | None = "correctness",
        features: Callable[[Any, Any], Any] | None = None,
        restart: bool = True,
        evaluate: Callable[[Any], dict[str, float]] | None = None,
        call: Callable[[Any, Any], Any] = logits_of,
        collate: Callable[[list[Any]], Any] = default_collate,
        journal: str | os.PathLike[str] | None = None,
        query_batch: int = 64,
        retries: int = 5,
        backoff: float = 1.0,
        invalid: str = "raise",
        batch_size: int = 256,
        sleep: Callable[[float], None] = time.sleep,
        progress: bool = True,
        seed: int = 0,
    ) -> None:
        errors.check_student(student, call is logits_of)
        errors.check_teacher(teacher)
        inputs.path_or_none("journal", journal)
        for name, value, what in (
            ("train", train, "(student, dataset)"),
            ("features", features, "(student, batch)"),
            ("evaluate", evaluate, "(student)"),
            ("call", call, "(student, batch)"),
            ("collate", collate, "of a list of inputs"),
            ("sleep", sleep, "of a number of seconds"),
        ):
            inputs.callable_or_none(name, value, what)
        self.pool = Mixed(pool)
        inputs.pool_size(len(self.pool))
        whole = isinstance(budget, numbers.Integral)
        rad_fast.inputs.budget_alone(budget)
        self.budget = int(budget) if whole else rad_fast.inputs.budget(budget, len(self.pool), 0)
        self.rounds = inputs.positive_int("rounds", rounds)
        self.seed = inputs.seed(seed)
        self.call, self.collate = call, collate
        self.batch_size = inputs.positive_int("batch_size", batch_size)
        self.labelled: Pairs | Part = Pairs("labelled", labelled)
        self.holdout: Pairs | Part = self._hold_out() if holdout is None else Pairs("holdout", holdout)
        student = prepared(student, self._classes_known(pool_logits, holdout_logits))
        self._initial, self.student = copy.deepcopy(student), student
        self._says_probabilities = False  # what it says of the pool are probabilities and no logits
        self.features = features
        given = {"labelled": self.labelled, "holdout": self.holdout, "pool": self.pool}
        self.classes = classes_of(student, given, call, features, collate)
        self.labelled.check("labelled", self.classes)
        self.holdout.check("holdout", self.classes)
        self.strategy, self._strategy_name = self._strategy(strategy)
        self.train = self._trainer(train)
        self.labels = inputs.choice("labels", labels, ("hard", "soft"))
        self.temperature = inputs.temperature(temperature, self.labels)
        self.weights = None if weights is None else inputs.choice("weights", weights, ("correctness",))
        loss = self.train.loss if type(self.train) is Fit else None
        doubts = fit_inputs.doubts(student, loss, self._strategy_name, self.labels, self.temperature, self.weights)
        for said in [*doubts, *overlap.doubts(self.labelled, self.holdout, self.pool)]:
            warnings.warn(said, stacklevel=2)
        self.restart, self.evaluate = inputs.flag("restart", restart), evaluate
        self.progress = progress
        self._asker = Asker(
            teacher,
            batch=inputs.positive_int("query_batch", query_batch),
            retries=inputs.positive_int("retries", retries, 0),
            backoff=inputs.positive("backoff", backoff, zero=True),
            invalid=inputs.choice("invalid", invalid, ("raise", "skip")),
            sleep=sleep,
            collate=collate,
        )
        self.pool_logits = self._given("pool_logits", pool_logits, len(self.pool))
        silent = None if self.pool_logits is None else unanswered(self.pool_logits)
        self._silent = silent if silent is not None and silent.any() else None
        self._said = self.pool_logits  # as strategies see it: nothing where there is no answer
        if self._said is not None and self._silent is not None:
            self._said = np.where(self._silent[:, None], np.float32(0), self._said)
        self.holdout_logits = self._given("holdout_logits", holdout_logits, len(self.holdout))
        if teacher is None and (self.pool_logits is None or self.holdout_logits is None):
            raise TypeError("teacher: expected a callable on a batch; None needs both pool_logits= and holdout_logits=")
        run = {
            "version": VERSION,
            "pool": len(self.pool),
            "holdout": len(self.holdout),
            "classes": self.classes,
            "budget": self.budget,
            "strategy": self._strategy_name,
            "seed": self.seed,
            "labels": self.labels,
            "temperature": self.temperature,
            "weights": self.weights,
            "restart": self.restart,
            "features": name_of(self.features),
        }
        if journal is not None:
            given_logits = {"pool_logits": self.pool_logits, "holdout_logits": self.holdout_logits}
            run |= digests(self.pool.pool, self.holdout, self.labelled, given_logits)
            run["course"] = course(self.train, self.call, self.collate, self._initial if self.restart else None)
        self._ledger = Ledger(journal, run, self.pool, self.pool_logits)
        self._memory, forgotten = self._ledger.memory()
        if forgotten:
            warnings.warn(errors.forgotten(forgotten), stacklevel=2)
        self.history: list[RoundReport] = []
        try:
            self._restore()
        finally:
            self._ledger.journal.release()
        if len(self.history) - 1 > self.rounds:
            warnings.warn(errors.fewer_rounds(journal, self.rounds, len(self.history) - 1), stacklevel=2)

    # What a user calls.

    def run(self) -> Any:
        """Run the rounds that are not done yet; returns the trained student."""
        with self._ledger.journal.held():
            if not self.history:
                held, answered = self._teacher_on_holdout()
                doubtful = round_inputs.doubtful_teacher(held, self.holdout.labels[answered])
                if doubtful is not None:
                    warnings.warn(doubtful, stacklevel=2)
                self._train(0)
            with bar("rounds", self.rounds, self.progress, stays=True) as step:
                step(len(self.history) - 1)
                while len(self.history) <= self.rounds and self._round(len(self.history)):
                    step(1)
        return self.student

    def dataset(self) -> ConcatDataset[Any]:
        """The labelled points and every answered one: items (input, target (C,), weight ())."""
        return self._dataset(len(self._ledger.choices))

    @property
    def selected(self) -> Int64s:
        """Indices of all points chosen so far, in the order of the rounds."""
        return self._ledger.selected

    @property
    def queries(self) -> int:
        """Points the teacher has answered for in the whole run, the hold-out included."""
        return self._ledger.queries

    def __repr__(self) -> str:
        done = f"{len(self.history) - 1} of {self.rounds} rounds done" if self.history else "not begun"
        return f"ActiveDistiller({done}, {len(self.selected):,} of {len(self.pool):,} points, {self.queries:,} queries)"

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        last = self.history[-1] if self.history else None
        rows = {
            "student": type(self.student).__name__,
            "strategy": self._strategy_name,
            "rounds": f"{max(0, len(self.history) - 1)} of {self.rounds}, {self.budget:,} points each",
            "selected": f"{len(self.selected):,} of {len(self.pool):,} points",
            "queries": f"{self.queries:,}",
            "accuracy on the hold-out": "not trained yet" if last is None else f"{100 * last.holdout_accuracy:.3g}%",
        }
        return card("ActiveDistiller", rows)

    # A round.

    def _round(self, number: int) -> bool:
        """Choose, ask, weigh, train: from where the ledger ends. False where the pool is used up."""
        ledger, at = self._ledger, number - 1
        if len(ledger.choices) < number:
            if not self._available().any():
                return False
            self._choose(number)
        self._ask("queries", self.pool, ledger.points(at), ledger.answers)
        if len(ledger.answered(at)) == 0:
            warnings.warn(errors.no_answers(number, len(ledger.points(at))), stacklevel=3)
        if ledger.weights(at) is None:
            ledger.weigh(number, self._weights(ledger.answered(at)))
        self._train(number)
        return True

    def _choose(self, number: int) -> None:
        available = self._available()
        left = int(available.sum())
        if left < self.budget:
            warnings.warn(round_inputs.fewer_left(number, self.budget, left), stacklevel=4)
        round_ = self._what_is_known(number, available, min(self.budget, left))
        started = time.perf_counter()
        choice = self.strategy(round_)
        seconds = time.perf_counter() - started
        checked = round_inputs.choice_of(choice, available, round_.budget)
        self._ledger.remember(self._memory)
        self._ledger.choose(number, checked, seconds)

    def _available(self) -> npt.NDArray[np.bool_]:
        """Points that were not chosen, and of which the teacher is not known to have no answer."""
        available = np.ones(len(self.pool), bool) if self._silent is None else ~self._silent
        available[self.selected] = False
        return available

    def _what_is_known(self, number: int, available: npt.NDArray[np.bool_], budget: int) -> Round:
        self._says_probabilities = False
        logits = self._predict(self.pool.pool, "pool")
        self._says_probabilities = inputs.are_probabilities(logits)
        logits, known = inputs.logarithms(logits, self._says_probabilities), self._predict(self.labelled)
        known_logits = np.concatenate([known, logits[self.selected]])
        features, known_features = logits, known_logits
        if self.features is not None:
            features, known = (self._predict(data, call=self.features) for data in (self.pool.pool, self.labelled))
            known_features = np.concatenate([known, features[self.selected]])
        held, answered = self._teacher_on_holdout()
        near = vectors(self.features, features, self.pool.pool, self.holdout, self._predict)
        if "holdout_vectors" in near:
            near["holdout_vectors"] = near["holdout_vectors"][answered]
        return Round(
            budget=budget,
            available=available,
            student_logits=logits,
            teacher_logits=self._said,
            unanswered=self._silent,
            features=features,
            seed=self.seed,
            number=number - 1,
            holdout_labels=self.holdout.labels[answered],
            holdout_teacher=held,
            holdout_student=self._predict(self.holdout)[answered],
            known_features=known_features,
            known_logits=known_logits,
            labelled=self.labelled.labels,
            **near,
            memory=self._memory,
        )

    def _ask(self, title: str, data: Any, points: Int64s, answers: Answers) -> None:
        if (answers.known | answers.skipped)[points].all():
            return
        if self._asker.teacher is None:
            raise inputs.needs(self._strategy_name, "a teacher", "it mixes points, whose labels are not in pool_logits")
        with bar(title, len(points), self.progress) as step:
            self._asker.ask(data, points, answers, progress=step)

    def _teacher_on_holdout(self) -> tuple[Float32s, npt.NDArray[np.bool_]]:
        """The teacher's logits of those points of the hold-out that it answered, and which these are."""
        logits = self.holdout_logits
        if logits is None:
            answers = self._ledger.of_holdout
            self._ask("hold-out", self.holdout, np.arange(len(self.holdout)), answers)
            logits = answers.logits  # NaN where the answer was skipped
        answered = ~unanswered(logits)
        if not answered.any():
            raise errors.no_holdout(len(logits))
        return logits[answered], answered

    def _weights(self, points: Int64s) -> Float32s:
        """How likely the teacher's labels are right, judged with a student that has not learned them yet."""
        if self.weights is None or len(points) == 0:
            return np.ones(len(points), np.float32)
        held, answered = self._teacher_on_holdout()
        calibrator = Calibrator().fit(held, self.holdout.labels[answered], self._predict(self.holdout)[answered])
        said = self._predict(Rows(self.pool, points))
        return np.asarray(calibrator.predict(self._ledger.answers.logits[points], said), np.float32)

    def _train(self, number: int) -> None:
        """Train on all that is known after a round, and write down that it is done."""
        start = copy.deepcopy(self._initial if self.restart or number == 0 else self.student)
        self.student = self._trained(start, number)
        right = self._predict(self.holdout).argmax(1) == self.holdout.labels
        choice = self._ledger.choices[number - 1] if number else {"points": [], "seconds": 0.0, "value": None}
        weights = self._ledger.weights(number - 1) if number else None
        report = RoundReport(
            number=number,
            selected=len(choice["points"]),
            queries=self.queries,
            seconds_selecting=choice["seconds"],
            holdout_accuracy=float(right.mean()),
            mean_weight=None if weights is None or len(weights) == 0 else float(weights.mean()),
            value=choice["value"],
            certificate=choice.get("certificate"),  # old journals have none
            measured={} if self.evaluate is None else round_inputs.measured(self.evaluate(self.student)),
        )
        self._ledger.keep_student(self.student, asdict(report))
        self._ledger.journal.append("trained", report=asdict(report))
        self.history.append(report)

    def _trained(self, student: Any, number: int) -> Any:
        with torch.random.fork_rng():
            torch.manual_seed((self.seed * 1009 + number) % SEEDS)
            found = self.train(student, self._dataset(number))
        return round_inputs.trained(found, student)

    def _dataset(self, rounds: int) -> ConcatDataset[Any]:
        return self._ledger.dataset(self.labelled, rounds, self.classes, self.labels, self.temperature)

    # Going on after an interruption, and small things.

    def _restore(self) -> None:
        journal = self._ledger.journal
        self.history = [RoundReport(**record["report"]) for record in journal.of("trained")]
        kept = self._ledger.kept_student(self._initial, len(self.history))
        if kept is not None:
            self.student, report = kept
            if report["number"] == len(self.history):  # killed after the student was kept, before the journal said so
                journal.append("trained", report=report)
                self.history.append(RoundReport(**report))
        elif self.history:  # the student was not kept: train it again on what was paid for
            self.student = copy.deepcopy(self._initial)
            for number in range(len(self.history) - 1 if self.restart else 0, len(self.history)):
                self.student = self._trained(self.student, number)

    def _classes_known(self, *said: Any) -> int:
        """How many classes the teacher has, or else the labels."""
        for logits in said:
            shape = getattr(logits, "shape", None)
            if shape is not None and len(shape) == 2:
                return int(shape[1])
        return 1 + int(max(self.labelled.labels.max(), self.holdout.labels.max()))

    def _hold_out(self) -> Part:
        pairs = self.labelled
        if not isinstance(pairs, Pairs) or len(pairs) < 2:
            raise ValueError(
                f"labelled: expected at least 2 points to hold one out, got {len(pairs)}; or give holdout="
            )
        order = np.random.default_rng(self.seed).permutation(len(pairs))
        few = max(1, len(pairs) // HELD_OUT)
        self.labelled = pairs.part(np.sort(order[few:]))
        return pairs.part(np.sort(order[:few]))

    def _strategy(self, given: str | Strategy) -> tuple[Strategy, str]:
        name = given if isinstance(given, str) else str(name_of(given))
        return strategy(given), name

    def _given(self, name: str, value: Any, rows: int) -> Float32s | None:
        return None if value is None else given_answers(name, value, rows, self.classes)

    def _predict(self, data: Any, title: str | None = None, call: Callable[[Any, Any], Any] | None = None) -> Float32s:
        with bar(title, len(data), self.progress) as step:
            found = predict(
                self.student,
                data,
                batch_size=self.batch_size,
                call=call or self.call,
                collate=self.collate,
                progress=step,
            )
        bad = inputs.invalid(found)
        if bad.any():
            raise errors.diverged("logits" if call is None else "features", bad)
        if call is None:
            round_inputs.of_classes(found, self.classes)
        return inputs.logarithms(found, self._says_probabilities and call is None)

    def _trainer(self, train: Callable[[Any, Any], Any] | None) -> Callable[[Any, Any], Any]:
        """The default trainer; a ``Fit`` calls the student, and collates its inputs, as this distiller does."""
        if train is None and isinstance(self._initial, SklearnStudent):
            return SklearnStudent.learn
        if train is not None and type(train) is not Fit:
            return train
        fit_inputs.trained_by_fit(self._initial, own=train is None)
        fit = Fit(holdout=self.holdout, seed=self.seed) if train is None else copy.copy(train)
        fit_inputs.loss_of_probabilities(fit.loss)
        if fit.call is logits_of:
            fit.call = self.call
        if fit.collate is default_collate and self.collate is not default_collate:
            fit.collate = Items(self.collate)
        return fit
