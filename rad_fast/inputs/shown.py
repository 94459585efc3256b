"""How an object shows itself: one line for a terminal, a small table for a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

CELL = "padding:2px 16px 2px 0;border:0;text-align:left"


def are(count: int) -> str:
    """A count and its verb: "1 is", "2 are"."""
    return f"{count} {'is' if count == 1 else 'are'}"


def call(name: str, settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """As it would be written: the settings that are not the defaults."""
    said = [f"{key}={value!r}" for key, value in settings.items() if repr(value) != repr(defaults.get(key, ...))]
    return f"{name}({', '.join(said)})"


def card(title: str, rows: Mapping[str, Any]) -> str:
    """A table of names and values as HTML, in the notebook's own colours."""
    lines = "".join(
        f'<tr style="background:none"><th style="{CELL};font-weight:normal;opacity:.7">{escape(name)}</th>'
        f'<td style="{CELL}">{escape(str(value))}</td></tr>'
        for name, value in rows.items()
    )
    return f'<div><b>{escape(title)}</b><table style="border:0;margin:4px 0">{lines}</table></div>'
