"""What a run knows and has written down: choices, answers, weights, reports, and the student beside them."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.utils.data import ConcatDataset, Dataset

from rad_fast.storage.npy import write_together

from . import errors
from .data import SoftLabelDataset, soft_targets
from .journal import Journal, packed, unpacked
from .pairs import Mixed, Pairs, Part
from .querying import Answers
from .strategies import Choice

AGAIN = "neighbours"  # what the strategies here compute again where it is missing
Float32s = npt.NDArray[np.float32]
Int64s = npt.NDArray[np.int64]


class Ledger:
    """The journal of a run, read as what it means. ``pool_logits``: answers that were there before the run."""

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        run: dict[str, Any],
        pool: Mixed,
        pool_logits: Float32s | None,
    ) -> None:
        self.pool = pool
        self.pool_logits = pool_logits
        self.journal = Journal(path)
        try:
            self.journal.begin(run)
            self.answers = Answers("pool", run["pool"], run["classes"], self.journal)
            self.of_holdout = Answers("holdout", run["holdout"], run["classes"], self.journal)
            for choice in self.choices:
                self._take(choice)
        except BaseException:
            self.journal.release()
            raise

    @property
    def choices(self) -> list[dict[str, Any]]:
        return self.journal.of("choice")

    @property
    def selected(self) -> Int64s:
        return np.array([point for choice in self.choices for point in choice["points"]], dtype=np.int64)

    @property
    def queries(self) -> int:
        return sum(len(record["points"]) for kind in ("answers", "skipped") for record in self.journal.of(kind))

    def points(self, at: int) -> Int64s:
        return np.array(self.choices[at]["points"], np.int64)

    def answered(self, at: int) -> Int64s:
        """The points of a choice whose labels are known: all but the skipped ones, once the teacher was asked."""
        points = self.points(at)
        return points[self.answers.known[points]]

    def choose(self, number: int, choice: Choice, seconds: float) -> None:
        self.journal.append(
            "choice",
            round=number,
            points=choice.indices.tolist(),
            partners=None if choice.partners is None else choice.partners.tolist(),
            shares=None if choice.shares is None else choice.shares.tolist(),
            seconds=seconds,
            value=choice.value,
            certificate=choice.certificate,
        )
        self._take(self.choices[-1])

    def remember(self, memory: dict[str, Any]) -> None:
        """Keep what a strategy noted for the rounds to come: arrays of whole numbers, and the names of all else."""
        before, forgotten = self.memory()
        arrays = {name: value for name, value in memory.items() if noted(value)}
        changed = [name for name in arrays if name not in before or not np.array_equal(arrays[name], before[name])]
        new = {name: packed(arrays[name]) for name in changed}
        others = sorted(set(memory) - set(arrays) - {AGAIN})
        if new or others != forgotten:
            self.journal.append("memory", arrays=new, others=others)

    def memory(self) -> tuple[dict[str, Any], list[str]]:
        """What was noted, and the names of what is not kept."""
        records = self.journal.of("memory")
        found = {name: unpacked(value) for record in records for name, value in record["arrays"].items()}
        return found, records[-1]["others"] if records else []

    def _take(self, choice: dict[str, Any]) -> None:
        """Mix what is to be mixed; what is not has its answer in ``pool_logits``, where they are given."""
        if choice["partners"] is not None:
            self.pool.mix(choice["points"], choice["partners"], choice["shares"])
        if self.pool_logits is not None:
            points = np.array([at for at in choice["points"] if at not in self.pool.partners], np.int64)
            self.answers.logits[points], self.answers.known[points] = self.pool_logits[points], True

    def weigh(self, number: int, weights: Float32s) -> None:
        self.journal.append("weights", round=number, weights=packed(weights))

    def weights(self, at: int) -> Float32s | None:
        """Of the answered points of a choice; None where they are not known yet."""
        records = self.journal.of("weights")
        return unpacked(records[at]["weights"]) if at < len(records) else None

    def dataset(
        self, labelled: Pairs | Part, rounds: int, classes: int, labels: str, temperature: float
    ) -> ConcatDataset[Any]:
        """The labelled points, and the answered points of the first rounds: items (input, target (C,), weight ())."""
        parts: list[Dataset[Any]] = [SoftLabelDataset(labelled, labelled.labels, n_classes=classes)]
        for at in range(rounds):
            points = self.answered(at)
            if len(points) == 0:
                continue
            logits = self.answers.logits[points]
            targets = torch.from_numpy(logits.argmax(1)) if labels == "hard" else soft_targets(logits, temperature)
            weights = self.weights(at)
            parts.append(
                SoftLabelDataset(
                    self.pool, targets, indices=points, weights=weights, n_classes=classes, input_of=as_it_is
                )
            )
        return ConcatDataset(parts)

    # The student is kept beside the journal, whole or not at all.

    @property
    def _beside(self) -> Path | None:
        path = self.journal.path
        return None if path is None else path.with_name(path.name + ".student")

    def keep_student(self, student: Any, report: dict[str, Any]) -> None:
        path = self._beside
        if path is None or not isinstance(student, nn.Module):
            return
        state = {"run": self.journal.id, "report": report, "weights": student.state_dict()}
        write_together({path: lambda file: torch.save(state, file)})

    def kept_student(self, student: Any, rounds: int) -> tuple[Any, dict[str, Any]] | None:
        """A copy of a student with the kept weights, and the report of their round, the last of so many or the one
        after it. None where there are none, or, with a warning, where they cannot be used."""
        path = self._beside
        if path is None or not path.exists() or not isinstance(student, nn.Module):
            return None
        found = copy.deepcopy(student)
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            report: dict[str, Any] = state["report"]
            if state.get("run") != self.journal.id:
                why = "it is of another run"
            elif report["number"] not in (rounds - 1, rounds):
                why = f"it is of round {report['number']}, and the journal has {rounds} rounds"
            else:
                found.load_state_dict(state["weights"])
                return found, report
        except Exception as error:  # noqa: BLE001 - a damaged file may raise anything
            why = f"{type(error).__name__}: {error}"
        warnings.warn(errors.student_not_used(path, why), stacklevel=5)
        return None


def noted(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "iub"


def as_it_is(item: Any) -> Any:
    return item


class Step(Protocol):
    """Moves a progress bar on."""

    def __call__(self, count: int, /) -> object: ...


def nothing(count: int, /) -> None:
    """No progress bar."""


@contextmanager
def bar(title: str | None, total: int, shown: bool, stays: bool = False) -> Iterator[Step]:
    """A progress bar, where it is wanted and tqdm is installed."""
    if not shown or title is None:
        yield nothing
        return
    try:
        from tqdm.auto import tqdm
    except ImportError:
        yield nothing
        return
    with tqdm(total=total, desc=title, leave=stays) as made:
        yield made.update
