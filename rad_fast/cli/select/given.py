"""What stands beside the logits: their classes where only the largest are stored, and the correctness of labels."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import rad_fast
from rad_fast import inputs
from rad_fast.storage.npy import open_npy
from rad_fast.storage.readers import Shards, open_shards
from rad_fast.storage.readers.pairing import check_paired, in_order

from .options import option, said_of
from .scoring import TopKFiles


def given_top_k(arguments: argparse.Namespace, teacher: Shards) -> TopKFiles | None:
    if arguments.top_k is None:
        return None
    indices = open_shards(in_order(arguments.top_k), follow_links=arguments.follow_links, numbers="integers")
    sums = None if arguments.logsumexp is None else open_npy(arguments.logsumexp)
    shape = (teacher.rows, teacher.classes)
    if (indices.rows, indices.classes) != shape:
        got = (indices.rows, indices.classes)
        raise ValueError(f"{indices.paths[0]}: expected a class for every value, shape {shape}, got {got}")
    check_paired(teacher, indices, "--top-k")
    if sums is not None and sums.shape != shape[:1]:
        raise ValueError(f"{arguments.logsumexp}: expected one number a row, shape {shape[:1]}, got {sums.shape}")
    return TopKFiles(indices, arguments.classes, sums)


def given_quotas(arguments: argparse.Namespace) -> Any:
    """A word, None, or the weights in a file."""
    if isinstance(arguments.quotas, Path):
        return open_npy(arguments.quotas)
    return None if arguments.quotas == "none" else arguments.quotas


class LabelFile:
    """A teacher's labels in a file, and how sure it says it is of each: read as shards of logits are."""

    dtype = "labels"

    def __init__(self, path: Path, confidence: Path | None, classes: int) -> None:
        self.paths = (path,)
        with said_of({"labels": str(path), "confidence": str(confidence), "n_classes": "--classes"}):
            said = None if confidence is None else open_npy(confidence)
            self.labels = inputs.TeacherLabels(open_npy(path), said, n_classes=classes)
        self.rows, self.classes = self.labels.shape
        self.row_bytes = 12

    @property
    def unanswered(self) -> npt.NDArray[np.bool_]:
        return self.labels.unanswered

    def read(self, begin: int, end: int) -> inputs.TeacherLabels:
        return self.labels[begin:end]

    def described(self) -> list[dict[str, Any]]:
        return [{"name": self.paths[0].name, "rows": self.rows, "end": self.rows}]


def given_correctness(arguments: argparse.Namespace, rows: int, mask: npt.NDArray[np.bool_] | None) -> Any:
    """None, a number, a checked array, or a Calibrator fitted on the labelled points."""
    if arguments.labelled_logits is not None:
        calibrator = rad_fast.Calibrator(backend=arguments.backend)
        teacher, labels = open_npy(arguments.labelled_logits), open_npy(arguments.labels)
        student = None if arguments.labelled_student is None else open_npy(arguments.labelled_student)
        names = ("labelled_logits", "labels", "labelled_student")
        said = dict(zip(("teacher_logits", "labels", "student_logits"), names, strict=True))
        with said_of({name: option(arguments, value) for name, value in said.items()}):
            return calibrator.fit(teacher, labels, student)
    if isinstance(arguments.correctness, Path):
        correctness = inputs.correctness_array(open_npy(arguments.correctness), rows, mask)
        if mask is not None:  # what is excluded may hold anything, and is scored with --workdir all the same
            correctness = np.where(mask & ~((correctness >= 0) & (correctness <= 1)), np.float32(0), correctness)
        return correctness
    return arguments.correctness


def source(correctness: Any) -> str:
    """Where the correctness came from, for the report."""
    if correctness is None:
        return "the teacher's confidence"
    if isinstance(correctness, rad_fast.Calibrator):
        models = "both models" if correctness.needs_student_ else "the teacher alone"
        labelled, error = correctness.n_labelled_, correctness.error_
        return f"calibration on {models}, {labelled} labelled points, the teacher's error on them {error:.4g}"
    return "a file" if isinstance(correctness, np.ndarray) else f"the teacher's average accuracy, {correctness:g}"
