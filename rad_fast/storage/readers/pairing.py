"""Shards that belong together row by row: whoever expanded a pattern, part-2 comes before part-10."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from . import Shards
from .finding import natural
from .wanted import listed


def in_order(paths: Sequence[Path]) -> list[Path]:
    """Files in the order given; if that is a shell's order of names, by letters, in natural order, and that is said."""
    given, better = list(paths), sorted(paths, key=natural)
    collated = sorted(paths, key=lambda path: re.sub(r"[^0-9a-z/]", "", str(path).lower()))  # as locales compare
    if given == better or given not in (sorted(paths, key=str), collated) or len(given) != len(set(given)):
        return given
    at = next(number for number, (a, b) in enumerate(zip(given, better, strict=True)) if a != b)
    warnings.warn(
        f"{better[at]}: shards are read in natural order, in which this one comes before {given[at]}; the report lists "
        "the rows of each",
        stacklevel=2,
    )
    return better


def check_paired(teacher: Shards, other: Shards, name: str) -> None:
    """Refuse shards whose names are those of the teacher in another order; say where some have no counterpart.

    Raises
    ------
    ValueError : naming the first two files that stand beside each other and should not.

    Warns
    -----
    UserWarning : some names are the same and others are not, or shards of one name have other rows.
    """
    check_classes(teacher, other, name)
    pairs = list(zip(teacher.paths, other.paths, strict=False))
    if len(teacher.paths) < 2 or len(teacher.paths) != len(other.paths) or teacher.paths == other.paths:
        return
    ours, theirs = keys(teacher.paths), keys(other.paths)
    apart = next((pair for pair, a, b in zip(pairs, ours, theirs, strict=True) if a != b), None)
    if apart is not None and set(ours) & set(theirs):
        beside = f"{apart[1]} stands beside {apart[0]}"
        if sorted(ours) == sorted(theirs):
            raise ValueError(
                f"{name}: expected shards in the order of the teacher's, {beside}; give both as folders, or both in "
                "one order"
            )
        warnings.warn(
            f"{name}: {beside}, and other shards have the same name; do they hold the same points?", stacklevel=2
        )
        return
    if apart is None:
        for (a, b), mine, its in zip(pairs, teacher.shards, other.shards, strict=True):
            if mine.rows != its.rows:
                warnings.warn(
                    f"{name}: {b} has {its.rows} rows and {a} has {mine.rows}; rows are paired by their number in the "
                    "whole; do they hold the same points?",
                    stacklevel=2,
                )
                return


def check_classes(teacher: Shards, other: Shards, name: str) -> None:
    """Refuse columns, one per class, that are called as the teacher's and are in another order."""
    if teacher.columns != other.columns and sorted(teacher.columns) == sorted(other.columns):
        raise ValueError(
            f"{name}: expected the columns {listed(teacher.columns)} in this order, as the teacher's, got "
            f"{listed(other.columns)}: classes are taken by position"
        )


def keys(paths: Sequence[Path]) -> list[tuple[str, ...]]:
    """What tells the shards of one model apart: the numbers in their names that differ, or else the names."""
    numbers = [tuple(str(int(number)) for number in re.findall(r"\d+", path.stem)) for path in paths]
    if len({len(each) for each in numbers}) == 1 and len(set(numbers)) == len(paths):
        differ = [place for place in range(len(numbers[0])) if len({each[place] for each in numbers}) > 1]
        return [tuple(each[place] for place in differ) for each in numbers]
    return [(path.stem,) for path in paths]
