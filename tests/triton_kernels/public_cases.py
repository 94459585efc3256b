"""What select is given on a device, for every set of kernels there: points, arguments, and what is wrong input."""

from __future__ import annotations

from typing import Any

import numpy as np

import rad_fast

N, C, BUDGET = 3000, 10, 100
TEACHER = np.random.default_rng(0).normal(0, 5, (N, C)).astype(np.float32)
STUDENT = np.random.default_rng(1).normal(0, 5, (N, C)).astype(np.float32)
TRUTH = np.where(np.arange(N) % 7 == 0, (TEACHER.argmax(axis=1) + 1) % C, TEACHER.argmax(axis=1))
ALONE = rad_fast.Calibrator(backend="reference").fit(TEACHER[:500], TRUTH[:500])
BOTH = rad_fast.Calibrator(backend="reference").fit(TEACHER[:500], TRUTH[:500], STUDENT[:500])
GIVEN = np.linspace(0.5, 1, N, dtype=np.float32)
# Of six classes, 3 or 4 points each are more likely right than wrong: less than their shares.
DOUBTED = np.where(
    np.isin(TEACHER.argmax(axis=1), (1, 2, 4, 5, 6, 7)) & (np.arange(N) % 90 > 0), np.float32(0.3), GIVEN
)

Arguments = dict[str, Any]

# One game, on the gain of the margin: what the kernels of a device do from end to end.
MARGIN: Arguments = {"gain": "margin"}

ARGUMENTS: tuple[Arguments, ...] = (
    {},
    {"student_logits": STUDENT},
    {"student_logits": STUDENT[:, :4]},
    {"correctness": 0.9},
    {"correctness": GIVEN},
    {"correctness": GIVEN.astype(np.float64)},
    {"correctness": ALONE},
    {"student_logits": STUDENT, "correctness": ALONE},
    {"student_logits": STUDENT, "correctness": BOTH},
    {"exclude": np.arange(30)},
    {"exclude": np.arange(N) % 3 == 0},
    {"exclude": np.arange(N) % 3 == 0, "correctness": GIVEN},
)

# What else the rule is asked for: quotas, the gain of the label, points chosen before, given gains.
RULE: tuple[Arguments, ...] = (
    *ARGUMENTS,
    {"student_logits": STUDENT, "gain": "label", "exclude": np.arange(N) % 5 == 0},
    {"gain": GIVEN},
    {"gain": GIVEN.astype(np.float64), "student_logits": STUDENT, "correctness": 0.7},
    {"chosen": np.arange(0, N, 9)},
    {"chosen": np.arange(N) % 9 == 0, "exclude": np.arange(N) % 4 == 1, "correctness": GIVEN},
    {"chosen": {1: 40, 7: 3}, "student_logits": STUDENT},
    {"correctness": DOUBTED},
)

# Arguments, and what the message must name.
WRONG: tuple[tuple[Arguments, list[str]], ...] = (
    ({"logits": np.where(np.arange(N)[:, None] == 77, np.nan, TEACHER)}, ["logits", "1 row has", "row 77"]),
    ({"student_logits": np.where(np.arange(N)[:, None] == 3, np.inf, STUDENT)}, ["student_logits", "row 3"]),
    ({"student_logits": STUDENT[:10]}, ["student_logits", "3000", "10"]),
    ({"correctness": np.full(N, 1.5, np.float32)}, ["correctness", "3000 are not"]),
    ({"correctness": np.full(N, 1.5)}, ["correctness", "3000 are not"]),
    ({"correctness": np.ones(7, np.float32)}, ["correctness", "(3000,)", "(7,)"]),
    ({"correctness": BOTH}, ["student_logits", "calibrator"]),
    ({"exclude": np.zeros(5, bool)}, ["exclude", "3000", "(5,)"]),
    ({"budget": N + 1}, ["budget", "at most 3000"]),
    ({"logits": TEACHER[:, :1]}, ["logits", "at least 2 columns"]),
    ({"logits": TEACHER[:0]}, ["logits", "at least one row"]),
    ({"backend": "reference"}, ["backend", "'reference'", "host memory"]),
)


def called(arguments: Arguments) -> str:
    """A test's name for them."""
    return " ".join(f"{name}={type(value).__name__}" for name, value in arguments.items()) or "plain"
