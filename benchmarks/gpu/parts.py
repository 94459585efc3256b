"""Parts of a report, each a process of its own under a time limit: where one fails, that is said and the rest runs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

DONE, FAILED, DROPPED, ABSENT = "done", "failed", "dropped", "absent"
TAIL = 15  # last lines of a part that failed
GRACE = 8.0  # seconds from the interrupt, at which a part may still say what it has, to the kill
STARTED = 10.0  # seconds that a process takes until it measures: the import of torch, the first launch


@dataclass(frozen=True)
class Part:
    """A command and its seconds: not begun where fewer than ``least`` are left, stopped after ``most``.

    ``writes``: a JSON file that it keeps up to date, read whatever becomes of it. ``say``: what its output comes to.
    ``absent``: why it cannot run here at all.
    """

    name: str
    command: Sequence[str]
    least: float
    most: float
    writes: Path | None = None
    say: Callable[[str], str] | None = None
    absent: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    timed: bool = False  # whether the command is told its seconds, as --seconds
    together: str = ""  # parts that follow one another and are so named run at once


@dataclass
class Outcome:
    """What became of a part; ``data`` is what it wrote, complete or not."""

    name: str
    status: str
    reason: str = ""
    seconds: float = 0.0
    said: str = ""
    last_lines: list[str] = field(default_factory=list)
    data: Any = None

    def account(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "data"}


class Budget:
    """Seconds that the whole may take; ``now`` is a clock that does not go back."""

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self.now, self.begin = seconds, now, now()

    def spent(self) -> float:
        return self.now() - self.begin

    def left(self) -> float:
        return self.seconds - self.spent()


def run_all(
    parts: Sequence[Part], budget: Budget, folder: Path, cwd: Path, say: Callable[[str], None] = print
) -> list[Outcome]:
    """Every part in turn, or several at once; each leaves the later ones at least what they need."""
    outcomes: list[Outcome] = []
    batches = [list(batch) for _, batch in groupby(parts, key=lambda part: part.together or id(part))]
    for index, batch in enumerate(batches):
        limit = budget.left() - sum(map(least, batches[index + 1 :]))
        with ThreadPoolExecutor(len(batch)) as pool:
            running = [pool.submit(run, part, min(part.most, limit), folder, cwd) for part in batch]
            for outcome in running:
                outcomes.append(outcome.result())
                say(f"[{budget.spent():5.0f} s] {line(outcomes[-1])}")
    return outcomes


def least(batch: Sequence[Part]) -> float:
    """Seconds that parts which run at once need; what is not there needs none."""
    return max((part.least for part in batch if not part.absent), default=0.0)


def line(outcome: Outcome) -> str:
    told = ", ".join(filter(None, (outcome.said, outcome.reason)))
    return f"{outcome.name}: {outcome.status} ({outcome.seconds:.0f} s)" + (f": {told}" if told else "")


def run(part: Part, limit: float, folder: Path, cwd: Path) -> Outcome:
    """One part, in at most ``limit`` seconds; its output goes to a log in ``folder``."""
    if part.absent:
        return Outcome(part.name, ABSENT, part.absent)
    if limit < part.least:
        return Outcome(part.name, DROPPED, f"it needs {part.least:.0f} s, {max(0.0, limit):.0f} s were left for it")
    if part.writes is not None:
        part.writes.unlink(missing_ok=True)  # not the figures of an earlier run
    log = folder / f"{part.name.replace(' ', '-').replace('/', '-')}.log"
    command = [*part.command, *(["--seconds", f"{max(1.0, limit - STARTED):.0f}"] if part.timed else [])]
    begin = time.monotonic()
    try:
        code, late = finished(command, limit, log, cwd, {**os.environ, **part.environment})
    except OSError as error:
        return Outcome(part.name, FAILED, f"{command[0]} does not start: {error}")
    seconds = time.monotonic() - begin
    output = log.read_text(errors="replace")
    reason = reason_of(code, late, limit)
    data = written(part.writes)
    if not reason and part.writes is not None and data is None:
        reason = "it ended without a word and without a result"
    last = last_lines(output) if reason else []
    if last and code > 0 and part.say is None:  # as a rule the last word says why
        reason += f": {last[-1][:160]}"
    said = part.say(output) if part.say else ""
    return Outcome(part.name, FAILED if reason else DONE, reason, seconds, said, last, data)


def finished(
    command: Sequence[str], limit: float, log: Path, cwd: Path, environment: Mapping[str, str]
) -> tuple[int, bool]:
    """The exit status, and whether it had to be stopped; whatever it started is gone in either case."""
    with log.open("wb") as to:
        process = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=to, stderr=subprocess.STDOUT, cwd=cwd,
            env=dict(environment), start_new_session=True,
        )  # fmt: skip
        late = False
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            late = True
            stop(process, signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
        finally:
            stop(process, signal.SIGKILL)
            process.wait()
    return process.returncode, late


def stop(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """To the process and all that it started: they are a session of their own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, how)


def reason_of(code: int, late: bool, limit: float) -> str:
    if late:
        return f"stopped at its limit of {limit:.0f} s"
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = str(-code)
        return f"killed by {name}"
    return f"exit status {code}" if code else ""


def last_lines(output: str) -> list[str]:
    return [text.rstrip() for text in output.splitlines() if text.strip()][-TAIL:]


def written(path: Path | None) -> Any:
    """What a part has written; None where there is nothing whole."""
    if path is None or not path.exists():
        return None
    try:
        return json.loads(path.read_text())
    except ValueError:
        return None


def write_json(path: Path, value: Any) -> None:
    """Whole or not at all: a part may be killed while it writes."""
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(value, indent=1) + "\n")
    os.replace(beside, path)
