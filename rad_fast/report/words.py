"""The numbers of a selection in words: the same in the terminal and on the page."""

from __future__ import annotations

import math
from typing import Any

Numbers = dict[str, Any]  # of Selection.report()
Figures = dict[str, Any]  # of figures.figures()


def sentences(numbers: Numbers, figures: Figures | None = None) -> list[str]:
    """The numbers in words, line by line; with the figures, the price of robustness and when labels stop paying."""
    left_out = numbers["excluded"] + numbers["invalid"]
    excluded = ""
    if left_out:
        excluded = f" ({left_out:,} left out: {numbers['excluded']:,} excluded, {numbers['invalid']:,} invalid)"
    if numbers.get("unanswered"):
        excluded = excluded[:-1] + f"; {numbers['unanswered']:,} without an answer)"
    wrong, value = amount(numbers["mistakes"]), amount(numbers["value"])
    gain, correctness = numbers["selected_mean_gain"], numbers["selected_mean_correctness"]
    worth, threshold = f"{numbers['worth_querying']:,}", limit(numbers)
    each, classes = f"{numbers['value_per_query']:.4g}", f"{len(numbers['selected_labels']):,}"
    lines = [
        f"{numbers['budget']:,} of {numbers['points']:,} points selected{excluded}",
        f"{worth} points are worth a query: their effective gain exceeds {threshold}",
        f"selected: mean gain {gain:.3f}, mean correctness {correctness:.3f}, {classes} different labels",
        f"even if {wrong} more labels are wrong than expected, the gain is at least {value} on average",
    ]
    lines[-1] += f" ({each} per label)"
    if "certificate" in numbers:
        lines.append(certified(numbers["certificate"], numbers["labelled"]))
    if figures is not None:
        lines += robustness(numbers, figures)
    if numbers.get("quotas_without_points"):
        lacking = numbers["quotas_without_points"]
        named = ", ".join(lacking[:10]) + (f" and {len(lacking) - 10:,} more" if len(lacking) > 10 else "")
        lines.append(f"classes without points, whose share went to the others: {named}")
    if figures is not None and figures["calibration"]:
        labelled, error = figures["calibration"]["labelled"], figures["calibration"]["error"]
        lines.append(f"the teacher was wrong on {percent(error)} of {labelled:,} labelled points")
    if numbers["value"] <= 0:
        lines.append("nothing is promised: the teacher is too unreliable for this budget and that many mistakes")
    return lines


def certified(gain: float, labelled: int) -> str:
    """What the labelled points promise."""
    points = f"{labelled:,} labelled point" + ("s" if labelled != 1 else "")
    if gain > 0:
        return f"certificate from {points}: with 95% confidence, the expected gain is at least {amount(gain)}"
    return f"no certificate: {points} cannot promise a gain with 95% confidence; label more, drawn at random"


def robustness(numbers: Numbers, figures: Figures) -> list[str]:
    """What the guarantee costs, and what another label would bring."""
    curves = figures["curves"]
    lines = [f"with no more wrong labels than expected, it is {amount(figures['expected'])}"]
    if curves is None:
        return lines
    said = amount if curves["points"] == possible(numbers) else rough
    best, worst = curves["greedy"][0], curves["greedy"][curves["mistakes"].index(numbers["mistakes"])]
    if numbers["mistakes"] > 0:
        highest = f"the {numbers['budget']:,} points of highest effective gain{of_each(numbers)}"
        lines[0] += f"; {highest} would bring {said(best)}, but only {said(worst)} at worst"
    stops, threshold = curves["stops_paying"], numbers["threshold"]
    if threshold is None and stops > numbers["budget"]:
        lines.append(f"more labels stop paying off at {rough(stops)}")
    elif threshold is not None and threshold > 0:
        lines.append(f"one more label adds {threshold:.4g}; more labels stop paying off at {rough(stops)}")
    elif stops > 0:
        lines.append(f"more labels stop paying off at {rough(stops)}: with {numbers['budget']:,} the value is lower")
    else:
        lines.append("with that many mistakes, no number of labels pays off")
    return lines


def of_each(numbers: Numbers) -> str:
    """With quotas points are compared with those of their class."""
    return " of each class" if numbers["threshold"] is None else ""


def limit(numbers: Numbers) -> str:
    """The effective gain above which a point is worth a query."""
    return "the threshold of their class" if numbers["threshold"] is None else f"{numbers['threshold']:.4g}"


def amount(number: float) -> str:
    """12,345,678 or 1,235 or 0.01235."""
    return f"{number:,.0f}" if abs(number) >= 1e3 else f"{number:.4g}"


def rough(number: float) -> str:
    """Three digits of a number that was found on a sample, or means no more: about 3,800,000."""
    digits = 2 - math.floor(math.log10(abs(number))) if number else 0
    return f"about {amount(round(number, digits))}"


def percent(part: float) -> str:
    return f"{100.0 * part:.3g}%"


def possible(numbers: Numbers) -> int:
    """How many points can be selected."""
    count: int = numbers["points"] - numbers["excluded"] - numbers["invalid"]
    return count
