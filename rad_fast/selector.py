"""The selector: its settings, and the way from logits to a selection, at once or in chunks."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import inputs
from .calibration import Calibrator, rule_of
from .device import topk
from .device.backends import Backend
from .device.backends import backend as _backend
from .device.route import Route, Task, route
from .device.to_host import fetched, host_blocks
from .game import on_device, one_pass
from .game.busy import Busy
from .game.by_class import play
from .game.group import Alone, GroupPool, common, group_of, totals
from .game.pool import ArrayPool
from .game.quotas import Shares, class_counts, shares_and_mistakes, shares_of_mistakes
from .game.sampling import sample
from .game.solver import on_grid, solve
from .inputs.parameters import Parameters
from .inputs.typed import BackendName, Budget, Given, InvalidRows
from .kernels.reference.game import Equilibria, Equilibrium
from .kernels.reference.sample import others_of, start
from .kernels.reference.score import Gain, Invalid, Kind, Points
from .report.numbers import Counted, counted
from .selection import Selection
from .storage.blocks import Pieces
from .storage.scored import Scored
from .storage.workdir import ScoreFiles

MOST_BY_CLASS = 2**32  # points whose games by class a device plays: it numbers them by 32 bits
LOG = logging.getLogger("rad_fast")
RAW_MISTAKES = 0.02  # of the points: on logits of four real teachers, with quotas, as good as more or none


class Selector(Parameters):
    """The settings of a selection; ``fit`` selects from one array, ``partial_fit`` and ``finalize`` from chunks.

    Parameters are those of ``select``; ``get_params``, ``set_params`` and ``sklearn.base.clone`` know them by name.
    ``process_group``: a group of torch.distributed. Every rank then gives its own points, any number of them, and gets
    its own indices. All ranks have to call ``fit`` and ``finalize``. The indices do not depend on how the points are
    split into chunks or ranks. ``scores``: a folder, one per rank, that keeps the points' scores
    in files mapped into memory: 12 bytes per point on disk instead of in memory. Scores of an earlier selection in that
    folder are replaced.

    ``fit`` may be called from several threads at once. ``partial_fit`` and ``finalize`` may not, nor may ``fit`` with
    ``scores`` or a process group: while one thread is in such a call, others are refused. A selector can be pickled and
    copied, even between chunks, unless it has a ``scores`` folder or a process group.

    Examples
    --------
    >>> import numpy as np, rad_fast
    >>> logits = np.random.default_rng(0).normal(0, 5, size=(1000, 10)).astype("float32")
    >>> selection = rad_fast.Selector(0.01).fit(logits)
    >>> print(selection.indices[:3], round(float(selection.weights[0]), 2))
    [ 83 361 421] 28.38
    >>> selector = rad_fast.Selector(0.01)
    >>> for chunk in np.array_split(logits, 7):
    ...     selector = selector.partial_fit(chunk)
    >>> bool((selector.finalize().indices == selection.indices).all())
    True
    """

    derived = ("_quotas", "_seed", "_kernels", "_group")

    def __init__(
        self,
        budget: Budget,
        *,
        mistakes: Budget | None = None,
        quotas: Any = "auto",
        seed: int = 0,
        random_state: int | None = None,
        invalid: InvalidRows = "raise",
        backend: BackendName = "auto",
        process_group: Any = None,
        scores: str | os.PathLike[str] | None = None,
    ) -> None:
        inputs.budget_alone(budget)
        inputs.mistakes(mistakes)
        self.budget = budget
        self.mistakes = mistakes
        self.quotas = quotas
        self._quotas = inputs.quotas(quotas)
        self.seed = seed
        self.random_state = random_state
        self._seed = inputs.seed(seed, random_state)
        inputs.choice("invalid", invalid, ("raise", "exclude"))
        self.invalid = invalid
        self.backend = backend
        self.process_group = process_group
        self._kernels: Backend = _backend(backend)
        self._group = group_of(process_group)
        inputs.folder("scores", scores)
        self.scores = scores
        self._files: ScoreFiles | None = None
        self._state = Scored()
        self._indices_alone = False  # whether nobody asks for more: then no point's scores need be kept
        self._busy = Busy()

    def fit(
        self,
        logits: Any,
        *,
        student_logits: Any = None,
        gain: Any = "auto",
        correctness: Any = None,
        agreement: Any = None,
        chosen: Any = None,
        exclude: Any = None,
    ) -> Selection:
        """Select from one array; arguments as in ``select``. Earlier calls of ``partial_fit`` are forgotten."""
        given = Given(logits, student_logits, gain, correctness, chosen, exclude, agreement)
        if self.scores is not None or not isinstance(self._group, Alone):
            with self._busy:
                return self._fit(given)
        if inputs.is_cuda(logits):
            kernels = route(self.backend, logits)
            few = self._quotas is None or int(logits.shape[0]) <= MOST_BY_CLASS
            if few and _on_device(given):
                selection = self._fit_on_device(kernels, given)
                if self._state.source is not None:  # of chunks before
                    self._state = Scored()
                return selection
        mine = self._twin()  # other threads do not see its points before they are whole
        selection = mine._fit(given)
        self._state = mine._state
        return selection

    def _fit(self, given: Given) -> Selection:
        self._state = Scored(self._files)
        if self._files is not None:
            inputs.same_folder(self._files.folder, self.scores)
            self._files.restart()
        logits = given.logits
        if isinstance(logits, np.ndarray) and logits.ndim == 2 and logits.dtype.kind == "f":
            inputs.warn_unwritten("logits", inputs.first_unwritten(logits))
        every = not inputs.is_cuda(logits)
        self._group.exchange(lambda: [self._score(block, every)._state.points for block in self._blocks(given)])
        return self._finish()

    def _blocks(self, given: Given) -> Iterable[Given]:
        """What is given, in the pieces in which it is scored: what a device does not score comes in small ones."""
        if inputs.is_cuda(given.logits) and not _on_device(given):
            return host_blocks(given)
        return (given,)

    def partial_fit(
        self,
        logits: Any,
        *,
        student_logits: Any = None,
        gain: Any = "auto",
        correctness: Any = None,
        agreement: Any = None,
        chosen: Any = None,
        exclude: Any = None,
    ) -> Selector:
        """Score the next points; arguments as in ``select``, for these points alone. 13 bytes of each are kept.

        ``gain`` and ``correctness`` must be of one kind in all calls; counts given as ``chosen`` add up. A call that
        raises leaves the selector as it was.
        """
        with self._busy:
            return self._score(Given(logits, student_logits, gain, correctness, chosen, exclude, agreement))

    def _score(self, given: Given, every: bool = False) -> Selector:
        """``every``: whether these are all points."""
        logits, student_logits, gain, correctness, chosen, exclude, agreement = given
        if self.scores is not None and self._files is None:  # only now: an error here is heard by all ranks of a group
            self._files = self._state.store = ScoreFiles(Path(self.scores))
        if self._files is not None:
            inputs.same_folder(self._files.folder, self.scores)
        inputs.agreement_of(agreement, correctness)
        of_rows = {"student_logits": student_logits, "gain": gain, "correctness": correctness}
        inputs.refuse_reordered("logits", logits, {**of_rows, "chosen": chosen, "exclude": exclude})
        wrap = None
        if inputs.is_cuda(logits):
            kernels = route(self.backend, logits)
            if _on_device(given):
                return self._score_on_device(kernels, given)
            wrap = kernels.back(kernels.matrix("logits", logits, empty=True))
            logits, student_logits, gain, correctness, chosen, exclude, agreement = map(fetched, given)
        else:
            inputs.host_backend(self.backend)
        teacher = inputs.matrix("logits", logits, empty=True)
        student = None
        if student_logits is not None:
            student = inputs.matrix("student_logits", student_logits, empty=True)
            inputs.same_rows(teacher, student)
        inputs.quotas_of_classes(self._quotas, teacher.classes)
        before, elsewhere = inputs.chosen(chosen, teacher.rows, teacher.classes)
        mask = inputs.exclude_mask(exclude, teacher.rows)
        silent = inputs.unanswered(teacher, student, gain)
        for part in (before, silent):
            if part is not None:
                mask = part if mask is None else mask | part
        rule = rule_of(correctness, teacher, student)._replace(gain=inputs.gain_of(gain, teacher, student))
        numbers = inputs.agreement_array(agreement, teacher.rows, mask)
        if rule.kind == Kind.GIVEN:
            numbers = inputs.correctness_array(correctness, teacher.rows, mask)
        gains = inputs.gain_array(gain, teacher.rows, mask)
        source = inputs.source(teacher, student, correctness, _gain_named(gain, rule.gain))
        inputs.same_source(self._state.source, source)
        seen = self._state.with_chunk(teacher, student, mask)
        points = self._state.store.room(teacher.rows)
        others = others_of(teacher.classes, (student or teacher).classes)
        if others == 1 or (self._quotas is None and self._files is None):  # nobody will ask for it
            points = points._replace(other=None)
        of_student = None if student is None else student.data
        first, ahead = self._state.points, None

        def score() -> tuple[Invalid, Invalid]:
            return topk.appraise(self._kernels, teacher.data, of_student, rule, numbers, points, first)

        if every and self._files is None and gains is None and isinstance(self._group, Alone):
            stakes = (_labelled(source), self.budget, self._mistakes(source), others, self._kernels)
            scoring = one_pass.Scoring(teacher.data, of_student, rule, numbers, mask, before)
            ahead = one_pass.begin(scoring, self._quotas, elsewhere, *stakes, not self._indices_alone)
        bad = score() if ahead is None else ahead.score(points, score, keep=not self._indices_alone)
        if self.invalid == "raise":
            self._refuse_invalid(teacher, student, points, mask, bad)
        if gains is not None:
            np.copyto(points.gain, gains, where=~np.isnan(points.gain))
        excluded = invalid = 0
        if mask is not None and ahead is not None and not (bad[0].rows or bad[1].rows):
            excluded = int(np.count_nonzero(mask))
        elif mask is not None or bad[0].rows or bad[1].rows:
            spoilt = np.isnan(points.gain)
            if mask is not None:
                excluded = int(np.count_nonzero(mask))
                spoilt &= ~mask
                if not self._state.store.whole:
                    points.gain[mask] = np.nan
            invalid = int(np.count_nonzero(spoilt))
        if before is not None and ahead is not None and self._indices_alone:
            elsewhere = ahead.chosen
        elif before is not None:
            label = points.label[before]
            elsewhere = np.bincount(label[label >= 0], minlength=teacher.classes)
        self._state.add(points, source, excluded, invalid, wrap or teacher.wrap, elsewhere)
        self._state.seen, self._state.ahead = seen, ahead
        self._state.unanswered += 0 if silent is None else int(np.count_nonzero(silent))
        return self

    def finalize(self) -> Selection:
        """Solve the game on all points given so far and draw the sample."""
        with self._busy:
            return self._finish()

    def _twin(self) -> Selector:
        """A selector of the same settings and with points of its own."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._busy = Busy()
        return twin

    def __getstate__(self) -> dict[str, Any]:
        if not isinstance(self._group, Alone):
            raise inputs.not_pickled("process_group", "a process group belongs to its process")
        if self._files is not None:
            raise inputs.not_pickled("scores", f"the folder {self._files.folder} belongs to this selector")
        return self.__dict__

    def _finish(self) -> Selection:
        state, group = self._state, self._group
        source = state.source
        asked = self._quotas.tolist() if isinstance(self._quotas, np.ndarray) else self._quotas
        common(group, "settings", (self.budget, self.mistakes, asked, self._seed, self.invalid))
        common(group, "logits, student_logits, gain and correctness", None if source is None else source.described())
        seen = (state.points, state.excluded, state.invalid, state.unanswered)
        count, excluded, invalid, unanswered = totals(group, seen)
        if source is None or count == 0:
            raise ValueError("logits: expected at least one row; call partial_fit(logits) first")
        for name, every in zip(
            ("logits", "student_logits"), zip(*group.exchange(lambda: state.seen), strict=True), strict=True
        ):
            inputs.refuse_all_probabilities(name, every)
        possible = count - excluded - invalid
        if possible == 0:
            raise inputs.none_valid("logits")
        budget = inputs.budget(self.budget, count, excluded + invalid)
        count_of, each = self._mistakes(source)
        mistakes = count_of + each * possible
        pieces = state.store.settled()
        running, found = start(self._seed, budget, count), None
        answer: Equilibrium | Equilibria
        ahead, state.ahead = state.ahead, None
        if self._quotas is None:
            spoilt = on_grid(mistakes)
            done = None if ahead is None else ahead.play(budget, spoilt, running)
            answer, indices = done or self._alone(pieces.pieces, budget, spoilt, running)
        else:
            others = others_of(source.classes, source.student_classes or source.classes)
            here, found = self._shares(pieces.pieces, source, budget, ahead)
            stakes = found.quotas, shares_of_mistakes(found, mistakes)
            done = None if ahead is None else ahead.play(*stakes, running)
            answer, indices = done or play(pieces.pieces, found, mistakes, others, running, self._kernels, group, here)
        (sampled,) = totals(group, (len(indices),))
        if sampled != budget:
            raise RuntimeError(f"the sample has {sampled} points, not {budget}: please report this as a bug")
        counts = (count, excluded, invalid, unanswered)
        everywhere = None
        if not isinstance(group, Alone):  # for the report: later, not every rank may ask for it
            everywhere = group.exchange(lambda: counted(indices, pieces.pieces, answer.threshold))
        return self._selection(
            indices, answer, budget, mistakes, counts, pieces, self._kernels, state.wrap, source, found, everywhere
        )

    def _alone(
        self, chunks: list[Points], budget: int, mistakes: float, running: int
    ) -> tuple[Equilibrium, npt.NDArray[np.int64]]:
        """The equilibrium of the one game on all points, and this rank's indices."""
        mine, group = ArrayPool.of(chunks, self._kernels), self._group
        answer = solve(mine if isinstance(group, Alone) else GroupPool(mine, group), budget, mistakes)
        return answer, sample(chunks, answer, running, self._kernels, group)

    def _shares(
        self, chunks: list[Points], source: inputs.Source, budget: int, ahead: one_pass.Ahead | None
    ) -> tuple[npt.NDArray[np.int64], Shares]:
        """How many points of each class are here, and the quotas."""
        classes, group = source.classes, self._group
        sizes = class_counts(chunks, classes, self._kernels) if ahead is None else ahead.counts()
        counts, chosen = mine = sizes, self._state.chosen_of(classes)
        if not isinstance(group, Alone):
            counts, chosen = (np.sum(parts, axis=0) for parts in zip(*group.exchange(lambda: mine), strict=True))
        asked = (self._quotas, counts, chosen, _labelled(source), budget)
        return sizes[0], shares_and_mistakes(*asked, 0.0, self._kernels)[0]

    def _selection(
        self,
        indices: Any,
        answer: Equilibrium | Equilibria,
        budget: int,
        mistakes: float,
        counts: tuple[int, int, int, int],
        pieces: Pieces,
        kernels: Backend | Route,
        wrap: Callable[[Any], Any],
        source: inputs.Source,
        found: Shares | None = None,
        everywhere: list[Counted] | None = None,
    ) -> Selection:
        # fsum is exact: zeros, of most classes of a vocabulary, change nothing.
        value = (
            math.fsum(answer.value[answer.value != 0.0].tolist()) if isinstance(answer, Equilibria) else answer.value
        )
        if value <= 0:
            inputs.warn_unreliable(value, mistakes, budget)
        LOG.info("selected %d of %d points, value %.6g, by %s", budget, counts[0], value, kernels.name)
        return Selection._of(
            indices=wrap(indices),
            budget=budget,
            value=value,
            mistakes=mistakes,
            price=answer.price,
            threshold=answer.threshold,
            share=answer.share,
            seed=self._seed,
            backend=kernels.name,
            n_points=counts[0],
            n_excluded=counts[1],
            n_invalid=counts[2],
            _indices=indices,
            _pieces=pieces,
            _kernels=kernels,
            _wrap=wrap,
            calibrator=source.calibrator,
            quotas=None if found is None else found.quotas,
            _shares=found,
            _everywhere=everywhere,
            _gain_of=_gain_of(source),
            n_unanswered=counts[3],
            _answer=answer,
            _before=None,
        )

    def _resume(
        self, files: ScoreFiles, excluded: int, invalid: int, chosen: npt.NDArray[np.int64] | None = None
    ) -> None:
        """Go on after the points whose scores are in files; ``partial_fit`` was given an empty chunk before."""
        self._state.chosen = chosen
        self.scores, self._files, self._state.store = files.folder, files, files
        self._state.excluded, self._state.invalid = excluded, invalid

    def _refuse_invalid(
        self,
        teacher: inputs.Matrix,
        student: inputs.Matrix | None,
        points: Points,
        mask: npt.NDArray[np.bool_] | None,
        bad: tuple[Invalid, Invalid],
    ) -> None:
        """Raise for rows that hold no distribution, unless they are excluded anyway."""
        if not bad[0].rows and not bad[1].rows:
            return
        if mask is not None:
            rows = np.flatnonzero((points.label < 0) & ~mask)
            bad = (self._invalid_among(teacher, rows), self._invalid_among(student, rows))
        for matrix, found in zip((teacher, student), bad, strict=True):
            if matrix is not None and found.rows:
                raise inputs.invalid_rows(matrix.name, found.rows, self._state.points + found.first)

    def _invalid_among(self, matrix: inputs.Matrix | None, rows: npt.NDArray[np.int64]) -> Invalid:
        if matrix is None or len(rows) == 0:
            return Invalid()
        wrong = rows[topk.score(self._kernels, matrix.data[rows]).label < 0]
        return Invalid(len(wrong), int(wrong[0])) if len(wrong) else Invalid()

    def _mistakes(self, source: inputs.Source) -> tuple[float, float]:
        """How many mistakes the adversary has: a count, and a number for each point that can be selected."""
        if self.mistakes is not None:
            return inputs.mistakes_rate(self.mistakes)
        if isinstance(source.calibrator, Calibrator):
            return 0.0, source.calibrator.mistakes(1)
        return 0.0, RAW_MISTAKES if source.accuracy is None else 1.0 - source.accuracy

    def _fit_on_device(self, kernels: Route, given: Given) -> Selection:
        """The whole selection in CUDA memory, waited for once, or twice with quotas."""
        with kernels.current_stream(given.logits):
            asked = kernels.task(rule_of, given)
            source = _source_of(asked, given)
            keep_out = self.invalid == "exclude"
            settings = (self.budget, self._mistakes(source), self._seed, keep_out)
            if self._quotas is None:
                done = on_device.select(kernels, asked, *settings)
            else:
                inputs.quotas_of_classes(self._quotas, asked.teacher.classes)
                done = on_device.select_by_class(kernels, asked, self._quotas, _labelled(source), *settings)
        return self._selection(
            done.indices,
            done.answer,
            done.budget,
            done.mistakes,
            (asked.teacher.rows, done.excluded, done.invalid, 0),
            Pieces([done.points]),
            kernels,
            asked.teacher.wrap,
            source,
            done.found,
        )

    def _score_on_device(self, kernels: Route, given: Given) -> Selector:
        """Score a chunk where it is; its points are kept in host memory."""
        with kernels.current_stream(given.logits):
            asked = kernels.task(rule_of, given, empty=True)
            inputs.quotas_of_classes(self._quotas, asked.teacher.classes)
            source = _source_of(asked, given)
            inputs.same_source(self._state.source, source)
            ordered = self._quotas is not None or self._files is not None  # along neighbours
            offset, keep_out = self._state.points, self.invalid == "exclude"
            chunk = kernels.scored(asked, keep_out, offset, others=ordered and asked.others > 1)
        of_teacher, of_student = self._state.seen
        seen = of_teacher.joined("logits", chunk.seen[0]), of_student.joined("student_logits", chunk.seen[1])
        counts = (chunk.excluded, chunk.invalid, kernels.back(asked.teacher), chunk.before)
        self._state.add(chunk.points, source, *counts)
        self._state.seen = seen
        return self


def _on_device(given: Given) -> bool:
    """Whether a device scores these; a student's k largest logits alone it does not."""
    return given.student_logits is None or not hasattr(given.student_logits, "n_classes")


def _labelled(source: inputs.Source) -> int | None:
    """How many points calibrated correctness; None: it is not calibrated."""
    return source.calibrator.n_labelled_ if isinstance(source.calibrator, Calibrator) else None


def _source_of(asked: Task, given: Given) -> inputs.Source:
    """What all chunks have in common, of a task on a device."""
    return inputs.source(asked.teacher, asked.student, given.correctness, _gain_named(given.gain, asked.rule.gain))


def _gain_of(source: inputs.Source) -> str | None:
    """What the gain is of, as the labelled points of a Calibrator know it; None where it was given."""
    if source.gain == "of the label":
        return "label"
    if source.gain == "of the margin":
        return "teacher" if source.student_classes is None else "student"
    return None


def _gain_named(asked: Any, computed: Gain) -> str:
    """A gain as messages and other ranks know it."""
    if not isinstance(asked, str):
        return "from an array"
    return "of the label" if computed == Gain.LABEL else "of the margin"
