"""What the command line says of an error or a warning, in one line."""

from __future__ import annotations

import sys
from typing import Any


class UsageError(Exception):
    """Arguments that do not go together: exit status 2, as for those that argparse refuses."""


def tell(message: str) -> None:
    print(f"rad-fast: {message}", file=sys.stderr)


def tell_warning(message: Warning | str, *_: Any) -> None:
    tell(f"warning: {one_line(message)}")


def one_line(error: object) -> str:
    """An error's text in one line; of an OSError the file and the reason."""
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        text = str(error) or type(error).__name__
    return " ".join(text.split())
