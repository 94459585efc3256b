"""Draws the picture of docs/design.md: the rooms of rad_fast/, and which room uses which.

    python docs/pictures/house.py [FOLDER]

Rows are the layers of the contract in pyproject.toml; an arrow says that some module of the upper room imports the
lower one. Arrows that follow from others are left out.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAYS = {
    "cli": "the command line",
    "bench": "timing",
    "demo": "the demo",
    "distill": "the loop with torch",
    "ray": "many machines",
    "stream": "decisions on arrival",
    "select_once": "select",
    "selector": "Selector",
    "selection": "what comes back",
    "readers": "files, by a short name",
    "calibration": "Calibrator, agreement",
    "report": "words, tables, pages",
    "game": "the game, solved",
    "storage": "files, score blocks",
    "device": "which kernels serve",
    "inputs": "checks and messages",
    "kernels": "all arithmetic over points",
}
WIDTH, HEIGHT, GAP, ROW = 150, 44, 22, 92


def draw(out: Path) -> None:
    rows = layers()
    uses = reduced(imports([name for row in rows for name in row]))
    wide = max(len(row) for row in rows) * (WIDTH + GAP) + GAP
    place = {}
    for depth, row in enumerate(rows):
        begin = (wide - len(row) * (WIDTH + GAP) + GAP) / 2
        for number, name in enumerate(row):
            place[name] = begin + number * (WIDTH + GAP), 16 + depth * ROW
    high = 16 + (len(rows) - 1) * ROW + HEIGHT + 16
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:.0f} {high}" font-family="sans-serif">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">',
        '<path d="M0 0L8 4L0 8z" fill="#6b7a8f"/></marker></defs>',
    ]
    long_ways = 0
    for upper, lower in sorted(uses):
        (x, y), (u, v) = place[upper], place[lower]
        x, y = x + WIDTH / 2, y + HEIGHT
        between = [a for a, b in place.values() if y < b < v]
        if between:  # beside the rooms that it passes
            lane = min([*between, u]) - GAP * (1 + long_ways / 2)
            long_ways += 1
            way = f"C{x:.0f} {y + 34} {lane:.0f} {y + 4} {lane:.0f} {y + 44}"
            way += f"V{v}Q{lane:.0f} {v + HEIGHT / 2} {u:.0f} {v + HEIGHT / 2}"
        else:
            u, bend = u + WIDTH / 2, (v - y) / 2
            way = f"C{x:.0f} {y + bend} {u:.0f} {v - bend} {u:.0f} {v}"
        lines.append(
            f'<path d="M{x:.0f} {y}{way}" fill="none" stroke="#6b7a8f" marker-end="url(#tip)"/>'
        )
    for name, (x, y) in place.items():
        middle, says = x + WIDTH / 2, SAYS[name]
        lines += [
            f'<rect x="{x:.0f}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#eef4f5" stroke="#00798c"/>',
            f'<text x="{middle:.0f}" y="{y + 19}" text-anchor="middle" font-size="14" fill="#12343b">{name}</text>',
            f'<text x="{middle:.0f}" y="{y + 35}" text-anchor="middle" font-size="11" fill="#3d5259">{says}</text>',
        ]
    (out / "house.svg").write_text("\n".join([*lines, "</svg>"]) + "\n")


def layers() -> list[list[str]]:
    """The rows of the contract, uppermost first."""
    text = (ROOT / "pyproject.toml").read_text()
    found = re.search(r"^layers = \[(.*?)^\]", text, re.M | re.S)
    if found is None:
        raise ValueError(
            "pyproject.toml: expected the layers of import-linter's contract"
        )
    return [row.split(" | ") for row in re.findall(r'"([^"]+)"', found[1])]


def imports(rooms: list[str]) -> set[tuple[str, str]]:
    """Pairs of rooms, of which the first imports the second."""
    found = set()
    for room in rooms:
        folder = ROOT / ("kernels" if room == "kernels" else f"rad_fast/{room}")
        for path in (
            folder.rglob("*.py") if folder.is_dir() else [folder.with_suffix(".py")]
        ):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom):
                    found |= {
                        (room, to) for to in named(node, path, rooms) if to != room
                    }
    return found


def named(node: ast.ImportFrom, path: Path, rooms: list[str]) -> set[str]:
    module = node.module or ""
    if node.level:
        inside = path.relative_to(ROOT).parts[:-1]
        module = ".".join(
            [*inside[: len(inside) - node.level + 1], *filter(None, [module])]
        )
    parts = module.split(".")
    if parts[0] != "rad_fast":
        return set()
    return (
        {parts[1]} & set(rooms)
        if len(parts) > 1
        else {name.name for name in node.names} & set(rooms)
    )


def reduced(pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Without those that lead where a longer way leads, too."""

    def reaches(begin: str, end: str) -> bool:
        return any(
            upper == begin and (lower == end or reaches(lower, end))
            for upper, lower in pairs
        )

    return {
        (upper, lower)
        for upper, lower in pairs
        if not any(a == upper and b != lower and reaches(b, lower) for a, b in pairs)
    }


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
