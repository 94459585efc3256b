"""Ray Data: logits that a teacher's batch inference wrote into the columns of a dataset.

The scores are computed by ``map_batches`` where the blocks are. 13 bytes per point come to the driver, which solves the
game. The selected rows are then taken from the blocks in place.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import inputs
from .calibration import Calibrator
from .inputs.lists import matrix_of
from .inputs.typed import BackendName, Budget, InvalidRows
from .kernels.reference.score import Points
from .selector import Selector

SCORES = ("__rad_fast_gain", "__rad_fast_correctness", "__rad_fast_label", "__rad_fast_other")
CLASSES, BESIDE = "__rad_fast_classes", "__rad_fast_student"  # how many columns a row had, and its student's (0: none)
ERROR = "__rad_fast_error"  # what was wrong with a block
SEEN = "__rad_fast_seen"  # whether it looked like probabilities, in six numbers
EXCLUDED = -2  # the label of a row that is never to be selected; of an invalid row it is -1
CHOSEN = -3  # that of a row selected before: -3 less its label
GAINS = ("auto", "label", "margin")
NEEDED = 'rad_fast.ray needs ray and pyarrow, which cannot be imported ({error}): pip install "rad_fast[ray]"'


def select(
    dataset: Any,
    budget: Budget,
    *,
    logits: str = "logits",
    student_logits: str | None = None,
    probabilities: bool = False,
    student_probabilities: bool = False,
    teacher_labels: str | None = None,
    teacher_confidence: str | None = None,
    n_classes: int | None = None,
    gain: str = "auto",
    correctness: Any = None,
    agreement: str | None = None,
    mistakes: Budget | None = None,
    quotas: Any = "auto",
    chosen: Any = None,
    exclude: str | None = None,
    seed: int = 0,
    invalid: InvalidRows = "raise",
    backend: BackendName = "auto",
) -> Any:
    """Choose the ``budget`` rows of a Ray dataset that a student should learn; as ``rad_fast.select`` in all else.

    The dataset runs once: its rows and their scores are then held in Ray's object store, which spills to disk. Rows are
    numbered in the order of the dataset's blocks, so that the same dataset gives the same rows.

    Parameters
    ----------
    dataset : ray.data.Dataset
    budget : int in 1..N, or float in (0, 1]
    logits, student_logits : names of the columns with a row's logits, tensors or lists of one length.
    probabilities, student_probabilities : whether these columns hold probabilities, as softmax outputs do.
    teacher_labels, teacher_confidence, n_classes : in place of ``logits`` the name of a column with the teacher's
        labels, integers, -1 or null for no answer; that of a column with how likely the teacher says each is, if there
        is one; and how many classes there are.
    gain : "auto", "label" or "margin" as in ``rad_fast.select``, or the name of a column of numbers in [0, 1].
    correctness : None, a fitted Calibrator, the teacher's average accuracy, or the name of a column of numbers in
        [0, 1].
    agreement : name of a column of numbers in [0, 1], what ``rad_fast.agreement`` gives; needed where the Calibrator
        was fitted with it.
    chosen : name of a column of truth values, optional: rows selected before; or a mapping of classes to counts.
    exclude : name of a column of truth values, optional: rows never to select.
    mistakes, quotas, seed, invalid, backend : as in ``rad_fast.select``.

    Returns
    -------
    ray.data.Dataset : the selected rows with all their columns, in order.

    Raises
    ------
    ImportError, TypeError, ValueError : naming the argument, what was expected and what came.

    Examples
    --------
    Starting Ray takes seconds: the test of docs/howto/ray.md runs such a selection.

    >>> import ray, rad_fast.ray  # doctest: +SKIP
    >>> dataset = ray.data.read_parquet("logits/")  # doctest: +SKIP
    >>> chosen = rad_fast.ray.select(dataset, 1000, logits="teacher", student_logits="student")  # doctest: +SKIP
    >>> chosen.write_parquet("chosen/")  # doctest: +SKIP
    """
    try:
        ray, data, pyarrow = (importlib.import_module(name) for name in ("ray", "ray.data", "pyarrow"))
    except ImportError as error:
        raise ImportError(NEEDED.format(error=error)) from error
    selector = Selector(budget, mistakes=mistakes, quotas=quotas, seed=seed, invalid=invalid, backend=backend)
    if not hasattr(dataset, "map_batches"):
        raise TypeError(f"dataset: expected a ray.data.Dataset, got {type(dataset).__name__}")
    if teacher_labels is None and (teacher_confidence is not None or n_classes is not None):
        raise ValueError("teacher_confidence and n_classes: expected teacher_labels with them, got none")
    labels = None if teacher_labels is None else Labels(teacher_labels, teacher_confidence, n_classes)
    given = Columns(logits if labels is None else labels, student_logits, probabilities, student_probabilities)
    scorer = Scorer(given, gain, correctness, agreement, chosen, exclude, backend)
    columns = dataset.columns()
    scorer.check(columns)
    blocks = materialized(dataset, scorer)

    def scores(table: Any) -> Any:
        if not len(table):  # what is left of a block of which every row was filtered out has no columns
            return None, [], [()] * len(SCORES), []
        errors = table[ERROR].drop_null()
        if len(errors):
            return errors[0].as_py(), [], (), []
        sizes = np.unique(np.stack([np.asarray(table[name]) for name in (CLASSES, BESIDE)]), axis=1)
        fields = [np.asarray(table[name]) for name in SCORES]
        return None, [tuple(size) for size in sizes.T.tolist()], fields, table[SEEN].unique().to_pylist()

    def taken(table: Any, rows: npt.NDArray[np.int64]) -> Any:
        return table.drop_columns([*SCORES, CLASSES, BESIDE, ERROR, SEEN]).take(pyarrow.array(rows))

    sizes: list[int] = []
    on_block = ray.remote(scores)
    for found in (ray.get(reference) for reference in [on_block.remote(block) for block in blocks]):
        sizes.append(add(selector, scorer, found, sum(sizes)))
    if not sum(sizes):
        raise ValueError("dataset: expected at least one row, got none")
    count_classes(selector, chosen)
    indices = selector.finalize().indices
    begins = np.cumsum([0, *sizes])
    parts = np.split(indices, np.searchsorted(indices, begins[1:-1]))
    take = ray.remote(taken)
    picked = zip(blocks, parts, begins, strict=False)
    return data.from_arrow_refs([take.remote(block, part - begin) for block, part, begin in picked if len(part)])


def materialized(dataset: Any, scorer: Scorer) -> list[Any]:
    """The blocks of the dataset with their scores, where they are, in order."""
    options = dataset.context.execution_options
    before, options.preserve_order = options.preserve_order, True
    try:
        scored = dataset.map_batches(scorer, batch_format="pyarrow", batch_size=None, zero_copy_batch=True)
        scored.context.execution_options.preserve_order = True
        blocks: list[Any] = scored.materialize().to_arrow_refs()
    finally:
        options.preserve_order = before
    return blocks


def add(selector: Selector, scorer: Scorer, found: Any, rows_before: int) -> int:
    """Give the selector the scores of one block; returns the number of its rows."""
    error, classes, fields, seen = found
    if error is not None:
        raise ValueError(f"{error} (in the block that begins with row {rows_before})" if rows_before else error)
    gain, correctness, label, other = (np.array(field) for field in fields)
    if not len(gain):
        return 0
    looked_at(selector, seen)
    known = selector._state.source
    here = set(classes) if known is None else {*classes, (known.classes, known.student_classes or 0)}
    for name, lengths in zip(scorer.columns.names, zip(*here, strict=True), strict=True):
        if len(set(lengths)) > 1:
            said = " and ".join(str(length) for length in sorted(set(lengths)))
            raise ValueError(f"column {name!r}: expected rows of equal length, got {said}")
    before = label <= CHOSEN
    label[before] = CHOSEN - label[before]
    counts = np.bincount(label[before], minlength=classes[0][0]) if before.any() else None
    left_out, wrong = label == EXCLUDED, label == -1
    if wrong.any() and selector.invalid == "raise":
        names = " or ".join(repr(name) for name in scorer.columns.names if name is not None)
        raise inputs.invalid_rows(f"column {names}", int(wrong.sum()), rows_before + int(wrong.argmax()))
    label[left_out] = -1
    source = scorer.source(*classes[0])
    points = Points(gain, correctness, label, other)
    excluded = int(left_out.sum()) + int(before.sum())
    selector._state.add(points, source, excluded, int(wrong.sum()), inputs.same, counts)
    return len(gain)


def looked_at(selector: Selector, texts: list[str]) -> None:
    """Count a block's rows among those that were looked at: blocks of few rows say together what each cannot."""
    for text in texts:
        numbers = json.loads(text)
        before = zip(selector._state.seen, (numbers[:4], numbers[4:]), strict=True)
        teacher, student = (
            seen.and_also(inputs.Seen(alike, fractions, bool(others), percent))
            for seen, (alike, fractions, others, percent) in before
        )
        selector._state.seen = teacher, student


