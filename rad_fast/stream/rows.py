"""Rows of logits from a pipe: .npy arrays one after the other, or JSON lines; handed on as soon as they are there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

Array = npt.NDArray[Any]

MAGIC = b"\x93NUMPY"
PIECE = 1 << 20  # bytes at most that are looked at together
LONGEST_LINE = 1 << 28  # of JSON; a longer one is no line
READERS = {1: (2, npy.read_array_header_1_0), 2: (4, npy.read_array_header_2_0)}


class Rows(NamedTuple):
    """Rows that came together: (rows, C) logits of the teacher, and of the student where there are."""

    teacher: Array
    student: Array | None


class Pipe:
    """What is left of a stream of bytes. ``more`` waits until there is something, and takes no more than is there."""

    def __init__(self, file: IO[bytes]) -> None:
        self.take = getattr(file, "read1", file.read)
        self.held = b""

    def more(self) -> bool:
        """Whether anything came; False at the end."""
        part = self.take(PIECE)
        self.held += part
        return bool(part)

    def cut(self, count: int) -> bytes:
        part, self.held = self.held[:count], self.held[count:]
        return part

    def wait_for(self, count: int) -> bool:
        """Whether so many bytes are there."""
        while len(self.held) < count:
            if not self.more():
                return False
        return True


def read_rows(file: IO[bytes], name: str = "standard input") -> Iterator[Rows]:
    """Rows as they come.

    .npy arrays of shape (C,), a row each, or (rows, C), as many as there are; else a JSON line a row: a list of the
    teacher's logits, or {"teacher": [...], "student": [...]}.

    Raises
    ------
    ValueError : naming the stream and the line or row, what was expected and what came.
    """
    pipe = Pipe(file)
    if not pipe.wait_for(1):
        return
    if pipe.held[:1] == MAGIC[:1]:
        yield from npy_rows(pipe, name)
    else:
        yield from json_rows(pipe, name)


def npy_rows(pipe: Pipe, name: str) -> Iterator[Rows]:
    row = 0
    while pipe.wait_for(1):
        shape, dtype = header(pipe, name, row)
        rows, classes = (1, shape[0]) if len(shape) == 1 else shape
        size = classes * dtype.itemsize
        while rows:
            if not pipe.wait_for(size):
                raise ValueError(f"{name}: expected {size} bytes for row {row}, got {len(pipe.held)}; is it complete?")
            count = min(rows, len(pipe.held) // size)
            yield Rows(np.frombuffer(pipe.cut(count * size), dtype).reshape(count, classes), None)
            rows, row = rows - count, row + count


def header(pipe: Pipe, name: str, row: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of the array that begins here."""
    if not pipe.wait_for(8) or pipe.held[:6] != MAGIC:
        raise ValueError(f"{name}: expected a .npy array at row {row}, as numpy.save writes it, got {pipe.held[:6]!r}")
    size, reader = READERS.get(pipe.held[6], (0, None))
    if reader is None or not pipe.wait_for(8 + size):
        raise ValueError(f"{name}: expected a .npy array at row {row}, its header cannot be read")
    length = int.from_bytes(pipe.held[8 : 8 + size], "little")
    if not pipe.wait_for(8 + size + length):
        raise ValueError(f"{name}: expected a .npy array at row {row}, its header ends too early")
    try:
        shape, fortran, dtype = reader(BytesIO(pipe.cut(8 + size + length)[8:]))
    except Exception as error:  # whatever a broken header makes NumPy's parser raise
        raise ValueError(f"{name}: expected a .npy array at row {row}, its header cannot be read ({error})") from error
    if dtype.kind != "f" or len(shape) not in (1, 2) or shape[-1] < 2 or (fortran and len(shape) == 2):
        order = ", column by column" if fortran else ""
        raise ValueError(
            f"{name}: expected floating numbers, shape (classes,) or (rows, classes), row by row, at row {row}, got "
            f"{dtype} of shape {shape}{order}"
        )
    return shape, dtype


def json_rows(pipe: Pipe, name: str) -> Iterator[Rows]:
    """All lines that are there at once come as few arrays: one unless their lengths differ."""
    number = 0
    while pipe.held or pipe.more():
        end = pipe.held.rfind(b"\n") + 1
        if not end:
            if len(pipe.held) > LONGEST_LINE:
                raise ValueError(f"{name}, line {number + 1}: expected a line of JSON, got {len(pipe.held)} bytes")
            if pipe.more():
                continue
            end = len(pipe.held)  # the last line may lack its newline
        parsed = []
        for line in pipe.cut(end).splitlines():
            number += 1
            try:
                if line.strip():
                    parsed.append(parsed_line(line, f"{name}, line {number}"))
            except ValueError:
                yield from together(parsed)  # what came before it is good
                raise
        yield from together(parsed)


def parsed_line(line: bytes, where: str) -> tuple[Array, Array | None]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{where}: expected JSON, such as a list of logits; {error}") from error
    if isinstance(value, dict):
        if "teacher" not in value:
            raise ValueError(
                f'{where}: expected {{"teacher": [...]}}, optionally with "student", got keys {sorted(value)}'
            )
        student = value.get("student")
        return numbers(value["teacher"], where), None if student is None else numbers(student, where)
    return numbers(value, where), None


def numbers(value: Any, where: str) -> Array:
    """A row of float64."""
    if isinstance(value, list) and value and all(type(number) in (int, float) for number in value):
        return np.array(value, np.float64)
    raise ValueError(f"{where}: expected a list of numbers, the logits of one point")


def together(parsed: list[tuple[Array, Array | None]]) -> Iterator[Rows]:
    """Neighbouring rows of one kind as one array."""
    begin = 0
    kinds = [(len(teacher), None if student is None else len(student)) for teacher, student in parsed]
    for end in range(1, len(parsed) + 1):
        if end < len(parsed) and kinds[end] == kinds[begin]:
            continue
        part = parsed[begin:end]
        students = [student for _, student in part if student is not None]
        yield Rows(np.array([teacher for teacher, _ in part]), np.array(students) if students else None)
        begin = end
