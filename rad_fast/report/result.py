"""What rad-fast select wrote, read again: a selection's numbers and figures."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from .figures import VERSION
from .table import SUFFIXES
from .words import Figures, Numbers

COUNTS = ("points", "excluded", "invalid", "budget", "worth_querying")
GAME = ("mistakes", "value", "value_per_query")
ONE_GAME = ("price", "threshold", "share")  # none where every class has a game of its own
NUMBERS = (*COUNTS, *GAME, "selected_mean_gain", "selected_mean_correctness")


def located(result: Path) -> Path:
    """The report of a result: its .json, given as that, as the points beside it, or as the folder of --workdir."""
    if result.is_dir():
        report = result / "selected.json"
        if not report.exists():
            raise ValueError(
                f"{result}: expected a --workdir that rad-fast select has finished, it has no selected.json"
            )
        return report
    if result.suffix in SUFFIXES:
        report = result.with_suffix(".json")
        if result.exists() and not report.exists():
            raise ValueError(f"{result}: expected what rad-fast select wrote, but there is no {report.name} beside it")
        return report
    return result


def read(path: Path) -> tuple[Numbers, Figures]:
    """The numbers and figures in a report.

    Raises
    ------
    OSError : where there is no such file.
    ValueError : naming the file, where it is no report, or one without figures.
    """
    foreign = f"{path}: expected the .json that rad-fast select writes beside its indices"
    try:
        numbers = json.loads(path.read_bytes().decode("utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{foreign}, it cannot be read as JSON") from error
    if not isinstance(numbers, dict) or not all(is_number(numbers.get(name)) for name in NUMBERS):
        raise ValueError(f"{foreign}, got other JSON")
    if not all(isinstance(numbers[name], int) for name in COUNTS) or numbers["budget"] < 1:
        raise ValueError(f"{foreign}, got other JSON")
    quotas = numbers.get("quotas")
    one_game = all(is_number(numbers.get(name)) for name in ONE_GAME)
    if not (one_game or (isinstance(quotas, dict) and all(is_number(quota) for quota in quotas.values()))):
        raise ValueError(f"{foreign}, got other JSON")
    if not isinstance(numbers.get("selected_labels"), dict):
        raise ValueError(f"{foreign}, got other JSON")
    figures = numbers.get("figures")
    if not isinstance(figures, dict) or figures.get("version") != VERSION:
        raise ValueError(
            f"{path}: expected a report with figures (version {VERSION}), it was written by another version of "
            "rad_fast; run rad-fast select again"
        )
    return numbers, figures


def refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
