"""The GPU report's logic on tiny stand-ins: nothing here needs a GPU, or says anything about speed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

# benchmarks/ is no part of the package. Last, so that the folder rad_fast there never passes for what is installed.
sys.path.append(str(Path(__file__).resolve().parents[3]))


def case(stage: str, name: str, seconds: dict[str, list[float]], points: int = 1000, **more: Any) -> dict[str, Any]:
    """A case as a part writes it."""
    about = {"stage": stage, **{key: more.pop(key) for key in ("classes", "dtype", "backend") if key in more}}
    plain = {"traffic": {}, "left_out": {}, "numbers": {}}
    return {"name": name, "points": points, "about": about, "seconds": seconds, **plain, **more}


@pytest.fixture
def found() -> dict[str, Any]:
    """A run on an imagined GPU that reads 4000 GB/s: hand-made figures."""
    small, large = 10_000_000, 20_000_000_000
    turns = {"streaming read": [0.0025] * 5, "rad_fast triton": [0.0026, 0.0026, 0.0026, 0.0026, 0.0030]}
    scores = [
        case(
            "scoring", f"scoring, {classes} classes, {dtype}", turns, classes=classes, dtype=dtype,
            traffic={"streaming read": small, "rad_fast triton": small + 12_000},
        )
        for classes in (10, 100, 1000) for dtype in ("bfloat16", "float32")
    ]  # fmt: skip
    whole = {
        "rad_fast triton": [0.0054, 0.0055, 0.0056],
        "rad_fast cuda": [0.0060, 0.0061, 0.0062],
        "streaming read": [0.0050, 0.0050, 0.0050],
        "torch eager": [0.0500, 0.0510, 0.0490],
    }
    selections = [
        case("select", "select, 20 GB", whole, 10_000_000, classes=1000, dtype="bfloat16",
             traffic=dict.fromkeys(whole, large), left_out={"torch compiled": "RuntimeError: no compiler"}),
        case("select", "select, 10,000 points", {"rad_fast triton": [50e-6, 55e-6, 80e-6]}, 10_000, classes=10,
             dtype="float32", traffic={"rad_fast triton": 400_000}),
    ]  # fmt: skip
    games = [
        case("game", f"game and sample, {points:,} points", {
            "rad_fast triton": [points * 1e-11 + 1e-4] * 3, "rad_fast triton, the game alone": [points * 1e-12] * 3,
            "torch eager": [points * 1e-10] * 3,
        }, points)
        for points in (1_000_000, 100_000_000)
    ]  # fmt: skip
    stages = {"scoring": [5e-3], "the game": [3e-4], "the sample": [1e-4], "select": [6e-3]}
    details = [
        case("stages", "stages", stages, 10_000_000, classes=1000, dtype="bfloat16", backend="triton"),
        case("memory", "extra memory", {}, 1000, numbers={"rad_fast triton": 23.5, "rad_fast cuda": 24.5}),
    ]
    memory = case("bandwidth", "memory", {"streaming read": [0.0025] * 3, "copy": [0.0055] * 3}, points=1)
    memory["traffic"] = {"streaming read": small * 1000, "copy": 2 * small * 1000}
    parts = [
        {"name": "build", "status": "failed", "reason": "exit status 1", "said": "", "seconds": 3.0,
         "last_lines": ["nvcc fatal: no such file"]},
        {"name": "games", "status": "dropped", "reason": "it needs 40 s, 2 s were left for it", "said": "",
         "seconds": 0.0, "last_lines": []},
    ]  # fmt: skip
    return {
        "rehearsal": False, "size": "full", "date": "2020-01-01", "seconds": 300.0, "machine": None, "parts": parts,
        "groups": {
            "selections": {"cases": selections, "failed": [], "dropped": []},
            "games": {"cases": games, "failed": [], "dropped": []},
            "scores": {
                "cases": [memory, *scores],
                "failed": [{"what": "scoring, 32 classes", "why": "OutOfMemoryError: no room"}],
                "dropped": [{"what": "softmax", "why": "it needs some 6 s, 1 s were left"}],
            },
            "stages": {"cases": details, "failed": [], "dropped": []},
        },
    }  # fmt: skip
