"""What there is to see in each figure: the caption below it, and the text for those who do not see it."""

from __future__ import annotations

from .words import Figures, Numbers, amount, of_each, percent, possible, rough


def caption(name: str, numbers: Numbers, figures: Figures) -> str:
    """What to see in a figure."""
    return CAPTIONS[name](numbers, figures)


def alternative(name: str, numbers: Numbers, figures: Figures) -> str:
    """What is drawn, and the numbers that matter in it."""
    value, stops = amount(numbers["value"]), figures["curves"] and figures["curves"]["stops_paying"]
    upper = f"{figures['probability']['upper']:.3g}"
    of_worth = "" if numbers["threshold"] is None else f", and the curve of effective gain {numbers['threshold']:.3g}"
    mean, wrong = f"{1.0 - numbers['selected_mean_gain']:.3f}", amount(numbers["mistakes"])
    texts = {
        "plane": "Density of the pool over gain and correctness, selected points" + of_worth,
        "margin": f"Histograms of the student's margin: the pool, and the selected points, whose mean is {mean}",
        "probability": f"Histogram of the inclusion probabilities, from 0 to {upper}",
        "calibration": "How often the teacher was right against predicted correctness, with intervals",
        "classes": f"Bars: shares of {len(figures['classes']):,} labels in the pool and among the selected points",
        "mistakes": f"Curve of the game's value, falling as mistakes grow: {value} at {wrong} mistakes",
        "budget": f"Curve of the game's value by budget: {value} at {numbers['budget']:,}, highest at {stops}",
    }
    return texts[name]


def of_plane(numbers: Numbers, figures: Figures) -> str:
    shown, below = len(figures["plane"]["selected"]), figures["plane"]["below"]
    some = "" if shown == numbers["budget"] else f" ({shown:,} of {numbers['budget']:,})"
    text = (
        "Each point is placed by how much the student would learn from it (more to the right) and how likely its label "
        f"is right (likelier towards the top). Darker cells hold more points. The red dots are selected points{some}. "
    )
    same = "so that an adversary gains the same wherever it spoils a label."
    if numbers["threshold"] is None:
        text += "Each class has its own game, and so its own curve."
    elif 0.0 < numbers["price"] <= numbers["threshold"]:
        chance = f"{numbers['price']:.3g} / gain"
        text += f"Points above the curve are worth a query. Each is picked with probability {chance}, {same}"
    elif numbers["price"] < 1.0:
        text += (
            "Points above the curve are worth a query. Left of the dashed line all of them are picked. Right of it, "
            f"those with more gain are picked less often, {same}"
        )
    else:
        text += "Points above the curve are worth a query. All of them are picked, as no mistakes are expected."
    return text + (f" {below:,} points lie below the frame." if below else "") + drawn_from(numbers, figures)


def of_margin(numbers: Numbers, figures: Figures) -> str:
    return (
        "How sure the student is of its answers, for all points and for the selected ones. On the left are points that "
        "it does not know yet. Where labels are often wrong, fewer of them are selected."
    ) + drawn_from(numbers, figures)


def of_probability(numbers: Numbers, figures: Figures) -> str:
    zero = percent(figures["probability"]["zero"] / max(figures["counted"], 1))
    text = f"Each point's chance of being picked. {zero} of the points have none and are not drawn. "
    text += (
        "Those at 1 are always picked, the others"
        if figures["probability"]["upper"] == 1.0
        else "The others are picked"
    )
    return f"{text} by chance, so that an adversary cannot know which labels to spoil." + drawn_from(numbers, figures)


def of_calibration(_: Numbers, figures: Figures) -> str:
    on = "both models' scores" if figures["calibration"]["both"] else "the teacher's margin"
    on += " and the neighbours' agreement" if figures["calibration"].get("neighbours") else ""
    return (
        f"How often the teacher was right on labelled points, against the correctness predicted from {on} (fitted "
        "without these points). Bars are 95% intervals. On the diagonal the prediction is correct; below it, it is too "
        "high."
    )


def of_classes(_: Numbers, figures: Figures) -> str:
    other = figures["other"]
    text = "The teacher's labels in the pool and among the selected points, as shares of each."
    if not other:
        return text
    pool = other[1] / (other[1] + sum(row[1] for row in figures["classes"]))
    chosen = other[2] / (other[2] + sum(row[2] for row in figures["classes"]))
    shares = f"{percent(pool)} of the pool and {percent(chosen)} of the selected"
    return f"{text} Not drawn: {other[0]:,} more classes, {shares}."


def of_mistakes(numbers: Numbers, figures: Figures) -> str:
    return (
        "The best guarantee for this many labels (solid line). It falls as more of them are wrong. The drop from the "
        "left end to the selection (marked) is the price of robustness. Dashed: the worst case for the points of "
        f"highest effective gain{of_each(numbers)}."
    ) + solved_on(numbers, figures)


def of_budget(numbers: Numbers, figures: Figures) -> str:
    best = figures["curves"]["stops_paying"]
    where = f"Past the dotted line, at {rough(best)} labels, one more lowers it." if best else "No budget pays."
    return f"The guarantee for other budgets, with the same mistakes. {where}" + solved_on(numbers, figures)


def drawn_from(numbers: Numbers, figures: Figures) -> str:
    counted = figures["counted"]
    return "" if counted >= possible(numbers) else f" Drawn from {rough(counted)} points spread over all."


def solved_on(numbers: Numbers, figures: Figures) -> str:
    points = figures["curves"]["points"]
    if points >= possible(numbers):
        return ""
    return f" Solved on {rough(points)} points spread over all, except for the selection's own value."


CAPTIONS = {
    "plane": of_plane,
    "margin": of_margin,
    "probability": of_probability,
    "calibration": of_calibration,
    "classes": of_classes,
    "mistakes": of_mistakes,
    "budget": of_budget,
}
