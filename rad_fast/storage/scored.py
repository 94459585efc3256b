"""The points that a selector has scored so far, in memory or in files, and what is known of all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from rad_fast import inputs
from rad_fast.kernels.reference.score import Points

from .blocks import ScoreBlocks
from .workdir import ScoreFiles

NO_ROWS = inputs.Seen(), inputs.Seen()


class Scored:
    """The points scored so far."""

    def __init__(self, files: ScoreFiles | None = None) -> None:
        self.store: ScoreBlocks | ScoreFiles = ScoreBlocks() if files is None else files
        self.source: inputs.Source | None = None
        self.excluded = self.invalid = self.unanswered = 0
        self.ahead: Any = None  # of game.one_pass, where these points were all and added up while they were scored
        self.chosen: npt.NDArray[np.int64] | None = None  # of each class, before this selection
        self.seen = NO_ROWS  # of the teacher's rows and the student's
        self.wrap: Callable[[npt.NDArray[Any]], Any] = inputs.same

    def let_go(self) -> None:
        """Nobody holds the points any more."""
        if isinstance(self.store, ScoreBlocks):
            self.store.let_go()

    @property
    def points(self) -> int:
        return self.store.rows

    def with_chunk(
        self, teacher: inputs.Matrix, student: inputs.Matrix | None, mask: npt.NDArray[np.bool_] | None
    ) -> tuple[inputs.Seen, inputs.Seen]:
        """What has been seen with one more chunk; raises where it is probabilities and no logits."""
        of_teacher, of_student = self.seen
        return of_teacher.after(teacher, mask), of_student if student is None else of_student.after(student, mask)

    def add(
        self,
        points: Points,
        source: inputs.Source,
        excluded: int,
        invalid: int,
        wrap: Callable[[npt.NDArray[Any]], Any],
        chosen: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self.store.keep(points)
        if not source.columns and self.source is not None:
            source = source._replace(columns=self.source.columns)
        self.source, self.wrap = source, wrap
        self.excluded += excluded
        self.invalid += invalid
        if chosen is not None:
            self.chosen = chosen if self.chosen is None else self.chosen + chosen

    def chosen_of(self, classes: int) -> npt.NDArray[np.int64]:
        return np.zeros(classes, np.int64) if self.chosen is None else self.chosen
