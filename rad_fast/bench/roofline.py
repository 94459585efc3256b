"""The roofline figure: bytes a second that scoring reaches, under the memory's, over the number of classes."""

from __future__ import annotations

from typing import Any

from .peers import OURS, READ
from .record import Measured, Record
from .timing import Spread, spread

# Okabe and Ito's colours, which stay apart to colour-blind eyes; the markers tell dtypes apart without any.
LOOKS = {
    "float32": ("#0072b2", "o"),
    "bfloat16": ("#d55e00", "s"),
    "float16": ("#009e73", "^"),
    "float64": ("#cc79a7", "D"),
}
READ_LABEL = "streaming read,\na fifth of turns below\nand above the band"


def figure(record: Record) -> Any:
    """A matplotlib Figure, a panel for each of rad_fast's backends; None where no scoring was measured.

    ImportError where matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    panels = [(device, cases, name) for device in ("CPU", "GPU") for cases, name in scored(record, device)]
    if not panels:
        return None
    drawn = Figure(figsize=(2.8 + 4.6 * len(panels), 4.6), dpi=150, facecolor="white", layout="constrained")
    axes = drawn.subplots(1, len(panels), squeeze=False)[0]
    for ax, (device, cases, name) in zip(axes, panels, strict=True):
        draw(ax, cases, name)
        ax.set_title(title(record, device, name), loc="left", fontsize=10)
    for device in ("CPU", "GPU"):  # one scale for a device's backends
        alike = [ax for ax, panel in zip(axes, panels, strict=True) if panel[0] == device]
        for ax in alike:
            ax.set_ylim(0, max(other.get_ylim()[1] for other in alike))
    axes[0].set_ylabel("GB/s, of the least bytes that must be moved")
    handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    drawn.legend(handles.values(), handles.keys(), loc="outside right center", frameon=False)
    drawn.suptitle("Scoring: the bandwidth it reaches, and that of a streaming read", fontsize=12)
    return drawn


# ------------------------------------------------------------------------------------------------------------- helpers


def draw(ax: Any, cases: list[Measured], name: str) -> None:
    from matplotlib.ticker import MaxNLocator

    top = bandwidth(cases, READ)
    if top is not None:
        ax.axhspan(top.low, top.high, color="#999999", alpha=0.25, linewidth=0)
        ax.axhline(top.median, color="#444444", linewidth=1.5, label=READ_LABEL)
    for place, (dtype, (colour, marker)) in enumerate(LOOKS.items()):
        aside = 1.05 ** (place - 1.5)  # so that marks of like height do not cover one another
        reached = {
            int(case.about["classes"]): bandwidth([case], name) for case in cases if case.about["dtype"] == dtype
        }
        found = {at: value for at, value in sorted(reached.items()) if value is not None}
        if found:
            ax.errorbar(
                [aside * at for at in found],
                [value.median for value in found.values()],
                yerr=[[v.median - v.low for v in found.values()], [v.high - v.median for v in found.values()]],
                label=dtype,
                color=colour,
                marker=marker,
                markersize=5,
                linewidth=1.6,
                elinewidth=1,
                capsize=2,
            )
    classes = sorted({int(case.about["classes"]) for case in cases})
    ax.set_xscale("log")
    ax.set_xticks(classes, [f"{count:,}" for count in classes], rotation=40, ha="right", rotation_mode="anchor")
    ax.minorticks_off()
    ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    ax.set_xlabel("classes")
    ax.grid(axis="y", color="#dddddd", linewidth=0.8)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def title(record: Record, device: str, name: str) -> str:
    if device == "CPU":
        return f"{record.machine.get('processor', 'CPU')}, {record.machine.get('threads', '?')} threads"
    return f"{record.machine.get('GPU', 'GPU')}, {name.removeprefix(OURS).strip()}"


def scored(record: Record, device: str) -> list[tuple[list[Measured], str]]:
    """The cases that show scoring on a device, and the name of each of rad_fast's backends in them."""
    cases = [c for c in record.cases if c.about.get("stage") == "scoring" and c.about.get("device") == device]
    names = dict.fromkeys(name for case in cases for name in case.seconds if name.startswith(OURS))
    return [(cases, name) for name in names]


def bandwidth(cases: list[Measured], contender: str) -> Spread | None:
    """GB/s over all turns on these cases."""
    values = [
        case.traffic[contender] / seconds / 1e9
        for case in cases
        if contender in case.traffic
        for seconds in case.seconds.get(contender, [])
    ]
    return spread(values) if values else None
