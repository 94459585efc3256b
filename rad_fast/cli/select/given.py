"""What stands beside the logits: their classes where only the largest are stored, and the correctness of labels."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import rad_fast
from rad_fast import inputs
from rad_fast.storage.readers import Shards, Wanted, found, open_shards
from rad_fast.storage.readers.flat import Flat, open_flat, without_column
from rad_fast.storage.readers.pairing import check_paired, in_order

from .options import option, said_of
from .scoring import TopKFiles

NAMES = {  # of columns, by the option whose file may have others beside them
    "labels": ("labels", "label", "y", "target", "truth"),
    "correctness": ("correctness",),
    "gain": ("gain",),
    "exclude": ("exclude", "index", "indices"),
    "chosen": ("chosen", "index", "indices"),
    "logsumexp": ("logsumexp",),
    "logits": ("labels", "label"),
    "labelled_logits": ("labels", "label"),  # of a teacher that only names a class
    "teacher_confidence": ("confidence",),
    "labelled_confidence": ("confidence",),
    "agreement": ("agreement",),
    "labelled_agreement": ("agreement",),
}
NUMBERS = dict.fromkeys(("labels", "logits", "labelled_logits", "exclude", "chosen"), "integers")


class OfRows:
    """The options whose files have one number per row, each opened once."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.opened: dict[str, Flat] = {}

    def __call__(self, name: str, beside: Shards | None = None) -> npt.NDArray[Any] | None:
        """The numbers of an option's files, or None where it was not given; ``beside``: of the rows of these shards."""
        given = getattr(self.arguments, name)
        if not is_files(given):
            return None
        links = getattr(self.arguments, "follow_links", False)
        flat = open_flat(given, numbers=NUMBERS.get(name, "any"), names=NAMES[name], follow_links=links)
        self.opened[name] = flat
        if beside is not None and flat.shards.rows == beside.rows:
            check_paired(beside, flat.shards, "--" + name.replace("_", "-"))
        return flat.values

    @property
    def paths(self) -> dict[str, tuple[Path, ...]]:
        return {"--" + name.replace("_", "-"): flat.shards.paths for name, flat in self.opened.items()}


def is_files(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Path)


def given_top_k(arguments: argparse.Namespace, teacher: Shards, of_rows: OfRows) -> TopKFiles | None:
    if arguments.top_k is None:
        return None
    indices = open_shards(in_order(arguments.top_k), follow_links=arguments.follow_links, numbers="integers")
    sums = of_rows("logsumexp", teacher)
    shape = (teacher.rows, teacher.classes)
    if (indices.rows, indices.classes) != shape:
        got = (indices.rows, indices.classes)
        raise ValueError(f"{indices.paths[0]}: expected a class for every value, shape {shape}, got {got}")
    check_paired(teacher, indices, "--top-k")
    if sums is not None and sums.shape != shape[:1]:
        raise ValueError(f"{arguments.logsumexp[0]}: expected one number per row, shape {shape[:1]}, got {sums.shape}")
    return TopKFiles(indices, arguments.classes, sums)


def given_quotas(arguments: argparse.Namespace) -> Any:
    """A word, None, or the weights in a file."""
    if is_files(arguments.quotas):
        return open_flat(arguments.quotas, names=("quotas", "weights", "weight")).values
    return None if arguments.quotas == "none" else arguments.quotas


class LabelFile:
    """A teacher's labels in files, and how sure it says it is of each: read as shards of logits are."""

    dtype = "labels"

    def __init__(self, arguments: argparse.Namespace, of_rows: OfRows) -> None:
        self.labels, self.shards = answers(arguments, of_rows, "logits", "teacher_confidence")
        self.paths = self.shards.paths
        self.rows, self.classes = self.labels.shape
        self.row_bytes = 12

    @property
    def unanswered(self) -> npt.NDArray[np.bool_]:
        return self.labels.unanswered

    def read(self, begin: int, end: int) -> inputs.TeacherLabels:
        return self.labels[begin:end]

    def described(self) -> list[dict[str, Any]]:
        return self.shards.described()


def answers(
    arguments: argparse.Namespace, of_rows: OfRows, labels: str, confidence: str
) -> tuple[inputs.TeacherLabels, Shards]:
    """What a teacher that only names classes says, and the files that its labels are in; of two options' names."""
    named = of_rows(labels)
    shards = of_rows.opened.pop(labels).shards
    sure = of_rows(confidence, shards)
    names = {"labels": option(arguments, labels), "confidence": option(arguments, confidence)}
    with said_of({**names, "n_classes": "--classes"}):
        return inputs.TeacherLabels(named, sure, n_classes=arguments.classes), shards


