"""What tells that a file was changed: its size, its time, and a digest of a sample of bounded size."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from .finding import files_of

PIECE, PIECES = 4096, 64  # bytes that are read together, and how many such pieces of a file
MOST = 1024  # pieces of a folder
SPREAD = 0x9E3779B97F4A7C15  # 2**64 / the golden ratio: its multiples fill a range evenly, without a period


def fingerprint(path: Path) -> list[Any]:
    """Size, time of modification and a digest of a sample; of a folder of all that is in it."""
    if not path.is_dir():
        about = path.stat()
        return [about.st_size, about.st_mtime_ns, sample(path, about.st_size, PIECES)]
    digest, size = hashlib.blake2b(digest_size=16), 0
    files = files_of(path)
    pieces = max(1, min(PIECES, MOST // max(1, len(files))))
    for number, file in enumerate(files):
        about = file.stat()
        size += about.st_size
        digest.update(f"{file.relative_to(path)}\0{about.st_size}\0{about.st_mtime_ns}\0".encode())
        if number < MOST and file.is_file():  # of so many files one piece each
            digest.update(sample(file, about.st_size, pieces).encode())
    return [size, digest.hexdigest()]


def sample(path: Path, size: int, pieces: int) -> str:
    """A digest of the beginning, the end and pieces between them; of a small file of all that is in it."""
    digest = hashlib.blake2b(digest_size=8)
    with open(path, "rb", buffering=0) as file:
        if size <= pieces * PIECE:
            digest.update(file.read())
        else:
            last = size - PIECE
            for number in range(pieces):
                place = last if number == 1 else (number * SPREAD % 2**64) * last >> 64
                digest.update(os.pread(file.fileno(), PIECE, place))
    return digest.hexdigest()
