"""Microbenchmarks of every stage beside its peers: python -m pytest benchmarks --benchmark-only.

Compare times within a group only. report.py measures the same with its contenders taking turns.
"""

from __future__ import annotations

from typing import Any

import pytest

from rad_fast.bench import cpu
from rad_fast.bench.cpu import GAME, OURS, READ, SAMPLE, SORT, TORCH
from rad_fast.bench.timing import Case

ELEMENTS = 1 << 25  # 128 MiB of float32, 64 MiB of bfloat16: larger than most processors' last cache


def run(benchmark: Any, case: Case, name: str) -> None:
    if name not in case.contenders:
        pytest.skip(f"{name} is not installed")
    benchmark.group = case.name
    benchmark.extra_info["points"] = case.points
    benchmark.pedantic(case.contenders[name], rounds=2 if name in case.sparing else 7, warmup_rounds=1)


@pytest.mark.parametrize("contender", [OURS, READ, TORCH])
@pytest.mark.parametrize("dtype", cpu.DTYPES)
@pytest.mark.parametrize("classes", cpu.CLASSES)
def test_scoring(benchmark: Any, classes: int, dtype: str, contender: str) -> None:
    run(benchmark, cpu.scoring(classes, dtype, ELEMENTS), contender)


@pytest.mark.parametrize("contender", [OURS, GAME, SAMPLE, SORT])
@pytest.mark.parametrize("points", cpu.GAMES[:2])  # the third, 100 million, is in the report alone
def test_game(benchmark: Any, points: int, contender: str) -> None:
    run(benchmark, cpu.game(points), contender)


@pytest.mark.parametrize("contender", [OURS, READ, TORCH])
@pytest.mark.parametrize("classes", [10, 1000])  # dominated by the game, and by scoring
def test_select(benchmark: Any, classes: int, contender: str) -> None:
    run(benchmark, cpu.whole(classes, ELEMENTS), contender)
