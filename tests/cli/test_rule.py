"""rad-fast select: gain, quotas, what was chosen before, and a teacher of labels alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import rad_fast
from rad_fast import cli

N, C, BUDGET = 3000, 6, 60


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    made = {
        "teacher": rng.normal(0, 3, (N, C)).astype(np.float32),
        "student": rng.normal(0, 1, (N, C)).astype(np.float32),
        "chosen": np.arange(0, N, 30),
        "weights": np.arange(6.0),
        "gain": rng.random(N),
        "confidence": rng.uniform(0.3, 1.0, N),
    }
    made["labels"] = np.where(np.arange(N) % 7, made["teacher"].argmax(1), -1)
    for name, array in made.items():
        np.save(f"{name}.npy", array)
    return made


def selected(*arguments: str) -> np.ndarray:
    assert cli.main(["select", *arguments, "--budget", str(BUDGET), "--out", "out.npy"]) == 0
    return np.load("out.npy")


def test_options_are_the_arguments_of_select(files) -> None:
    teacher, given = files["teacher"], {"student_logits": files["student"]}
    student = ("teacher.npy", "--student", "student.npy")
    expected = rad_fast.select(teacher, BUDGET, **given)
    np.testing.assert_array_equal(selected(*student), expected)
    expected = rad_fast.select(teacher, BUDGET, **given, gain="margin", quotas=None)
    np.testing.assert_array_equal(selected(*student, "--gain", "margin", "--quotas", "none"), expected)
    expected = rad_fast.select(teacher, BUDGET, gain=files["gain"], quotas=files["weights"])
    found = selected("teacher.npy", "--gain", "gain.npy", "--quotas", "weights.npy")
    np.testing.assert_array_equal(found, expected)


def test_a_folder_counts_what_was_chosen_whichever_run_scored_it(files) -> None:
    student = ("teacher.npy", "--student", "student.npy", "--quotas", "equal", "--workdir", "work")
    selected(*student)
    again = selected(*student, "--chosen", "chosen.npy")  # nothing is scored again
    expected = rad_fast.select(
        files["teacher"], BUDGET, student_logits=files["student"], quotas="equal", chosen=files["chosen"]
    )
    np.testing.assert_array_equal(again, expected)


def test_a_teachers_labels_alone(files) -> None:
    labels = rad_fast.TeacherLabels(files["labels"], files["confidence"], n_classes=C)
    command = ("labels.npy", "--teacher-labels", "--classes", str(C), "--teacher-confidence", "confidence.npy")
    np.testing.assert_array_equal(selected(*command), rad_fast.select(labels, BUDGET))
    assert json.loads(Path("out.json").read_text())["unanswered"] == np.count_nonzero(files["labels"] < 0)
    np.testing.assert_array_equal(selected(*command, "--workdir", "work"), rad_fast.select(labels, BUDGET))


def test_labels_alone_are_calibrated_on_labelled_points(files) -> None:
    rng, known = np.random.default_rng(1), slice(0, 400)
    truth = np.where(rng.random(400) < 0.8, files["teacher"][known].argmax(1), rng.integers(0, C, 400))
    held = {name: files[name][known] for name in ("labels", "confidence", "student")}
    for name, array in {**held, "truth": truth}.items():
        np.save(f"held_{name}.npy", array)
    student = ("--student", "student.npy", "--labelled-student", "held_student.npy")
    command = ("labels.npy", "--teacher-labels", "--classes", str(C), "--labelled-logits", "held_labels.npy")
    command = (*command, "--labels", "held_truth.npy", *student)
    sure = ("--teacher-confidence", "confidence.npy", "--labelled-confidence", "held_confidence.npy")
    for confidence, options in ((None, ()), (files["confidence"], sure)):
        labels = rad_fast.TeacherLabels(files["labels"], confidence, n_classes=C)
        calibrator = rad_fast.Calibrator().fit(labels[known], truth, held["student"])
        expected = rad_fast.select(labels, BUDGET, student_logits=files["student"], correctness=calibrator)
        np.testing.assert_array_equal(selected(*command, *options), expected)
        report = json.loads(Path("out.json").read_text())
        assert report["labelled"] == np.count_nonzero(held["labels"] >= 0)


def test_a_labelled_answer_of_no_class_is_refused_with_its_file(files, capsys) -> None:
    np.save("held.npy", np.full(50, C))
    np.save("truth.npy", np.zeros(50, int))
    command = ["select", "labels.npy", "--teacher-labels", "--classes", str(C), "--student", "student.npy"]
    command += ["--labelled-logits", "held.npy", "--labels", "truth.npy", "--budget", "9"]
    assert cli.main(command) == 1
    said = capsys.readouterr().err
    assert "--labelled-logits held.npy: expected" in said
    assert "the first" in said
