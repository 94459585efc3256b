"""The journal of a run: every choice and every answer of the teacher, written down as it comes.

One line of JSON a record, appended and forced to disk before the run goes on; a check sum in every line. A process that
is killed in the middle of a line loses that line alone: it is cut off when the file is opened again. A whole line whose
check sum is wrong is never cut off, and a file that is no journal is never written to. While a run is on, no other can
open its journal. Records:

    run       what the run is: a journal of another run is refused
    choice    the points of a round, before the teacher is asked
    memory    what the strategy noted for the rounds to come
    weights   how much the answered points of a round count
    answers   logits of a batch of points of the pool or of the hold-out
    rejected  an answer that could not be used, as it came
    withdrawn points whose answers turned out to be no logits: they are asked for again
    skipped   points whose answers are invalid, where the run goes on without them
    trained   a round is done: its report
"""

from __future__ import annotations

import base64
import contextlib
import errno
import json
import os
import re
import secrets
import stat
import threading
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import errors

CHECK = re.compile(rb"[0-9a-f]{8} ")
HEAD, FIRST_HEAD = b'{"kind":"', b'{"kind":"run"'  # how records begin after the check sum, and how the first does
DIGESTS = ("points of the pool", "points of the hold-out", "labelled points", "pool_logits", "holdout_logits")
SETTINGS = ("labels", "temperature", "weights", "restart", "features")  # that journals tell since version 3
VERSION = 3


class Journal:
    """An append-only file of records, or the same in memory alone where ``path`` is None.

    It is held from the start, so that no other run reads what this one is about to change; ``release`` it, and have it
    ``held`` while records are appended.
    """

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self.path = None if path is None else Path(path)
        self.records: list[dict[str, Any]] = []
        self.size = 0  # of the records' lines
        self._file: int | None = None
        self._busy = threading.Lock()
        file = self._acquire()
        try:
            if file is not None:
                self._read(file)
        except BaseException:
            self.release()
            raise

    # Who may write.

    def _acquire(self) -> int | None:
        if not self._busy.acquire(blocking=False):
            raise errors.run_in_progress()
        try:
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = locked(self.path)
        except BaseException:
            self._busy.release()
            raise
        return self._file

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._busy.locked():
            self._busy.release()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """For a run: nobody else has the journal, and nobody has written to it since it was read."""
        file = self._acquire()
        try:
            if file is not None and os.fstat(file).st_size != self.size:
                raise errors.journal_changed(self.path)
            yield
        finally:
            self.release()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "records": self.records, "size": self.size}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._file, self._busy = None, threading.Lock()

    # What is in it.

    def _read(self, file: int) -> None:
        raw = contents(file)
        *lines, last = raw.split(b"\n")
        for line in lines:
            record = parsed(line)
            if record is None:
                if not self.records:
                    raise errors.no_journal(self.path)
                raise errors.damaged_journal(self.path, len(self.records) + 1)
            self.records.append(record)
        if self.records and self.records[0]["kind"] != "run":
            raise errors.no_journal(self.path)
        self.size = len(raw) - len(last)
        if not last:
            return
        record = parsed(last)
        if record is not None:  # killed when all but the end of the line was written
            self.records.append(record)
            self._write(file, b"\n", len(raw))
        elif torn(last) if self.records else begun(last):
            os.ftruncate(file, self.size)
        elif self.records:
            raise errors.damaged_journal(self.path, len(self.records) + 1)
        else:
            raise errors.no_journal(self.path)

    def append(self, kind: str, **fields: Any) -> None:
        record = {"kind": kind, **fields}
        if self.path is not None:
            if self._file is None:
                raise RuntimeError("journal: expected to be held while a record is appended")
            text = json.dumps(record, separators=(",", ":"))
            self._write(self._file, f"{zlib.crc32(text.encode()):08x} {text}\n".encode(), self.size)
        self.records.append(record)

    def _write(self, file: int, line: bytes, at: int) -> None:
        """Append a line that begins ``at`` there, and force it to the disk; on any error the file is as it was."""
        try:
            if os.fstat(file).st_size != at:
                os.ftruncate(file, at)  # what an error left behind that could not be undone then
            left = memoryview(line)
            while left:
                left = left[os.write(file, left) :]
            os.fsync(file)
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.ftruncate(file, at)
            if isinstance(error, OSError):
                raise OSError(error.errno, errors.not_written(error), str(self.path)) from error
            raise
        self.size = at + len(line)

    def begin(self, run: dict[str, Any]) -> None:
        """Write down what the run is, or see that it is the one written down: refuse what changes its meaning, say
        what changes its course."""
        for record in self.of("run"):
            for name, value in run.items():
                before = record.get(name)
                if name in ("version", "course") or (name in (*DIGESTS, *SETTINGS) and name not in record):
                    continue
                course = before is None if name in DIGESTS else name == "features" and None not in (before, value)
                if before != value and not course:
                    raise errors.other_run(self.path, name, before, value, name in DIGESTS)
            self._say(record, run)
            return
        identity = {} if self.path is None else {"id": secrets.token_hex(8)}
        self.append("run", **run, **identity)

    def _say(self, record: dict[str, Any], run: dict[str, Any]) -> None:
        """Warn of what an old journal does not tell, and of what differs and matters from here on."""
        begun = bool(self.of("trained"))
        points = record.get("version") == 1
        unsaid = [name for name in SETTINGS if begun and name in run and name not in record]
        if points or unsaid:
            warnings.warn(errors.old_journal(self.path, points, unsaid, run), stacklevel=5)
        before = {**record.get("course", {}), **{name: record[name] for name in DIGESTS if name in record}}
        now = {**run.get("course", {}), **run}
        if "features" in record:
            before["features"] = record["features"]
        changed = {name: (was, now[name]) for name, was in before.items() if name in now and was != now[name]}
        if begun and changed:
            warnings.warn(errors.other_course(self.path, changed), stacklevel=5)

    @property
    def id(self) -> str | None:
        """What tells this run's files from those of another: None of old journals."""
        found: str | None = self.records[0].get("id") if self.records else None
        return found

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["kind"] == kind]


