"""How the benchmarks write what they found: pages about the machine that runs them, and JSON of few lines."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from rad_fast.bench.machine import machine


def page(title: str, said: Iterable[str], table: Iterable[str]) -> str:
    """A page of one table: the machine, what is said of it, the table."""
    about = ", ".join(f"{name} {value}" for name, value in machine().items())
    return "\n".join([f"# {title}", "", f"{about}.", "", *said, "", *table, ""])


def as_json(found: Any, indent: int = 0) -> str:
    """JSON in which a list or an object of words and numbers alone is one line."""
    parts = list(found.values()) if isinstance(found, dict) else found
    if not isinstance(found, (dict, list)) or not any(isinstance(part, (dict, list)) for part in parts):
        return json.dumps(found)
    names = [f"{json.dumps(name)}: " for name in found] if isinstance(found, dict) else [""] * len(found)
    within = [f"{' ' * indent} {name}{as_json(part, indent + 1)}" for name, part in zip(names, parts, strict=True)]
    first, last = "{}" if isinstance(found, dict) else "[]"
    return f"{first}\n" + ",\n".join(within) + f"\n{' ' * indent}{last}"
