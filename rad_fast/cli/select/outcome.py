"""Where results go, what the report beside them says, and the progress on the way there."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from glob import has_magic
from pathlib import Path
from typing import Any

from rad_fast.cli.messages import UsageError
from rad_fast.storage.npy import check_writable
from rad_fast.storage.readers.flat import without_column


def output(arguments: argparse.Namespace) -> Path:
    """Where the indices go."""
    given: list[Path] = arguments.logits
    files, column = without_column(given)
    named = column is not None and arguments.teacher_labels
    if column is not None and not named:
        raise UsageError(f"{given[-1]}: expected files of logits; give --column {column} with {files[-1]}")
    if arguments.out is not None:
        return Path(arguments.out)
    if arguments.workdir is not None:
        return Path(arguments.workdir, "selected.npy")
    if len(given) == 1 and not given[0].exists() and not has_magic(str(given[0])) and not named:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(given[0]))
    if len(given) > 1 or not given[0].exists():
        raise UsageError("--out: expected a place for the result, as several SHARDS have no single place beside them")
    place = given[0]
    if place.name in ("", ".."):  # this folder, or the one above: they have a name
        place = place.resolve()
    if not place.name:
        raise UsageError(f"--out: expected a place for the result, as there is none beside {place}")
    return place.with_name(place.stem + ".selected.npy")


def check_outputs(outputs: Sequence[Path], arguments: argparse.Namespace) -> None:
    """Refuse what could not be written, or would overwrite an input."""
    given: list[Path] = []
    for name, value in vars(arguments).items():
        if name not in ("out", "workdir"):
            given += [path for path in (value if isinstance(value, list) else [value]) if isinstance(path, Path)]
    for output in outputs:
        for path in given:
            if path.is_dir() and Path(os.path.realpath(output)).is_relative_to(os.path.realpath(path)):
                raise ValueError(f"{output}: expected a place outside of {path}, choose one with --out or --workdir")
        refuse_inputs(output, given)
        if arguments.workdir is not None and output.stem != "selected" and among(output, arguments.workdir):
            raise ValueError(
                f"{output}: expected a place outside of --workdir {arguments.workdir}, which is for its own files only"
            )
        if arguments.workdir is None or arguments.workdir.is_dir() or output.parent != arguments.workdir:
            check_writable(output)


def among(output: Path, folder: Path) -> bool:
    return os.path.realpath(output.absolute().parent) == os.path.realpath(folder)


def refuse_inputs(output: Path, given: Iterable[Path]) -> None:
    """Raise where an output is an input; of a pattern each file is one."""
    for path in given:
        if os.path.realpath(path) == os.path.realpath(output) or (
            path.exists() and output.exists() and path.samefile(output)
        ):
            raise ValueError(f"{output}: expected a place other than the inputs', choose one with --out")


def plain(arguments: argparse.Namespace) -> dict[str, Any]:
    """The arguments as JSON holds them; of files the names alone, so that a report says nothing about the machine."""
    kept = {name: value for name, value in vars(arguments).items() if name not in ("run", "parser")}
    for name, value in kept.items():
        if isinstance(value, list):
            kept[name] = value[0] if len(value) == 1 else [path.name for path in value]
    return {name: value.name if isinstance(value, Path) else value for name, value in kept.items()}


def command(arguments: argparse.Namespace) -> str:
    """The command line again, of files the names alone."""
    words = ["rad-fast", "select"]
    words += [path.name for path in arguments.logits]
    for name, value in vars(arguments).items():
        if name in ("run", "parser", "logits") or value is None or value == arguments.parser.get_default(name):
            continue
        words.append("--" + name.replace("_", "-"))
        every = value if isinstance(value, (list, tuple)) else [] if value is True else [value]
        words += [each.name if isinstance(each, Path) else str(each) for each in every]
    return shlex.join(words)


@contextlib.contextmanager
def progress(rows: int, done: int = 0) -> Iterator[Callable[[int], object]]:
    """A bar with rows a second and the time left, where tqdm is installed and someone looks at a terminal."""
    try:
        from tqdm import tqdm
    except ImportError:
        tqdm = None
    if tqdm is None or not sys.stderr.isatty():
        yield lambda count: None
        return
    with tqdm(total=rows, initial=done, desc="scoring", unit=" rows", unit_scale=True, leave=False) as bar:
        yield bar.update
