"""Scoring what files hold: chunk by chunk, read ahead, and from where an earlier run was stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rad_fast.device.upload import Upload
from rad_fast.inputs import ON_DEVICE
from rad_fast.inputs.teachers import Probabilities, TeacherLabels, TopKLogits
from rad_fast.selector import Selector
from rad_fast.storage.readers import Shards, fingerprint
from rad_fast.storage.readers.ahead import read_ahead, touched
from rad_fast.storage.workdir import Workdir


class OfPoints(NamedTuple):
    """What is given of every point: arrays, or what goes for all of them."""

    gain: Any
    correctness: Any
    chosen: npt.NDArray[np.bool_] | None
    exclude: npt.NDArray[np.bool_] | None
    agreement: npt.NDArray[np.float32] | None = None

    def of(self, part: slice) -> dict[str, Any]:
        """The arguments of ``partial_fit`` for some of the points."""
        return {name: each[part] if isinstance(each, np.ndarray) else each for name, each in self._asdict().items()}

    def left_out(self, also: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_] | None:
        """All points that are not to be selected."""
        masks = [mask for mask in (self.chosen, self.exclude, also) if mask is not None]
        return np.logical_or.reduce(masks) if masks else None

    def chosen_before(self, labels: npt.NDArray[np.int32], classes: int) -> npt.NDArray[np.int64] | None:
        """How many of the points scored already were selected before, by class."""
        if self.chosen is None:
            return None
        label = labels[self.chosen[: len(labels)]]
        return np.bincount(label[label >= 0], minlength=classes)


def score(
    selector: Selector,
    teacher: Any,
    student: Shards | None,
    of_points: OfPoints,
    workdir: Workdir | None,
    chunk_bytes: int,
    advance: Callable[[int], object],
    *,
    top_k: TopKFiles | None = None,
    probabilities: tuple[bool, bool] = (False, False),
    upload: Upload | None = None,
) -> None:
    """Give a selector all rows of the shards; with a folder to work in, those that are not scored there yet.

    ``top_k``: what belongs to values of which only the largest of each row are in the shards. ``upload``: how chunks
    get to the device on which they are scored. ``probabilities``: whether the teacher's shards, and the student's, hold
    these and no logits.
    """

    def ready(chunk: Any) -> Any:
        if isinstance(chunk, TeacherLabels):
            return chunk
        return touched(chunk) if upload is None else upload.send(touched(chunk))

    def read(part: slice) -> tuple[Any, Any]:
        of_student = None if student is None else ready(student.read(part.start, part.stop))
        return ready(teacher.read(part.start, part.stop)), of_student

    def fit(part: slice, chunk: tuple[Any, Any]) -> None:
        if upload is not None:
            chunk = upload.received(chunk[0]), None if chunk[1] is None else upload.received(chunk[1])
        of_teacher, of_student = chunk
        if probabilities[0]:
            of_teacher = Probabilities.chunk("logits", of_teacher, part.start)
        elif top_k is not None:
            of_teacher = top_k.of(of_teacher, part)
        if probabilities[1]:
            of_student = Probabilities.chunk("student_logits", of_student, part.start)
        selector.partial_fit(of_teacher, student_logits=of_student, **of_points.of(part))

    fit(slice(0, 0), read(slice(0, 0)))  # what does not go together is refused before anything is read
    begin = 0
    if workdir is not None:
        begin = workdir.rows
        selector._resume(workdir.files, 0, 0)
    step = max(1, chunk_bytes // (teacher.row_bytes + (0 if student is None else student.row_bytes)))
    plans = (slice(at, min(teacher.rows, at + step)) for at in range(begin, teacher.rows, step))
    chunks = read_ahead(plans, read)
    try:
        for part, chunk in chunks:
            fit(part, chunk)
            if workdir is not None:
                workdir.finished(part.stop)
            advance(part.stop - part.start)
    finally:
        chunks.close()
    if workdir is not None:
        name = "logits" if student is None else "logits, or student_logits"
        name_of_invalid = name if selector.invalid == "raise" else None
        unanswered = teacher.unanswered if hasattr(teacher, "unanswered") else None
        mask = of_points.left_out(unanswered)
        counts = workdir.leave_out(mask, refuse_invalid=name_of_invalid)
        classes = teacher.classes if top_k is None else top_k.n_classes
        selector._state.chosen = of_points.chosen_before(workdir.files.maps.label[: teacher.rows], classes)
        selector._state.excluded, selector._state.invalid = counts


class TopKFiles(NamedTuple):
    """What belongs to the values of teachers that are stored as their top k."""

    indices: Shards
    n_classes: int
    logsumexp: npt.NDArray[Any] | None

    @property
    def paths(self) -> tuple[Path, ...]:
        return self.indices.paths

    def of(self, values: Any, part: slice) -> TopKLogits:
        sums = None if self.logsumexp is None else self.logsumexp[part]
        return TopKLogits(values, self.indices.read(part.start, part.stop), self.n_classes, sums)


def job_of(
    selector: Selector, teacher: Any, files: Mapping[str, Sequence[Path]], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """What scores depend on: budget, seed and mistakes are not among it."""
    from importlib.metadata import version

    named = [(f"{name}, file {number} {path.name}", path) for name in files for number, path in enumerate(files[name])]
    return {
        "rad_fast": version("rad_fast"),
        "backend": selector.backend if selector.backend in ON_DEVICE else selector._kernels.name,
        "rows": teacher.rows,
        "classes": teacher.classes,
        "dtype": teacher.dtype,
        "settings": dict(settings),
        "inputs": {name: fingerprint(path) for name, path in named},
    }
