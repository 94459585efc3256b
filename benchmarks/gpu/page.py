"""The GPU report as one Markdown page: goals, ratios, times; and the series of its figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rad_fast.bench.peers import COMPILED, COPY, CUPY, CUPY_SORT, MARGIN, READ, TORCH, TORCH_SORT
from rad_fast.bench.timing import Spread

from . import figures as figures
from .cases import GAME, HOST, LAUNCHED, REPLAYED, SAMPLE, SCORE, WHOLE
from .figures import Bar, Series, duration, rate
from .goals import GAME_POINTS, GAME_SECONDS, MISSED, goals
from .parts import ABSENT, DONE, DROPPED, FAILED
from .results import Measured, backend, cases, known

REHEARSAL = (
    "> **A rehearsal without a GPU.** Small stand-ins on the CPU: it shows that the report works, and says nothing\n"
    "> about speed."
)
HOW = """Ratios are of contenders that take turns over the same inputs, turn by turn: the median, and in brackets the
quantiles that 20% and 80% of the turns lie below. Inputs are random and rotate, so that the cache has lost each when
its turn comes again. Times are of CUDA events, the launches hidden behind other work; of select() they are the host's,
from the call until the device is done. Bandwidths are of the bytes that have to be read and written, each once. The
streaming read is torch's sum over the same logits. Energy is not measured."""
PEERS = """torch eager is softmax and topk(2), then for the game a sort and running sums; torch compiled is the same
under torch.compile; torch.topk of 1 - margin picks the least margins, which is less than the game; CuPy is written as
the eager one; the sorts are a sort alone, of as many points."""
GAME_PEERS = (TORCH, COMPILED, CUPY_SORT, TORCH_SORT, MARGIN)


def write(found: Mapping[str, Any], out: Path, name: str) -> list[str]:
    """The page and its figures in ``out``; what could not be drawn, and why. The page itself is written in any case."""
    drawn: list[tuple[str, str]] = []
    undrawn: list[str] = []
    for title, file, draw in FIGURES:
        path = out / f"{name}-{file}.png"
        path.unlink(missing_ok=True)  # no figure of an earlier run beside this one's page
        try:
            if draw(found, path):
                drawn.append((title, path.name))
            else:
                undrawn.append(f"{title}: nothing was measured for it")
        except Exception as error:  # noqa: BLE001 - matplotlib may be missing or broken: the page is worth more
            undrawn.append(f"{title}: {type(error).__name__}: {error}")
    (out / f"{name}.md").write_text(markdown(found, drawn, undrawn))
    return undrawn


def markdown(found: Mapping[str, Any], drawn: Sequence[tuple[str, str]] = (), undrawn: Sequence[str] = ()) -> str:
    rehearsal = bool(found.get("rehearsal"))
    blocks = ["# GPU benchmarks" + (": a rehearsal" if rehearsal else "")]
    blocks += [REHEARSAL] if rehearsal else []
    blocks += [machine(found), "## Goals", goal_table(found), trouble(found, undrawn)]
    sections = {
        "## Scoring, of the bandwidth of a streaming read": scoring(found, Measured.of_read, percent),
        "## Scoring, times as fast as its peers": against(found, "scoring", (TORCH, COMPILED, CUPY)),
        "## The game and the sample, times as fast as their peers": against(found, "game", GAME_PEERS),
        "## select(), from logits to indices, times as fast as its peers": against(
            found, "select", (TORCH, COMPILED, MARGIN), reads=True
        ),
        "## select() by each way through the kernels, in reads of the logits": routes(found),
        "## CUDA graphs": graphs(found),
        "## Beside other libraries' softmax, of the bandwidth of a streaming read": softmaxes(found),
        "## Where select() spends its time": stage_table(found),
        "## Figures": "\n\n".join(f"![{title}]({file})" for title, file in drawn),
        "## Bandwidth and times": bandwidths(found) + "\n\n" + all_times(found),
    }  # fmt: skip
    for title, text in sections.items():
        blocks += [title, text] if text.strip() else []
    blocks += ["## How", HOW, PEERS]
    return "\n\n".join(block.strip() for block in blocks if block.strip()) + "\n"


