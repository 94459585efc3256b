"""What the readers have in common: missing libraries, files that cannot be read, columns that were not named."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


def library(name: str, path: Path) -> Any:
    """The library that reads a file."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ImportError(
            f'{path}: reading it needs {package}, which cannot be imported ({error}); pip install "rad_fast[files]"'
        ) from error


@contextlib.contextmanager
def reading(path: Path, expected: str) -> Iterator[None]:
    """Whatever a library raises for a broken file, as one clear error."""
    try:
        yield
    except (MemoryError, FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: expected {expected}, it cannot be read ({text[:300]}): is it whole?") from error


def chosen(path: Path, kind: str, wanted: str | None, usable: Sequence[str], every: Sequence[str]) -> str:
    """The column (tensor, array) to read: the one that was named, or the only one that could be meant."""
    if wanted is not None:
        if wanted not in every:
            raise ValueError(f"{path}: expected a {kind} {wanted!r}, got {', '.join(map(repr, every[:20])) or 'none'}")
        return wanted
    if len(usable) != 1:
        got = f"none among {', '.join(map(repr, every[:20])) or 'nothing'}"
        if usable:
            got = f"{len(usable)}: {', '.join(map(repr, usable[:20]))}; name one with --column (column=)"
        raise ValueError(f"{path}: expected one {kind} with rows of floating-point numbers, got {got}")
    return usable[0]
