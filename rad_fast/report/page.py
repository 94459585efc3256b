"""One HTML page of a selection: words, figures and a table; nothing in it is fetched from anywhere."""

from __future__ import annotations

import io
import os
import re
import time
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rad_fast.storage.npy import check_writable, write_text, write_together

from .captions import alternative, caption
from .draw import COLOURS, STYLE, TITLES, draw, drawn
from .words import Figures, Numbers, amount, sentences

SIZE = (5.2, 3.7)  # inches of 72 units: as narrow as a telephone's screen, so that text is readable there
NEEDED = 'the report needs {name}, which cannot be imported; pip install "rad_fast[report]"'
ROWS = {
    "points": "points",
    "excluded": "excluded",
    "invalid": "invalid",
    "budget": "budget: points selected",
    "mistakes": "mistakes allowed for: wrong labels beyond those expected",
    "value": "value of the game: the guaranteed gain",
    "value_per_query": "the same per label",
    "labelled": "labelled points of the calibrator",
    "certificate": "gain promised with 95% confidence",
    "worth_querying": "points worth a query",
    "threshold": "threshold of the effective gain",
    "price": "price: always picked up to this gain",
    "share": "share of points on the threshold",
    "selected_mean_gain": "mean gain of the selected",
    "selected_mean_correctness": "mean correctness of the selected",
    "seed": "seed",
    "backend": "backend",
    "correctness_from": "correctness from",
    "classes": "classes",
    "dtype": "dtype of the logits",
}


def save(path: str | os.PathLike[str], numbers: Numbers, figures: Figures, title: str) -> None:
    """Write the page of a selection's numbers (``Selection.report()``) and figures."""
    place = Path(path)
    check_writable(place)
    write_together({place: write_text(html(numbers, figures, title))})


def html(numbers: Numbers, figures: Figures, title: str) -> str:
    """The page as text."""
    try:
        import jinja2
    except ImportError as error:
        raise ImportError(NEEDED.format(name="jinja2")) from error
    source = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(source)
    shown = [
        {"name": name, "title": TITLES[name], "svg": picture, "caption": caption(name, numbers, figures)}
        for name, picture in pictures(numbers, figures).items()
    ]
    lines = [line[0].upper() + line[1:] + "." for line in sentences(numbers, figures)]
    made = {"made": numbers.get("made") or today(), "command": numbers.get("command")}
    made["version"] = numbers.get("versions", {}).get("rad_fast") or version("rad_fast")
    page: str = template.render(title=title, lead=lines[:4], more=lines[4:], figures=shown, rows=table(numbers), **made)
    return page


def today() -> str:
    """The date, in UTC; SOURCE_DATE_EPOCH sets another, for pages that are compared."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH", "")
    return time.strftime("%Y-%m-%d", time.gmtime(int(seconds) if seconds.isdigit() else None))


def table(numbers: Numbers) -> list[tuple[str, str]]:
    """The numbers that there are, with their names, as text."""
    return [(words, cell(numbers[name])) for name, words in ROWS.items() if numbers.get(name) is not None]


def cell(value: Any) -> str:
    if isinstance(value, float):
        return amount(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def pictures(numbers: Numbers, figures: Figures) -> dict[str, str]:
    """Every figure as SVG whose colours are the page's: one picture serves light and dark."""
    try:
        from matplotlib import rc_context, rcParamsDefault
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(NEEDED.format(name="matplotlib")) from error
    # Neither a reader's own settings nor a random or a dated mark in the file: the same selection, the same bytes.
    fixed = {"svg.hashsalt": "rad_fast", "svg.fonttype": "none", "svg.image_inline": True}
    found = {}
    plain = {name: value for name, value in rcParamsDefault.items() if not name.startswith(("backend", "interactive"))}
    for name in drawn(numbers, figures):
        with rc_context({**plain, **STYLE, **fixed}):
            figure = Figure(figsize=(SIZE[0], height(name, figures)), layout="constrained")
            draw(name, figure.subplots(), numbers, figures)
            file = io.StringIO()
            figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
            found[name] = inlined(file.getvalue(), name, alternative(name, numbers, figures))
    return found


def height(name: str, figures: Figures) -> float:
    """Inches: room for every label, and for the legend over the plane."""
    more = {"plane": 0.6, "classes": max(0.0, 0.9 + 0.2 * len(figures["classes"]) - SIZE[1])}
    return SIZE[1] + more.get(name, 0.0)


def inlined(svg: str, name: str, alternative: str) -> str:
    """An SVG file as a part of a page: ids of its own, no addresses of schemas, the page's colours, words for it."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"| version="[^"]*"', "", svg)
    svg = re.sub(r'<svg width="[^"]*" height="[^"]*"', "<svg", svg, count=1)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"(font: [\d.]+px) [^;\"]*", r"\1 var(--text)", svg)
    for colour, code in COLOURS.items():
        svg = svg.replace(code, f"var(--{colour})")
    svg = svg.replace("<svg", f'<svg role="img" aria-labelledby="{name}-title"', 1)
    return svg.replace(">", f'><title id="{name}-title">{escape(alternative)}</title>', 1)