def count_classes(selector: Selector, chosen: Any) -> None:
    """What can be checked and counted once the number of classes is known."""
    source = selector._state.source
    if source is None:
        return
    inputs.quotas_of_classes(selector._quotas, source.classes)
    if isinstance(chosen, Mapping):
        selector._state.chosen = inputs.chosen(chosen, 0, source.classes)[1]


class Labels(NamedTuple):
    """The columns of a teacher that names a class: its labels, and how sure it says it is."""

    labels: str
    confidence: str | None
    n_classes: int | None

    def of(self, table: Any) -> inputs.TeacherLabels:
        said = table[self.labels]
        column = np.asarray(said.fill_null(-1) if said.null_count else said)
        sure = None if self.confidence is None else np.asarray(table[self.confidence], np.float64)
        try:
            return inputs.TeacherLabels(column, sure, n_classes=self.n_classes)  # type: ignore[arg-type]  # it checks
        except (TypeError, ValueError) as error:
            raise type(error)(f"columns {self.labels!r} and {self.confidence!r}: {error}") from error


class Columns(NamedTuple):
    """Where both models' answers stand, and whether they are probabilities."""

    teacher: str | Labels
    student: str | None
    teacher_probabilities: bool
    student_probabilities: bool

    @property
    def names(self) -> tuple[str, str | None]:
        return self.teacher.labels if isinstance(self.teacher, Labels) else self.teacher, self.student

    def of(self, table: Any) -> tuple[Any, Any]:
        """What ``select`` takes of both models."""
        if isinstance(self.teacher, Labels):
            teacher: Any = self.teacher.of(table)
        else:
            teacher = logits_of(table, self.teacher, self.teacher_probabilities)
        student = None if self.student is None else logits_of(table, self.student, self.student_probabilities)
        return teacher, student