# ------------------------------------------------------------------------------------------------------ what and goals


WARM = ("clock of the multiprocessors", "clock of the memory", "temperature")


def machine(found: Mapping[str, Any]) -> str:
    about = found.get("machine") or {}
    lines = [named(about.get("gpu") or {"GPU": "none"}) + "."]
    lines += [f"As found: {named(about['state'])}."] if about.get("state") else []
    shown = [
        f"after {group} {', '.join(data['state'][name] for name in WARM if name in data['state'])}"
        for group, data in found.get("groups", {}).items()
        if (data or {}).get("state")
    ]
    lines += [f"Clocks and temperature right {'; '.join(shown)}."] if shown else []
    if about:
        lines.append(f"{named(about['versions'])}.")
        modules = "; ".join(f"rad_fast.{name}: {value}" for name, value in about["compiled modules"].items())
        lines.append("; ".join(f"backend {name}: {said}" for name, said in about["backends"].items()) + ".")
        lines.append(f"Commit {about['commit']}, sources {about['sources']}; {modules}. {about['system']}.")
    lines.append(f"{found.get('size', '')} sizes, {found.get('seconds', 0):.0f} s in all, {found.get('date', '')}.")
    return "\n".join(lines)


def named(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def goal_table(found: Mapping[str, Any]) -> str:
    rows = []
    for goal in goals(found):
        verdict = f"**{goal.verdict}**" if goal.verdict == MISSED else goal.verdict
        rows.append([goal.what, goal.backend, goal.wanted, goal.reached, verdict, goal.where])
    return table(["goal", "backend", "wanted", "measured", "", "in"], rows)


def trouble(found: Mapping[str, Any], undrawn: Sequence[str]) -> str:
    """Which parts failed or were left out, and why."""
    words = {FAILED: "failed", DROPPED: "left out", ABSENT: "not there"}
    rows, logs = [], []
    for part in found.get("parts", []):
        told = ", ".join(filter(None, (part["said"], part["reason"])))
        rows.append([part["name"], words.get(part["status"], part["status"]), f"{part['seconds']:.0f} s", told])
        if part["status"] == FAILED and part["last_lines"]:
            logs += [f"The last lines of {part['name']}:", "```\n" + "\n".join(part["last_lines"]) + "\n```"]
    left = [f"- {case.name}: {who}: {why}" for case in cases(found) for who, why in case.left_out.items()]
    for data in found.get("groups", {}).values():
        left += [f"- {item['what']}, failed: {item['why']}" for item in (data or {}).get("failed", [])]
        left += [f"- {item['what']}, left out: {item['why']}" for item in (data or {}).get("dropped", [])]
        left += [f"- {name}, not reached: its part was stopped before" for name in unreached(data or {})]
    left += [f"- figure, {why}" for why in undrawn]
    bad = any(part["status"] != DONE for part in found.get("parts", []))
    blocks = ["## Parts", table(["part", "", "took", ""], rows)] if rows else []
    blocks += ["Not everything was measured." if bad or left else "Everything was measured.", *logs, "\n".join(left)]
    return "\n\n".join(block for block in blocks if block)


def unreached(data: Mapping[str, Any]) -> list[str]:
    """What a part had planned and left no word about."""
    told = {case["name"] for case in data.get("cases", [])}
    told |= {item["what"] for kind in ("failed", "dropped") for item in data.get(kind, [])}
    return [name for name in data.get("planned", []) if name not in told]


# --------------------------------------------------------------------------------------------------------------- ratios


def scoring(found: Mapping[str, Any], value: Callable[[Measured, str], Spread], say: Callable[[float], str]) -> str:
    """Classes down, dtypes across, a table for each backend."""
    measured = list(cases(found, "scoring"))
    dtypes = list(dict.fromkeys(str(case.about["dtype"]) for case in measured))
    blocks = []
    for name in dict.fromkeys(name for case in measured for name in case.backends()):
        by_place = {(*size(case), case.about["dtype"]): value(case, name) for case in measured}
        rows = [
            [f"{classes:,}{few}", *(shown(by_place.get((classes, few, dtype)), say) for dtype in dtypes)]
            for classes, few in sorted({size(case) for case in measured})
        ]
        blocks.append(table([backend(name), *dtypes], rows))
    return "\n\n".join(blocks)


def size(case: Measured) -> tuple[int, str]:
    """Its classes, and its rows where they are few."""
    rows = case.about.get("rows")
    return int(case.about["classes"]), f", {rows:,} rows" if rows else ""


def against(found: Mapping[str, Any], stage: str, peers: Sequence[str], *, reads: bool = False) -> str:
    """A line for each case and backend, a column for each peer; ``reads``: also the time in reads of the logits."""
    rows = []
    for case in cases(found, stage):
        for name in (one for one in case.backends() if "," not in one):
            cells = [shown(case.faster(name, peer), ratio) for peer in peers]
            cells = [shown(case.reads(name), ratio), *cells] if reads else cells
            rows.append([case.name, backend(name), *cells])
    head = ["", "backend", *(["in reads of the logits"] if reads else []), *peers]
    return table(head, rows)


def routes(found: Mapping[str, Any]) -> str:
    """A line for each case, a column for each way."""
    measured = list(cases(found, "route"))
    names = list(dict.fromkeys(name for case in measured for name in case.backends()))
    rows = [[case.name, *(shown(case.reads(name), ratio) for name in names)] for case in measured]
    return table(["", *(backend(name) for name in names)], rows)


def graphs(found: Mapping[str, Any]) -> str:
    rows = []
    for case in cases(found, "graph"):
        for name in (one for one in case.backends() if one.endswith(REPLAYED)):
            launched = name.removesuffix(REPLAYED) + LAUNCHED
            told = [shown(case.faster(name, launched), ratio), shown(case.reads(name), ratio)]
            rows.append([case.name, backend(name).partition(",")[0], *told, shown(case.time(name), duration)])
    return table(["the replay", "backend", "times as fast as launched", "in reads of the logits", "time"], rows)


def softmaxes(found: Mapping[str, Any]) -> str:
    rows = []
    for case in cases(found, "softmax"):
        rows += [
            [case.name, backend(name), shown(case.of_read(name), percent)] for name in case.seconds if name != READ
        ]
    return table(["", "", "of the streaming read"], rows)


def stage_table(found: Mapping[str, Any]) -> str:
    rows = []
    for bar in bars(found):
        total = sum(bar.stages.values())
        rows.append([bar.label, *(percent(bar.stages[name] / total) for name in STAGES), duration(total)])
    return table(["", *STAGES, "in all"], rows)


def bandwidths(found: Mapping[str, Any]) -> str:
    told = [f"{name} {shown(value, rate)}" for name, value in ceilings(found).items() if known(value)]
    return f"This GPU's memory, GB/s: {', '.join(told)}." if told else ""


def all_times(found: Mapping[str, Any]) -> str:
    rows = []
    for case in cases(found):
        for name in case.seconds:
            if case.seconds[name]:
                moved = shown(case.bandwidth(name), rate)
                rows.append([case.name, name, shown(case.time(name), duration), moved, str(len(case.seconds[name]))])
    return table(["case", "contender", "time", "GB/s", "turns"], rows)


# -------------------------------------------------------------------------------------------------------------- figures

STAGES = (SCORE, GAME, SAMPLE, HOST)


def ceilings(found: Mapping[str, Any]) -> dict[str, Spread]:
    measured = next(cases(found, "bandwidth"), None)
    return {} if measured is None else {name: measured.bandwidth(name) for name in (READ, COPY)}


def bars(found: Mapping[str, Any]) -> list[Bar]:
    """What the stages take on the device, and what the whole takes beyond them."""
    made = []
    for case in cases(found, "stages"):
        parts = {name: case.time(name).median for name in (SCORE, GAME, SAMPLE)}
        host = max(0.0, case.time(WHOLE).median - sum(parts.values()))
        label = f"{case.about['backend']}, {case.points:,} × {case.about['classes']:,}, {case.about['dtype']}"
        made.append(Bar(label, {**parts, HOST: host}))
    return made


def note(found: Mapping[str, Any]) -> str:
    if found.get("rehearsal"):
        return "REHEARSAL on a CPU: says nothing about speed"
    return str(((found.get("machine") or {}).get("gpu") or {}).get("GPU", ""))


def series(measured: Iterable[Measured], x: Callable[[Measured], float], y: Callable[[Measured, str], Spread],
           wanted: Callable[[str], bool], label: Callable[[str], str]) -> list[Series]:  # fmt: skip
    """A line for each contender that is wanted, over the cases that have it."""
    points: dict[str, list[tuple[float, Spread]]] = {}
    for case in measured:
        for name in (one for one in case.seconds if wanted(one) and known(y(case, one))):
            points.setdefault(label(name), []).append((x(case), y(case, name)))
    return [Series(name, *zip(*sorted(found), strict=True)) for name, found in points.items()]


def draw_roofline(found: Mapping[str, Any], path: Path) -> bool:
    panels = {}
    measured = [case for case in cases(found, "scoring") if "rows" not in case.about]
    for dtype in dict.fromkeys(str(case.about["dtype"]) for case in measured):
        of_dtype = [case for case in measured if case.about["dtype"] == dtype]
        ours = {name for case in of_dtype for name in case.backends()}
        panels[dtype] = series(
            of_dtype, lambda case: float(case.about["classes"]), Measured.bandwidth, ours.__contains__, backend
        )
    if any(panels.values()):
        figures.roofline(path, panels, ceilings(found), note(found))
    return any(panels.values())


def draw_times(found: Mapping[str, Any], path: Path) -> bool:
    peers = {TORCH, COMPILED, CUPY_SORT, MARGIN}
    lines = series(
        cases(found, "game"), lambda case: float(case.points), Measured.time,
        lambda name: name in peers or (name.startswith("rad_fast ") and "," not in name),
        lambda name: f"{name}, game and sample" if name.startswith("rad_fast ") else name,
    )  # fmt: skip
    if lines:
        goal = (f"goal: {1e3 * GAME_SECONDS:.0f} ms at 10^8 points", float(GAME_POINTS), GAME_SECONDS)
        figures.times(path, lines, None if found.get("rehearsal") else goal, note(found))
    return bool(lines)


def draw_stages(found: Mapping[str, Any], path: Path) -> bool:
    made = bars(found)
    if made:
        figures.stages(path, made, note(found))
    return bool(made)


FIGURES: tuple[tuple[str, str, Callable[[Mapping[str, Any], Path], bool]], ...] = (
    ("Scoring: achieved bandwidth over the number of classes", "roofline", draw_roofline),
    ("Time against the number of points", "times", draw_times),
    ("Where select() spends its time", "stages", draw_stages),
)


# ---------------------------------------------------------------------------------------------------------------- texts


def percent(value: float) -> str:
    return f"{100 * value:.1f}%" if value < 0.1 else f"{100 * value:.0f}%"


def ratio(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def shown(value: Spread | None, say: Callable[[float], str]) -> str:
    """A median and its quantiles; a dash where nothing was measured."""
    if value is None or not known(value):
        return "–"
    return f"{say(value.median)} ({say(value.low)} to {say(value.high)})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Nothing where there are no rows."""
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )
