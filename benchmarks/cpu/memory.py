"""Peak extra memory of select, in bytes a point: measured in a process of its own, from what the kernel counts.

python -m benchmarks.cpu.memory POINTS CLASSES HOW        prints the number; Linux
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import rad_fast

HOWS = ("whole", "chunks", "both models")
# "alike": labels of a thousand classes with one confidence for all, points that games cannot tell apart.
BUDGETS = {"a third selected": 1 / 3}


def measured(points: int, classes: int, how: str) -> float:
    """Bytes a point at the peak beyond the inputs, in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.cpu.memory", str(points), str(classes), how]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def status(field: str) -> int:
    """A field of /proc/self/status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def select(how: str, teacher: Any, student: Any, calibrator: rad_fast.Calibrator) -> rad_fast.Selection:
    selector = rad_fast.Selector(BUDGETS.get(how, 0.01))
    if how in ("whole", "alike", *BUDGETS):
        return selector.fit(teacher)
    if how == "both models":
        return selector.fit(teacher, student_logits=student, correctness=calibrator)
    for begin in range(0, len(teacher), len(teacher) // 10):
        selector.partial_fit(teacher[begin : begin + len(teacher) // 10])
    return selector.finalize()


def peak(points: int, classes: int, how: str) -> float:
    if how == "alike":
        return peak_of(how, *(alike(count) for count in (10_000, points)), None, None, None)
    rng = np.random.default_rng(0)
    teacher = rng.standard_normal((points, classes), dtype=np.float32)
    teacher *= 4
    student = teacher[::-1]
    labelled = slice(0, 1000)
    labels = np.where(rng.random(1000) < 0.8, teacher[labelled].argmax(axis=1), 0)
    calibrator = rad_fast.Calibrator().fit(teacher[labelled], labels, student[labelled])
    return peak_of(how, teacher[:10_000], teacher, student[:10_000], student, calibrator)


def alike(points: int) -> rad_fast.TeacherLabels:
    labels = np.random.default_rng(0).integers(0, 1000, points).astype(np.int32)
    return rad_fast.TeacherLabels(labels, np.full(points, 0.8, np.float32), n_classes=1000)


def peak_of(how: str, few: Any, teacher: Any, few_of_student: Any, student: Any, calibrator: Any) -> float:
    select(how, few, few_of_student, calibrator)  # what is loaded or compiled once is no cost a point
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before = status("VmRSS")
    selection = select(how, teacher, student, calibrator)
    points = selection.n_points
    if abs(len(selection.indices) - BUDGETS.get(how, 0.01) * points) > 1:
        raise RuntimeError("the selection is not of the size asked for")
    return (status("VmHWM") - before) / points


if __name__ == "__main__":
    print(peak(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
