"""rad-fast stream: decide on rows of logits as they arrive through a pipe."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import IO, Any

import numpy as np

import rad_fast
from rad_fast.device import backends
from rad_fast.storage.npy import check_writable
from rad_fast.stream import StreamSelector
from rad_fast.stream.rows import Rows, read_rows
from rad_fast.stream.state import read_state, write_state

from .messages import UsageError, tell
from .select.given import Labelled, OfRows
from .select.options import number, said_of


def add_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--rate", metavar="R", type=number, help="the share of the rows to take: 0.01 or 1%%")
    sub.add_argument("--budget", metavar="B", type=int, help="the most rows to take; with --of, exactly this many")
    sub.add_argument("--of", metavar="N", type=int, help="how many rows will come, instead of --rate")
    sub.add_argument(
        "--teacher",
        metavar="FILE",
        default="-",
        help="the teacher's logits, - for standard input (default): .npy arrays one after the other, or JSON lines, "
        '[...] or {"teacher": [...], "student": [...]}',
    )
    sub.add_argument("--taken", action="store_true", help="print the numbers of the rows taken instead of 1 and 0")
    sub.add_argument("--window", metavar="W", type=int, help="how many recent rows the thresholds rest on")
    sub.add_argument("--slack", metavar="S", type=float, help="how far the count may be from the rate, in rows")
    sub.add_argument("--gain", choices=("auto", "label", "margin"), help="what the student would learn (auto)")
    sub.add_argument(
        "--quotas",
        choices=("auto", "equal", "proportional", "none"),
        help="how the rows are shared out among the teacher's labels (auto)",
    )
    sub.add_argument("--correctness", metavar="NUMBER", type=number, help="the teacher's average accuracy")
    files: Any = {"metavar": "FILE", "nargs": "+", "type": Path}
    sub.add_argument("--labelled-logits", **files, help="the teacher's logits of labelled points")
    sub.add_argument("--labels", **files, help="the true classes of these points, integers")
    sub.add_argument(
        "--mistakes", metavar="M", type=number, help="how many more labels may be wrong, as a fraction of the rows"
    )
    sub.add_argument(
        "--state", metavar="FILE", type=Path, help="keep the state of the stream here and continue from it"
    )
    sub.add_argument(
        "--again", action="store_true", help="with --state: the input starts over, so skip the rows already decided"
    )
    sub.add_argument("--seed", metavar="S", type=int, default=0, help="the start of the running sum (0)")
    sub.add_argument(
        "--invalid", choices=("raise", "exclude"), default="raise", help="what to do with rows of NaN or +inf (raise)"
    )
    sub.add_argument("--backend", choices=("auto", *backends.CPU), default="auto", help="which kernels (auto)")


def run(arguments: argparse.Namespace) -> None:
    """rad-fast stream: a line for every row, written when it is decided."""
    if (arguments.labelled_logits is None) != (arguments.labels is None):
        raise UsageError("--labelled-logits and --labels: expected both or neither")
    if arguments.labels is not None and arguments.correctness is not None:
        raise UsageError("--correctness: expected without --labelled-logits")
    if arguments.again and arguments.state is None:
        raise UsageError("--again: expected with --state")
    stream = selector(arguments)
    if arguments.state is not None:
        check_writable(arguments.state)
        if arguments.state.exists():
            stream.load_state_dict(read_state(arguments.state))
    with ended_by_sigterm():
        if arguments.teacher == "-":
            decide(stream, sys.stdin.buffer, "standard input", arguments)
        else:
            with open(arguments.teacher, "rb") as file:
                decide(stream, file, arguments.teacher, arguments)
    tell(f"{stream.taken:,} of {stream.seen:,} rows taken")


@contextlib.contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the stream as Ctrl-C does."""

    def interrupted(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def selector(arguments: argparse.Namespace) -> StreamSelector:
    correctness = arguments.correctness
    if arguments.labels is not None:
        labelled = Labelled(arguments, OfRows(arguments))
        correctness = labelled.fit(rad_fast.Calibrator(backend=arguments.backend), arguments)
    names = ("rate", "budget", "of", "window", "slack", "gain", "quotas", "mistakes", "seed", "invalid", "backend")
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    if arguments.quotas == "none":
        given["quotas"] = None
    with said_of({name: f"--{name}" for name in (*names, "correctness")}):
        return StreamSelector(**given, correctness=correctness)


def decide(stream: StreamSelector, file: IO[bytes], name: str, arguments: argparse.Namespace) -> None:
    """Offer rows as they come; a line for each at once, as whoever reads may be waiting."""
    skip = stream.offered if arguments.again else 0
    row = stream.offered - skip
    for rows in read_rows(file, name):
        known = min(skip, len(rows.teacher))
        skip, row = skip - known, row + known
        left = Rows(rows.teacher[known:], None if rows.student is None else rows.student[known:])
        decisions, error = decided(stream, left)
        taken = np.flatnonzero(decisions) + row
        lines = taken.tolist() if arguments.taken else map(int, decisions)
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.flush()
        row += len(decisions)
        if arguments.state is not None and decisions:  # what is printed stays decided, also after Ctrl-C
            write_state(arguments.state, stream.state_dict())
        if error is not None:
            text = str(error).replace(", the first is row 0", "")  # of the one that was offered
            with said_of({}):
                raise ValueError(f"{name}, row {row}: {text}") from error


def decided(stream: StreamSelector, rows: Rows) -> tuple[list[bool], Exception | None]:
    """Decisions of rows that came together; where one of them is refused, those before it and why."""
    with contextlib.suppress(TypeError, ValueError):
        return stream.offer(*rows).tolist(), None
    found: list[bool] = []
    for at, teacher in enumerate(rows.teacher):
        try:
            found.append(stream.offer(teacher, None if rows.student is None else rows.student[at]))
        except (TypeError, ValueError) as error:
            return found, error
    return found, None
