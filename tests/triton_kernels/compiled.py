"""Compiles every kernel for the capabilities it is given, and prints what was found: a line of JSON each. A script: see
aot.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.append(str(Path(__file__).resolve().parents[2]))

from benchmarks.gpu import aot
from rad_fast.kernels.reference.score import Gain, Kind, Rule
from rad_fast.kernels.triton import by_class, class_game, equilibrium, game, keys, sample, score, settle, solver

F32, F64, I32, I64 = torch.float32, torch.float64, torch.int32, torch.int64
POINTS = 10**6
Case = tuple[str, Any, tuple[Any, ...], dict[str, Any]]


def array(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    return torch.empty(shape or (POINTS,), dtype=dtype, device="meta")


def scoring(
    classes: int, dtype: torch.dtype, rule: Rule, stage: int, stride: int | None = None, beside: int = 0
) -> Case:
    logits = torch.empty_strided((POINTS, classes), (stride or classes, 1), dtype=dtype, device="meta")
    out = score.Outputs(array(F32), array(F32), array(I32), None, array(torch.uint8) if beside else None)
    of_student = stage == score.STUDENT.value
    steps = score.DeviceRule(rule, *((array(F32, 100), array(F32, 101)) if rule.kind == Kind.STEPS else (None, None)))
    correctness = array(F32) if rule.kind == Kind.GIVEN and not of_student else None
    given = score.Inputs(array(I32) if of_student else None, correctness)
    kernel, _, arguments, options = score.plan(
        logits, given, out, steps, array(I64, 4), score.Stage(stage, beside=beside)
    )
    words = (classes, str(dtype)[6:], rule.kind.name.lower(), f"stage {stage}", f"stride {stride}", f"beside {beside}")
    return " ".join(map(str, (kernel.__name__, *words))), kernel, arguments, options


def scoring_cases(every: bool) -> list[Case]:
    points, teacher, student = score.POINTS.value, score.TEACHER.value, score.STUDENT.value
    logistic = Rule(Kind.LOGISTIC, weights=(0.1, 0.2, 0.3, 0.4))
    cases = [
        scoring(classes, dtype, Rule(), points)
        for classes in ((2, 10, 40, 100, 1000, 4096, 16384, 50257, 131072) if every else (10, 1000, 131072))
        for dtype in ((torch.bfloat16, F32, F64, torch.float16) if every else (torch.bfloat16, F32))
    ]
    rules = (logistic, Rule(Kind.STEPS), Rule(Kind.GIVEN), Rule(Kind.CONSTANT)) if every else (logistic,)
    cases += [scoring(1000, torch.bfloat16, rule, teacher) for rule in rules]
    cases += [scoring(classes, torch.bfloat16, logistic, student) for classes in (10, 1000, 131072)]
    cases.append(scoring(1000, torch.bfloat16, Rule(), points, stride=1024))
    of_label = Rule(gain=Gain.LABEL)
    for classes in (10, 100, 256):  # a thread a row, and a row over several
        cases.append(scoring(classes, torch.bfloat16, Rule(), points, beside=score.OWN.value))
        cases.append(scoring(classes, torch.bfloat16, of_label, student, beside=score.TEACHERS.value))
    return cases


def game_cases() -> list[Case]:
    shape = equilibrium.Shape()
    pieces = array(I64, 2 * shape.sample), array(I64, 2 * shape.sample), array(I32), array(I32)
    state, account, answer, kinks, rises, thresholds = (array(d) for d in (I64, I64, F64, I32, I32, I64))
    sampled = {"SAMPLE": shape.sample, "SAMPLE_BITS": shape.sample.bit_length() - 1}
    fan = {"FAN": shape.fan, "BLOCK": shape.block, "num_warps": 8}
    points = array(F32), array(F32)
    search = (state, answer, account, 12345, *pieces, kinks, rises, thresholds, 0, 0)
    return [
        (
            "reduce_kernel",
            game.reduce_kernel,
            (*points, state, state, state, account, *points, state, POINTS),
            {"BLOCK": game.BLOCK, "num_warps": 8},
        ),
        (
            "probabilities_kernel",
            game.probabilities_kernel,
            (*points, kinks, 0, POINTS, answer, array(F64)),
            {"BLOCK": 1024, "num_warps": 4},
        ),
        (
            "mass_kernel",
            sample.mass_kernel,
            (*points, POINTS, answer, None, None, state, state),
            {"BLOCK": sample.TILE, "num_warps": 8},
        ),
        ("scan_kernel", sample.scan_kernel, (state, state, 9, 9, 9), {"BLOCK": sample.SCAN, "num_warps": 8}),
        (
            "take_kernel",
            sample.take_kernel,
            (*points, POINTS, answer, None, None, state, state, 0, state, 9),
            {"BLOCK": sample.TILE, "num_warps": 8},
        ),
        (
            "order_kernel",
            solver.order_kernel,
            (*points, POINTS, state, account, 2**40, 2**40, *pieces, kinks, 0),
            {**sampled, "ROWS": shape.rows, "BLOCK": shape.against, "num_warps": 4},
        ),
        *(
            (
                f"search_kernel {level}",
                solver.search_kernel,
                search,
                {"LEVEL": level, "SAMPLE": shape.sample, "PRICES": shape.prices, **fan, "num_warps": 4},
            )
            for level in (0, 1)
        ),
        (
            "settle_kernel",
            settle.settle_kernel,
            (*points, state, answer, account, 9, *pieces, kinks, rises, thresholds, state, 0, 0),
            {**sampled, **fan},
        ),
        (
            "narrow_kernel",
            settle.narrow_kernel,
            (state, state, 0),
            {"CORNERS": equilibrium.CORNERS, "SAMPLE": shape.sample, "num_warps": 1},
        ),
    ]


def class_cases() -> list[Case]:
    points, label, other, table, first = (
        (array(F32), array(F32)),
        array(I32),
        array(torch.uint8),
        array(I32),
        array(I64),
    )
    answers, order = array(F64), array(I32)
    placed = (*points, label, other, POINTS, 9, 9, first)
    cases: list[Case] = [
        ("count_kernel", keys.count_kernel, (points[0], label, other, POINTS, 9, 9, table), {"BLOCK": keys.COUNTED}),
        (
            "place_kernel",
            keys.place_kernel,
            (*placed, 0, *points, order),
            {"BLOCK": keys.PLACED, "AGAINST": keys.AGAINST, "num_warps": 8},
        ),
    ]
    scanned = (*points, POINTS, answers, order, label, first, first)
    cases += [
        ("keyed mass_kernel", sample.mass_kernel, scanned, {"BLOCK": sample.TILE, "num_warps": 8}),
        ("keyed take_kernel", sample.take_kernel, (*scanned, 0, first, 9), {"BLOCK": sample.TILE, "num_warps": 8}),
    ]
    small = (*points, POINTS, 2**40, 2**40, 2**40, answers, first)
    cases.append(
        ("small_game_kernel", class_game.small_game_kernel, small, {"BLOCK": equilibrium.DIRECT_BLOCK, "num_warps": 8})
    )
    for rows, block in (by_class.SMALL, by_class.LARGE):
        shape = {"ROWS": rows, "BLOCK": block}
        jobs = (*points, first, 9, answers, first)
        cases.append((f"class_game_kernel {rows}", class_game.class_game_kernel, jobs, shape))
    return cases


if __name__ == "__main__":
    for capability in map(int, sys.argv[1:]):
        found = [
            (name, aot.compiled(kernel, arguments, options, capability)._asdict())
            for name, kernel, arguments, options in (*scoring_cases(capability == 90), *game_cases(), *class_cases())
        ]
        sys.stdout.write(json.dumps([capability, found]) + "\n")
        sys.stdout.flush()
