"""A selector used by two threads at once would pair points with other threads' points: such a call is refused."""

from __future__ import annotations

import threading
from typing import Any

from rad_fast.inputs import shared_selector


class Busy:
    """A lock that refuses instead of waiting. Copied or pickled it is a new one, and free."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __enter__(self) -> None:
        if not self.lock.acquire(blocking=False):
            raise shared_selector()

    def __exit__(self, *of_error: object) -> None:
        self.lock.release()

    def __reduce__(self) -> tuple[Any, ...]:
        return Busy, ()
