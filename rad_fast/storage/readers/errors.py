"""What the readers have in common: missing libraries, and files that cannot be read."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def library(name: str, path: Path) -> Any:
    """The library that reads a file."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ImportError(
            f'{path}: reading it needs {package}, which cannot be imported ({error}): pip install "rad_fast[files]"'
        ) from error


@contextlib.contextmanager
def reading(path: Path, expected: str) -> Iterator[None]:
    """Whatever a library raises for a broken file, as one clear error."""
    try:
        yield
    except MemoryError as error:  # a broken header may ask for any amount
        raise MemoryError(f"{path}: expected {expected} that fits into memory ({error})") from error
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: expected {expected}, it cannot be read ({text[:300]}); is it complete?") from error
