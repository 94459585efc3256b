"""What the page of the main study says of streams: its main tables, and where they go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUMMARY = ROOT / "benchmarks" / "results" / "streams.md"  # benchmarks/study puts it into its page
STUDY = ROOT / "docs" / "study.md"
BEGIN, END = "<!-- streams: written by python -m benchmarks.streams -->", "<!-- end of streams -->"
TEXT = """A stream's points beside what `select` takes of all of them, with the default slack. *overlap*: the share of
them that hindsight takes with some probability. *regret*: of the game's value. Quotas begin when the first window is
full: the digits are too few for that.

{SELECTORS}

The share of queries that go to the large model, and accuracy in percent.

{CASCADES}

A quarter of each batch is learned, of labels of which 30% are drawn at random.

{BATCHES}"""


def summary(parts: dict[str, list[str]]) -> str:
    """The block, with its markers, from the page's whole tables."""
    small = {
        "SELECTORS": some(
            [line for line in parts["SELECTORS"] if not line.startswith("| digits") or "| auto |" not in line],
            ("set", "rate", "quotas", "overlap", "regret", "effective gain"),
            {"slack": "(default)"},
        ),
        "CASCADES": some(parts["CASCADES"], without=("slack 1", "calibrated")),
        "BATCHES": some(parts["BATCHES"], without=("itself",)),
    }
    return "\n".join([BEGIN, TEXT.format(**small), END])


def some(
    lines: Sequence[str],
    columns: Sequence[str] = (),
    holding: Mapping[str, str] | None = None,
    without: Sequence[str] = (),
) -> str:
    """Some columns of a table; its rows whose cells hold these texts, by column, and none of those."""
    head, ruler, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    at = [head.index(name) for name in columns] or list(range(len(head)))
    asked = [(head.index(name), text) for name, text in (holding or {}).items()]
    kept = [row for row in rows if all(text in row[k] for k, text in asked)]
    kept = [row for row in kept if not any(word in cell for word in without for cell in row)]
    return "\n".join(f"| {' | '.join(row[k] for k in at)} |" for row in (head, ruler, *kept))


def put_into(page: str, block: str) -> str:
    """The page with the block in its place."""
    if BEGIN not in page or END not in page:
        raise ValueError(f"{STUDY.name}: expected {BEGIN} and {END}, found no place for the streams")
    return page[: page.index(BEGIN)] + block + page[page.index(END) + len(END) :]
