"""The long description: README.md with absolute links, as a package index shows it away from the repository's files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

LINK = re.compile(r"(!?)(\[[^\]]*\])\((?![a-z]+:|#)([^)\s]+)\)")


def dynamic_metadata(field: str, settings: Mapping[str, str]) -> dict[str, str]:
    """What scikit-build-core asks for; ``repository`` is the address that links are completed with."""
    if field != "readme":
        raise ValueError(f"cmake/readme.py provides the readme, not {field}")
    text = Path("README.md").read_text(encoding="utf-8")
    return {"content-type": "text/markdown", "text": absolute(text, settings["repository"])}


def absolute(text: str, repository: str) -> str:
    """Links to files as links into the repository; pictures as the files themselves."""

    def completed(match: re.Match[str]) -> str:
        view = "raw" if match[1] else "blob"
        return f"{match[1]}{match[2]}({repository}/{view}/main/{match[3]})"

    return LINK.sub(completed, text)