def locked(path: Path) -> int:
    """A file opened to append, new where there is none, that no other process has; freed when it is closed."""
    if path.is_dir():
        raise errors.no_file("journal", path)
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0), 0o666)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise errors.no_file("journal", path)
        try:
            import fcntl
        except ImportError:  # a system without such locks
            return file
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise errors.journal_in_use(path) from error
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):  # a file system without locks
                raise
    except BaseException:
        os.close(file)
        raise
    return file


def torn(line: bytes) -> bool:
    """Whether this may be the start of a record, whose end was not written."""
    check, text = line[:9], line[9:]
    whole = check + b"0" * (8 - len(check)) + b" " * (len(check) < 9)
    return bool(CHECK.fullmatch(whole)) and (text.startswith(HEAD) or HEAD.startswith(text))


def begun(line: bytes) -> bool:
    """The same of the first record: as much of it is asked for as tells a journal from any other file."""
    return bool(CHECK.match(line)) and line[9:].startswith(FIRST_HEAD)


def contents(file: int) -> bytes:
    os.lseek(file, 0, os.SEEK_SET)
    parts = []
    while part := os.read(file, 1 << 24):
        parts.append(part)
    return b"".join(parts)


def parsed(line: bytes) -> dict[str, Any] | None:
    """The record of a line without its end; None where the check sum is not that of the text, or it is no record."""
    check, _, text = line.partition(b" ")
    if check != f"{zlib.crc32(text):08x}".encode():
        return None
    try:
        record = json.loads(text)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "kind" in record else None


def packed(values: npt.NDArray[Any]) -> dict[str, Any]:
    """An array as JSON can hold it, to the last bit."""
    data = base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
    return {"dtype": values.dtype.str, "shape": list(values.shape), "data": data}


def unpacked(record: dict[str, Any]) -> npt.NDArray[Any]:
    flat = np.frombuffer(base64.b64decode(record["data"]), dtype=np.dtype(record["dtype"]))
    return flat.reshape(record["shape"]).copy()  # a view of bytes could not be written to