class Labelled:
    """The labelled points: what the teacher says, the true classes, the student's logits, in files of any format."""

    def __init__(self, arguments: argparse.Namespace, of_rows: OfRows) -> None:
        links = getattr(arguments, "follow_links", False)
        self.answers: inputs.TeacherLabels | None = None
        if getattr(arguments, "teacher_labels", False):
            self.answers, self.teacher = answers(arguments, of_rows, "labelled_logits", "labelled_confidence")
        else:
            self.teacher = labelled_shards(arguments.labelled_logits, links, getattr(arguments, "column", None))
        self.labels = of_rows("labels", self.teacher)
        near = getattr(arguments, "labelled_agreement", None)
        self.agreement = None if near is None else of_rows("labelled_agreement", self.teacher)
        self.student = None
        if getattr(arguments, "labelled_student", None) is not None:
            self.student = labelled_shards(arguments.labelled_student, links, arguments.student_column)
            check_paired(self.teacher, self.student, "--labelled-student")

    def fit(self, calibrator: rad_fast.Calibrator, arguments: argparse.Namespace) -> rad_fast.Calibrator:
        names = {"teacher_logits": "labelled_logits", "labels": "labels", "student_logits": "labelled_student"}
        names["agreement"] = "labelled_agreement"
        known = {name: option(arguments, value) for name, value in names.items() if hasattr(arguments, value)}
        student: Any = None
        with said_of(known):
            teacher: Any = self.teacher.read(0, self.teacher.rows) if self.answers is None else self.answers
            if getattr(arguments, "probabilities", False):
                teacher = inputs.Probabilities.chunk("teacher_logits", teacher, 0)
            if self.student is not None:
                student = self.student.read(0, self.student.rows)
                if arguments.student_probabilities:
                    student = inputs.Probabilities.chunk("student_logits", student, 0)
            return calibrator.fit(teacher, self.labels, student, agreement=self.agreement)

    @property
    def paths(self) -> dict[str, tuple[Path, ...]]:
        student = () if self.student is None else self.student.paths
        return {"--labelled-logits": self.teacher.paths, "--labelled-student": student}


def labelled_shards(given: list[Path], links: bool, column: str | None) -> Shards:
    """Logits of labelled points; of several columns that which the points' own logits have."""
    files, named = without_column(given)
    paths = [path for each in in_order(files) for path in found(each, links)]
    return Shards(paths, Wanted(named, names=() if column is None else (column.lower(),)))


def given_correctness(
    arguments: argparse.Namespace,
    teacher: Shards | LabelFile,
    mask: npt.NDArray[np.bool_] | None,
    of_rows: OfRows,
    labelled: Labelled | None,
) -> Any:
    """None, a number, a checked array, or a Calibrator fitted on the labelled points."""
    if labelled is not None:
        return labelled.fit(rad_fast.Calibrator(backend=arguments.backend), arguments)
    given = of_rows("correctness", teacher if isinstance(teacher, Shards) else teacher.shards)
    if given is not None:
        correctness = inputs.correctness_array(given, teacher.rows, mask)
        if mask is not None:  # what is excluded may hold anything, and is scored with --workdir all the same
            correctness = np.where(mask & ~((correctness >= 0) & (correctness <= 1)), np.float32(0), correctness)
        return correctness
    return arguments.correctness


def given_agreement(
    rows: int, mask: npt.NDArray[np.bool_] | None, given: npt.NDArray[Any] | None
) -> npt.NDArray[np.float32] | None:
    """Checked shares of neighbours that agree."""
    checked = inputs.agreement_array(given, rows, mask)
    if checked is None or mask is None:
        return checked
    return np.where(mask & ~((checked >= 0) & (checked <= 1)), np.float32(0), checked)  # scored with --workdir too


def source(correctness: Any) -> str:
    """Where the correctness came from, for the report."""
    if correctness is None:
        return "the teacher's confidence"
    if isinstance(correctness, rad_fast.Calibrator):
        models = "both models" if correctness.needs_student_ else "the teacher alone"
        models += " and the neighbours' agreement" if correctness.needs_agreement_ else ""
        labelled, error = correctness.n_labelled_, correctness.error_
        return f"calibration on {models}, {labelled} labelled points, the teacher's error on them {error:.4g}"
    return "a file" if isinstance(correctness, np.ndarray) else f"the teacher's average accuracy, {correctness:g}"
