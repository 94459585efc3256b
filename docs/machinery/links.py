"""What mkdocs does besides: files of the repository join the site, and nothing is loaded from elsewhere.

Pages link to the repository's files as a reader of the repository would follow them, ``../benchmarks/results/cpu.md``.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
JOINING = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "benchmarks/results/*.md",
    "benchmarks/results/*.png",
    "examples/*.py",
)
LINK = re.compile(r"(?<=\]\()([^)\s#]+)")
LOADED = re.compile(
    r"<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=[\"']?((?:https?:)?//[^\"'\s>]+)"
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the repository's files that pages link to, under their paths in the repository."""
    for pattern in JOINING:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(
    markdown: str, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """Turn links within the repository into links within the site."""
    here = page.file.src_uri
    place = posixpath.dirname(
        f"docs/{here}" if (ROOT / "docs" / here).exists() else here
    )

    def moved(match: re.Match[str]) -> str:
        target = match[1]
        if ":" in target or target.startswith("/"):
            return target
        meant = posixpath.normpath(posixpath.join(place, target)).removeprefix("docs/")
        return posixpath.relpath(meant, posixpath.dirname(here) or ".")

    return LINK.sub(moved, markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Refuse a page that would make a reader's browser fetch something from another machine."""
    foreign = LOADED.search(output)
    if foreign:
        raise PluginError(
            f"{page.file.src_uri}: expected nothing to be loaded from elsewhere, got {foreign[1]}"
        )
    return output
