"""Asking the teacher: in batches, patiently, and never twice for the same point."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import default_collate

from rad_fast.inputs import TeacherLabels

from . import answers as said
from . import errors, inputs
from .journal import Journal, packed, unpacked
from .rows import first_of, items

Float32s = npt.NDArray[np.float32]
LOG = logging.getLogger("rad_fast")
# Mistakes in the callable itself: to wait and call it again brings the same.
MISTAKES = (AttributeError, ImportError, NameError, NotImplementedError, SyntaxError, TypeError)


class Answers:
    """The teacher's answers to the points of one data set, in memory and in the journal.

    ``logits[i]`` is valid where ``known[i]``; points in ``skipped`` were asked for and answered with NaN.
    """

    def __init__(self, where: str, points: int, classes: int, journal: Journal) -> None:
        self.where = where
        self.journal = journal
        self.logits = np.full((points, classes), np.nan, np.float32)
        self.known = np.zeros(points, bool)
        self.skipped = np.zeros(points, bool)
        for record in journal.records:
            if record.get("where") != where:
                continue
            points, kind = record["points"], record["kind"]
            if kind == "answers":
                self.logits[points], self.known[points] = unpacked(record["logits"]), True
            elif kind == "withdrawn":
                self.logits[points], self.known[points] = np.nan, False
            elif kind == "skipped":
                self.skipped[points] = True

    def keep(self, points: npt.NDArray[np.int64], logits: Float32s) -> None:
        self.journal.append("answers", where=self.where, points=points.tolist(), logits=packed(logits))
        self.logits[points] = logits
        self.known[points] = True

    def skip(self, points: npt.NDArray[np.int64]) -> None:
        self.journal.append("skipped", where=self.where, points=points.tolist())
        self.skipped[points] = True

    def are_probabilities(self, logits: Float32s) -> bool:
        """Whether a batch is of probabilities: small as it may be, together with the answers before it."""
        before = self.logits[np.flatnonzero(self.known)[: inputs.ENOUGH]]
        return inputs.are_probabilities(logits) or inputs.likely_probabilities(np.concatenate([before, logits]))

    def withdraw_probabilities(self) -> None:
        """Ask again for what was kept before there was enough of it to tell that it is no logits."""
        known = np.flatnonzero(self.known)
        points = known[inputs.fractions(self.logits[known])]
        if len(points):
            self.journal.append("withdrawn", where=self.where, points=points.tolist())
            self.logits[points], self.known[points] = np.nan, False


class Asker:
    """Asks a teacher for points that are not known yet.

    Parameters
    ----------
    teacher : a callable on a batch of inputs that returns logits (rows, C): tensor, array, or an object with .logits;
        or TeacherLabels or Probabilities. Points without an answer, the label -1, are skipped.
    batch : points a call.
    retries : how often a call that raises is repeated, after ``backoff`` seconds, twice as long each time, up to
        ``longest``.
    invalid : "raise" stops at rows that hold no distribution, "skip" goes on without those points.
    sleep : waits; tests give one that does not.
    collate : a list of inputs to a batch.
    """

    def __init__(
        self,
        teacher: Callable[[Any], Any] | None,
        *,
        batch: int,
        retries: int,
        backoff: float,
        invalid: str,
        sleep: Callable[[float], None],
        collate: Callable[[list[Any]], Any] = default_collate,
        longest: float = 60.0,
    ) -> None:
        self.teacher = teacher
        self.batch = batch
        self.retries = retries
        self.backoff = backoff
        self.invalid = invalid
        self.sleep = sleep
        self.collate = collate
        self.longest = longest
        self.asked = 0  # points given to the teacher by this object

    def ask(
        self,
        data: Any,
        points: npt.NDArray[np.int64],
        answers: Answers,
        *,
        progress: Callable[[int], object] = lambda rows: None,
    ) -> None:
        """Have the answers to these points known, or skipped, asking only for those that are neither."""
        wanted = points[~(answers.known[points] | answers.skipped[points])]
        progress(len(points) - len(wanted))
        for begin in range(0, len(wanted), self.batch):
            part = wanted[begin : begin + self.batch]
            kept = partial(self._kept, answers, points)
            answer = self._call(self.collate([first_of(item) for item in items(data, part)]), len(part), kept)
            self.asked += len(part)
            self._record(answer, part, answers, kept)
            progress(len(part))

    def _call(self, batch: Any, rows: int, kept: Callable[[], str]) -> Any:
        if self.teacher is None:
            raise TypeError("teacher: expected a callable on a batch, got None")
        wait = self.backoff
        for attempt in range(self.retries + 1):
            try:
                with torch.no_grad():
                    return self.teacher(batch)
            except MISTAKES as error:
                raise errors.teacher_mistaken(rows, error, kept()) from error
            except Exception as error:  # a remote call may raise anything
                if attempt == self.retries:
                    raise errors.teacher_failed(attempt + 1, rows, error, kept()) from error
                LOG.warning(errors.teacher_repeated(error, min(wait, self.longest), attempt + 1, self.retries))
                self.sleep(min(wait, self.longest))
                wait *= 2.0
        raise RuntimeError("retries: expected at least 0")  # the loop has returned or raised before

    def _record(self, answer: Any, part: npt.NDArray[np.int64], answers: Answers, kept: Callable[[], str]) -> None:
        labels_alone = isinstance(answer, TeacherLabels)
        try:
            array = said.logits_of(answer) if said.is_answer(answer) else inputs.host_array("its answer", answer)
        except TypeError as error:
            answers.journal.append("rejected", where=answers.where, points=part.tolist(), answer=repr(answer)[:10_000])
            raise errors.answer_type(error, kept()) from error
        classes = answers.logits.shape[1]
        if array.ndim != 2 or array.shape != (len(part), classes):
            answers.journal.append("rejected", where=answers.where, points=part.tolist(), answer=packed(array))
            if array.ndim == 2 and array.shape[1] == classes:
                raise errors.answer_rows(len(array), len(part), kept())
            if inputs.of_labels(array) and len(array) == len(part):
                raise errors.answer_labels(classes, kept())
            raise errors.answer_classes(array.shape, classes, kept())
        logits = np.ascontiguousarray(array, dtype=np.float32)
        bad = inputs.invalid(logits)
        if not said.is_answer(answer) and answers.are_probabilities(logits[~bad]):
            answers.journal.append("rejected", where=answers.where, points=part.tolist(), answer=packed(array))
            answers.withdraw_probabilities()
            raise errors.answer_probabilities(int((~bad).sum()), kept())
        if not said.is_answer(answer) and inputs.percentages(logits[~bad]):
            answers.journal.append("rejected", where=answers.where, points=part.tolist(), answer=packed(array))
            raise errors.answer_percentages(int((~bad).sum()), kept())
        if not bad.all():
            answers.keep(part[~bad], logits[~bad])
        if labels_alone and bad.any():  # the teacher says that it has no answer: nothing is amiss
            answers.skip(part[bad])
            return
        if bad.any():
            if self.invalid == "skip":
                answers.skip(part[bad])
            else:
                answers.journal.append(
                    "rejected", where=answers.where, points=part[bad].tolist(), answer=packed(logits[bad])
                )
                raise errors.answer_invalid(int(bad.sum()), len(part), int(part[bad][0]), answers.where, kept())

    @staticmethod
    def _kept(answers: Answers, points: npt.NDArray[np.int64]) -> str:
        known = int(answers.known[points].sum())
        path = answers.journal.path
        where = "kept in memory (give journal= to keep them on disk)" if path is None else f"kept in {path}"
        return f"{known} of {len(points)} answers are {where}; run() again asks only for the rest"