def logits_of(table: Any, column: str, probabilities: bool) -> Any:
    rows = matrix_of(f"column {column!r}", table[column])
    return inputs.Probabilities.chunk(f"column {column!r}", rows, 0) if probabilities else rows


class Scorer:
    """What ``map_batches`` does with a block: its rows, and their scores beside them."""

    def __init__(
        self,
        columns: Columns,
        gain: str,
        correctness: Any,
        agreement: str | None,
        chosen: Any,
        exclude: str | None,
        backend: BackendName,
    ) -> None:
        self.columns, self.exclude, self.backend = columns, exclude, backend
        self.gain, self.correctness, self.agreement, self.chosen = gain, correctness, agreement, chosen

    def check(self, columns: list[str] | None) -> None:
        """Check the arguments, and the columns where the dataset knows them before it runs."""
        asked = dict(zip(("logits", "student_logits"), self.columns.names, strict=True))
        asked |= {"exclude": self.exclude, "agreement": self.agreement}
        if isinstance(self.columns.teacher, Labels):
            asked["teacher_labels"], asked["teacher_confidence"] = asked.pop("logits"), self.columns.teacher.confidence
        if self.gain not in GAINS:
            asked["gain"] = self.gain
        if not isinstance(self.chosen, Mapping):
            asked["chosen"] = self.chosen
        given = self.correctness
        if isinstance(given, str):
            asked["correctness"] = given
        elif given is not None and not isinstance(given, Calibrator) and not inputs.is_number(given):
            raise TypeError(
                "correctness: expected None, a Calibrator, a number or the name of a column, "
                f"got {type(given).__name__}"
            )
        for argument, name in asked.items():
            if name is not None and (not isinstance(name, str) or (columns and name not in columns)):
                raise ValueError(f"{argument}: expected the name of a column of the dataset, {columns}, got {name!r}")

    def source(self, classes: int, student_classes: int) -> inputs.Source:
        calibrator = self.correctness if isinstance(self.correctness, Calibrator) else None
        accuracy = float(self.correctness) if inputs.is_number(self.correctness) else None
        return inputs.Source(classes, student_classes or None, "the same for all blocks", calibrator, accuracy)

    def __call__(self, table: Any) -> Any:
        pyarrow = importlib.import_module("pyarrow")
        if not len(table):
            return table
        error = None
        try:
            self.check(table.column_names)
            classes, points, seen = self.scored(table)
        except (TypeError, ValueError) as failure:  # in Ray's own report it would be lost in a traceback
            error, classes, seen = " ".join(str(failure).split()), (0, 0), ""
            nothing = np.zeros(len(table), np.float32)
            points = Points(nothing, nothing, nothing.astype(np.int32), nothing.astype(np.uint8))
        for name, field in zip(SCORES, points, strict=True):
            table = table.append_column(name, pyarrow.array(field))
        for name, size in zip((CLASSES, BESIDE), classes, strict=True):
            table = table.append_column(name, pyarrow.array(np.full(len(table), size, np.int32)))
        for name, text in ((ERROR, error), (SEEN, seen)):
            table = table.append_column(name, pyarrow.array([text] * len(table), pyarrow.string()).dictionary_encode())
        return table

    def scored(self, table: Any) -> tuple[tuple[int, int], Points, str]:
        teacher, student = self.columns.of(table)
        correctness = self.correctness
        if isinstance(correctness, str):
            correctness = np.asarray(table[correctness])
        gain = self.gain if self.gain in GAINS else np.asarray(table[self.gain])
        mask, before = flags(table, self.exclude), None
        if not isinstance(self.chosen, Mapping):
            before = flags(table, self.chosen)
        # With quotas, so that the likeliest other classes are kept.
        selector = Selector(1, quotas="equal", invalid="exclude", backend=self.backend)
        agreed = None if self.agreement is None else np.asarray(table[self.agreement])
        of_points = {"gain": gain, "correctness": correctness, "agreement": agreed, "chosen": before, "exclude": mask}
        selector.partial_fit(teacher, student_logits=student, **of_points)
        points = selector._state.store.settled().joined()
        label = points.label.copy()
        label[np.isnan(points.gain)] = -1
        if isinstance(teacher, inputs.TeacherLabels):
            label[teacher.unanswered] = EXCLUDED
        if mask is not None:
            label[mask] = EXCLUDED
        if before is not None:
            label[before] = np.where(points.label[before] >= 0, CHOSEN - points.label[before], EXCLUDED)
        other = np.zeros(len(label), np.uint8) if points.other is None else points.other
        sizes = teacher.shape[1], 0 if student is None else student.shape[1]
        seen = json.dumps([int(number) for each in selector._state.seen for number in each.counts])
        return sizes, Points(points.gain, points.correctness, label, other), seen


def flags(table: Any, column: str | None) -> npt.NDArray[np.bool_] | None:
    """A column of truth values."""
    mask = None if column is None else np.asarray(table[column])
    if mask is not None and mask.dtype.kind in "iu" and np.isin(mask, (0, 1)).all():
        return mask.astype(bool)
    if mask is not None and mask.dtype != bool:
        raise TypeError(f"column {column!r}: expected truth values without nulls, got {mask.dtype}")
    return mask
