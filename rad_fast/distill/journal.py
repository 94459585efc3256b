"""The journal of a run: every choice and every answer of the teacher, written down as it comes.

One line of JSON a record, appended and forced to disk before the run goes on; a check sum in every line. A process that
is killed in the middle of a line loses that line alone: it is cut off when the file is opened again. Records:

    run       what the run is: a journal of another run is refused
    choice    the points of a round, before the teacher is asked
    weights   how much the answered points of a round count
    answers   logits of a batch of points of the pool or of the hold-out
    rejected  an answer that could not be used, as it came
    skipped   points whose answers are invalid, where the run goes on without them
    trained   a round is done: its report
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import inputs


class Journal:
    """An append-only file of records, or the same in memory alone where ``path`` is None."""

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self.path = None if path is None else Path(path)
        self.records: list[dict[str, Any]] = []
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            self._read(self.path)

    def _read(self, path: Path) -> None:
        whole = 0
        raw = path.read_bytes()
        for line in raw.splitlines(keepends=True):
            record = parsed(line)
            if record is None:
                break
            self.records.append(record)
            whole += len(line)
        if whole < len(raw):
            if raw[whole:].rstrip(b"\n").count(b"\n"):
                raise ValueError(
                    f"journal: {path} is damaged after line {len(self.records)} and goes on behind it; mend or move "
                    "it: what it holds may have been paid for"
                )
            os.truncate(path, whole)  # the line that was being written when the process was killed

    def append(self, kind: str, **fields: Any) -> None:
        record = {"kind": kind, **fields}
        self.records.append(record)
        if self.path is None:
            return
        text = json.dumps(record, separators=(",", ":"))
        with self.path.open("ab") as file:
            file.write(f"{zlib.crc32(text.encode()):08x} {text}\n".encode())
            file.flush()
            os.fsync(file.fileno())

    def begin(self, run: dict[str, Any]) -> None:
        """Write down what the run is, or see that it is the one written down."""
        for record in self.of("run"):
            for name, value in run.items():
                if record.get(name) != value:
                    raise inputs.other_run(self.path, name, record.get(name), value)
            return
        self.append("run", **run)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["kind"] == kind]


def parsed(line: bytes) -> dict[str, Any] | None:
    """The record of a line; None where it is not whole."""
    check, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or check != f"{zlib.crc32(text):08x}".encode():
        return None
    record: dict[str, Any] = json.loads(text)
    return record


def packed(values: npt.NDArray[Any]) -> dict[str, Any]:
    """An array as JSON can hold it, to the last bit."""
    data = base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
    return {"dtype": values.dtype.str, "shape": list(values.shape), "data": data}


def unpacked(record: dict[str, Any]) -> npt.NDArray[Any]:
    flat = np.frombuffer(base64.b64decode(record["data"]), dtype=np.dtype(record["dtype"]))
    return flat.reshape(record["shape"]).copy()  # a view of bytes could not be written to
