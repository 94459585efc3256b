"""Scores on the disk: files that a selection's points are kept in, and the folder of a command that can be resumed."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import warnings
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from rad_fast import inputs
from rad_fast.kernels.reference.score import Points, empty_points

from .blocks import Pieces, part
from .npy import naming, open_npy, write_text, write_together

DTYPES: dict[str, Any] = {
    "gain": np.dtype("<f4"),
    "correctness": np.dtype("<f4"),
    "label": np.dtype("<i4"),
    "other": np.dtype("u1"),
}
MANIFEST = "manifest.json"
VERSION = 3  # of the manifest
MOST_SUMS = 1000  # in a manifest, which is written after every chunk
SUMMED = 1 << 16  # items looked at together: they stay within the caches
LEFTOVERS = ".rad-fast-*.tmp"  # of a writer that was killed
MOST_AHEAD = 16 << 20  # rows made room for at once, beyond those that are needed


def header(rows: int) -> dict[str, bytes]:
    """The head of each file; as NumPy leaves room for the number to grow, its length is always the same."""
    heads = {}
    for name, dtype in DTYPES.items():
        file = io.BytesIO()
        about = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": (rows,)}
        npy.write_array_header_1_0(file, about)
        heads[name] = file.getvalue()
    return heads


OFFSET = len(header(0)["gain"])


class ScoreFiles:
    """Gain, correctness, label and likeliest other class of points in four .npy files, mapped into memory.

    They grow as points come.

    ``room`` gives the place for the next points, ``keep`` says that they are there to stay. The folder is made where
    there is none; it must hold nothing but such files, and is used by one process at a time.
    """

    whole = False  # whether gains of excluded points are kept, too

    def __init__(
        self,
        folder: Path,
        *,
        rows: Callable[[], int | None] = lambda: None,
        also: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        """``rows``: go on with the files of a folder, of which so many are kept; None: begin anew. It is asked, and so
        is which other files may stand there, when nobody else can change the folder any more."""
        self.folder = folder
        self.mask: npt.NDArray[np.bool_] | None = None  # of points that are left out of what is settled
        self.rows = 0
        self.capacity = 0
        self.maps = empty_points(0, other=True)
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "expected a folder, got a file", str(folder))
        folder.mkdir(exist_ok=True)
        self.unlock = weakref.finalize(self, os.close, locked(folder))
        try:
            self.check(also())
            kept = rows()
            if kept is None:
                self.restart()
            else:
                self.rows, self.capacity = kept, self.held(kept)
                self.map()
        except BaseException:
            self.unlock()
            raise

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.npy"

    def check(self, also: frozenset[str]) -> None:
        ours = {f"{name}.npy" for name in DTYPES} | also
        for leftover in self.folder.glob(LEFTOVERS):
            leftover.unlink()
        for path in self.folder.iterdir():
            if path.name not in ours or path.is_symlink() or not path.is_file():
                raise ValueError(
                    f"{self.folder}: expected a folder that is new, empty or of an earlier run, it has {path.name}; "
                    "choose another"
                )

    def restart(self) -> None:
        """Begin anew, in new files: what still looks at the old ones keeps them."""
        self.rows = self.capacity = 0
        self.maps = empty_points(0, other=True)
        for name, head in header(0).items():
            self.path(name).unlink(missing_ok=True)
            with naming(self.path(name)):
                self.path(name).write_bytes(head)

    def held(self, rows: int) -> int:
        """How many rows the files have room for, which must be those that are kept at least."""
        sizes = {name: self.path(name).stat().st_size for name in DTYPES}
        room = min((size - OFFSET) // int(DTYPES[name].itemsize) for name, size in sizes.items())
        if room < rows:
            raise ValueError(f"{self.folder}: expected the scores of {rows} points, there is room for {room}")
        return room

    def map(self) -> None:
        if self.capacity:
            self.maps = Points(
                *(np.memmap(self.path(name), dtype, "r+", OFFSET, (self.capacity,)) for name, dtype in DTYPES.items())
            )

    def room(self, rows: int) -> Points:
        """The place of the next ``rows`` points."""
        needed = self.rows + rows
        if needed > self.capacity:
            self.grow(max(needed, self.capacity + min(self.capacity, MOST_AHEAD)))
        return part(self.maps, self.rows, needed)

    def reserve(self, rows: int) -> None:
        """Make room for so many points in all."""
        if rows > self.capacity:
            self.grow(rows)

    def keep(self, points: Points) -> None:
        """Keep the next points; those that were not written in their ``room`` are copied there."""
        for place, field in zip(self.room(len(points.gain)), points, strict=True):
            if place is not None and field is not None and not np.may_share_memory(place, field):
                place[:] = field
        self.rows += len(points.gain)

    def grow(self, capacity: int) -> None:
        """Make room on the disk now: a full disk is an error here, where a mapped file would end the process."""
        for name, dtype in DTYPES.items():
            path = self.path(name)
            before, size = path.stat().st_size, OFFSET + capacity * dtype.itemsize
            if before >= size:
                continue  # grown already, by a run that was killed before it had grown the others
            with open(path, "r+b") as file:
                try:
                    allocate(file.fileno(), before, size)
                except OSError as error:
                    os.ftruncate(file.fileno(), before)
                    reason = error.strerror or os.strerror(error.errno or errno.ENOSPC)
                    raise OSError(
                        error.errno, f"no room for the scores of {capacity} points, {size} bytes ({reason})", str(path)
                    ) from error
        self.capacity = capacity
        self.map()

    def sums(self, begin: int, end: int, before: Sequence[int]) -> list[int]:
        """Checksums of each field up to a row, from those up to an earlier one."""
        fields = [field for field in part(self.maps, begin, end) if field is not None]
        return [checksum(field, old) for field, old in zip(fields, before, strict=True)]

    def flush(self) -> None:
        """Have what was written reach the disk."""
        for field in self.maps:
            if isinstance(field, np.memmap):
                field.flush()

    def settled(self) -> Pieces:
        """All points that are kept; the files are now of just these, and any program can read them."""
        for name, head in header(self.rows).items():
            with open(self.path(name), "r+b") as file:
                file.write(head)
                file.truncate(OFFSET + self.rows * DTYPES[name].itemsize)
        self.maps = part(self.maps, 0, self.rows)
        self.capacity = self.rows
        if self.mask is None or not self.rows:
            return Pieces([self.maps])
        # A private copy of the pages that change: the files keep the gains, for a selection that leaves out others.
        gain = np.memmap(self.path("gain"), DTYPES["gain"], "c", OFFSET, (self.rows,))
        gain[self.mask] = np.nan
        return Pieces([self.maps._replace(gain=gain)])


def checksum(field: npt.NDArray[Any], before: int) -> int:
    """The sum of a field's items, and their exclusive or: of their bits, 32 of each, the same however rows are cut.

    At the speed of memory; a cyclic one takes ten times as long. What it tells is what happens to files: bits that
    flip, blocks that read as zeros or as what was there before.
    """
    bits = field.view(f"u{field.itemsize}")
    total, either = before & 0xFFFFFFFF, before >> 32
    for begin in range(0, len(bits), SUMMED):
        piece = np.asarray(bits[begin : begin + SUMMED])
        total += int(np.add.reduce(piece, dtype=np.uint32))
        either ^= int(np.bitwise_xor.reduce(piece))
    return either << 32 | (total & 0xFFFFFFFF)


def allocate(file: int, before: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, before, size - before)
        return
    zeros = bytes(1 << 20)
    for at in range(before, size, len(zeros)):
        os.pwrite(file, zeros[: size - at], at)


def locked(folder: Path) -> int:
    """A lock on a folder that ends with this process, however it ends."""
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise ValueError(
                f"{folder}: expected a folder that is not in use, another process is using it; wait for it"
            ) from (error)
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            raise
        return os.open(os.devnull, os.O_RDONLY)  # a file system without locks
    return handle


class Workdir:
    """The folder of a command that may be killed at any moment: the scores of finished chunks, and what they are of.

    The manifest is replaced in one step when a chunk's scores are on the disk; what a later, unfinished chunk wrote is
    written again. ``job`` says what the scores depend on; a folder of another job is refused. Scores whose checksums
    are not those in the manifest are computed again, and that is said. Which points are excluded is no part of the job:
    their scores are kept, and they are left out when all are there.
    """

    def __init__(self, folder: Path, job: dict[str, Any]) -> None:
        self.folder = folder
        self.job = json.loads(json.dumps({"manifest": VERSION, **job}))  # as it will be read again
        self.manifest = folder / MANIFEST
        self.sums: list[list[int]] = []  # after a chunk: how many rows are finished, and their checksums
        self.earlier()  # another job is refused before anything is touched
        if not folder.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "expected a place for a folder, nothing is there", str(folder))
        self.files = ScoreFiles(folder, rows=self.earlier, also=lambda: also(folder))
        self.files.whole = True
        if not self.manifest.exists():
            self.write()
        for name in DTYPES:
            open_npy(self.files.path(name), growing=True)  # raises where it is none of ours
        self.verify()
        self.files.reserve(int(job["rows"]))  # a full disk is noticed now, and not after hours

    @property
    def rows(self) -> int:
        """How many rows are finished."""
        return self.sums[-1][0] if self.sums else 0

    def unlock(self) -> None:
        """Let other processes use the folder."""
        self.files.unlock()

    def earlier(self) -> int | None:
        """How far an earlier run of this job came; None where there was none."""
        try:
            text = self.manifest.read_text()
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            known = json.loads(text)
            job, sums = known["job"], [[int(number) for number in numbers] for numbers in known["done"]]
            if not isinstance(job, dict) or any(len(numbers) != 1 + len(DTYPES) for numbers in sums):
                raise ValueError("not a job")
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.manifest}: expected the state of an earlier run, it cannot be read") from error
        self.compare(job)
        self.sums = sums
        return self.rows

    def verify(self) -> None:
        """Scores that are not what was written are computed again, and all after them."""
        begin, before = 0, [0] * len(DTYPES)
        for number, (rows, *sums) in enumerate(self.sums):
            before = self.files.sums(begin, rows, before)
            if before != sums:
                warnings.warn(
                    f"{self.folder}: the scores of points {begin} to {self.rows - 1} are not what was written there; "
                    "they are computed again",
                    stacklevel=2,
                )
                self.sums = self.sums[:number]
                self.files.rows = begin
                self.write()
                return
            begin = rows

    def compare(self, job: dict[str, Any]) -> None:
        for name in sorted({*job, *self.job}):
            if job.get(name) != self.job.get(name):
                raise ValueError(
                    f"{self.folder}: expected the same as when this folder was started; "
                    f"{difference(name, job, self.job)}. Give the same again, or choose another --workdir"
                )

    def unchanged(self, job: dict[str, Any]) -> None:
        """Raise where the inputs have been changed while they were read."""
        before, self.job = self.job, json.loads(json.dumps({"manifest": VERSION, **job}))
        self.compare(before)

    def finished(self, rows: int) -> None:
        """The scores of the first ``rows`` points are there."""
        self.files.flush()
        before = self.sums[-1] if self.sums else [0] * (1 + len(DTYPES))
        self.sums.append([rows, *self.files.sums(before[0], rows, before[1:])])
        if len(self.sums) > MOST_SUMS:  # each sum is of all rows up to its own: any may go but the last
            self.sums = [*self.sums[1:-1:2], self.sums[-1]]
        self.write()

    def leave_out(self, mask: npt.NDArray[np.bool_] | None, *, refuse_invalid: str | None) -> tuple[int, int]:
        """Leave points out of what is settled; returns how many that are, and how many others are invalid.

        ``refuse_invalid``: what to call the logits of invalid points in an error; None: these are left out as well.
        """
        wrong = np.isnan(self.files.maps.gain[: self.files.rows])
        if mask is not None:
            wrong &= ~mask
        count = int(np.count_nonzero(wrong))
        if count and refuse_invalid is not None:
            raise inputs.invalid_rows(refuse_invalid, count, int(wrong.argmax()))
        self.files.mask = mask
        return 0 if mask is None else int(np.count_nonzero(mask)), count

    def write(self) -> None:
        lines = ",\n  ".join(json.dumps(numbers) for numbers in self.sums)
        text = f'{{"job": {json.dumps(self.job, indent=1)},\n "done": [\n  {lines}\n ]}}\n'
        write_together({self.manifest: write_text(text)})


def also(folder: Path) -> frozenset[str]:
    """Results and manifest, which stand beside the scores."""
    names = {MANIFEST, "selected.npy", "selected.json"}
    with contextlib.suppress(OSError):
        if not (folder / MANIFEST).exists():
            names -= {"selected.npy", "selected.json"}
    return frozenset(names)


def difference(name: str, before: dict[str, Any], now: dict[str, Any]) -> str:
    """What is not as it was, in words: of a dictionary the first entry that differs."""
    old, new = before.get(name), now.get(name)
    if isinstance(old, dict) and isinstance(new, dict):
        name = next(key for key in sorted({*old, *new}) if old.get(key) != new.get(key))
        inside = name in old, name in new
        old, new = old.get(name), new.get(name)
        if isinstance(old, list) or isinstance(new, list):
            changed = {
                (True, True): "has changed since then, judging by its size, its time or a sample of its content",
                (True, False): "is no longer among the inputs",
            }
            return f"{name} {changed.get(inside, 'is a new input')}"
    return f"{name} was {old!r} and is {new!r}"
