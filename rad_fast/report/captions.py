"""What there is to see in each figure: the caption below it, and the text for those who do not see it."""

from __future__ import annotations

from .words import Figures, Numbers, amount, percent, possible, rough


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
    some = "" if shown == numbers["budget"] else f", {shown:,} of the {numbers['budget']:,}"
    text = (
        "Each point of the pool by what the student would learn from it and how likely its label is right: the "
        f"stronger the shade, the more points. The red dots are selected points{some}. "
    )
    beyond = (f" {below:,} points lie below the frame." if below else "") + drawn_from(numbers, figures)
    if numbers["threshold"] is None:
        return text + "Every class has a game of its own, with its own threshold." + beyond
    text += "Above the solid curve a point is worth a query. "
    if 0.0 < numbers["price"] <= numbers["threshold"]:
        text += (
            f"There it is taken with probability {numbers['price']:.3g} / gain: the adversary gains as much anywhere."
        )
    elif numbers["price"] < 1.0:
        text += (
            "There it is taken for sure left of the dashed line, and the less often the more its gain is beyond it: "
        )
        text += "the adversary gains as much anywhere."
    else:
        text += "There it is taken for sure: no adversary is feared."
    return text + beyond


def of_margin(numbers: Numbers, figures: Figures) -> str:
    return (
        "How sure the student is of its answer, in the pool and among the selected points. To the left is what it does "
        "not know yet; where labels are too often wrong there, the selection keeps to the right."
    ) + drawn_from(numbers, figures)


def of_probability(numbers: Numbers, figures: Figures) -> str:
    zero = percent(figures["probability"]["zero"] / max(figures["counted"], 1))
    text = f"How likely each point is to be taken. {zero} of the points never are and are not drawn. "
    text += (
        "Those at 1 are taken for sure, the others"
        if figures["probability"]["upper"] == 1.0
        else "The others are taken"
    )
    return f"{text} by chance, so that an adversary cannot know which labels to spoil." + drawn_from(numbers, figures)


def of_calibration(_: Numbers, figures: Figures) -> str:
    on = "both models' scores" if figures["calibration"]["both"] else "the teacher's margin"
    return (
        f"How often the teacher was right on labelled points, against the correctness calibrated on {on} without these "
        "points; bars are 95% intervals. On the diagonal correctness says what is so; below it, it promises too much."
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
        "The best guarantee for so many labels (solid), the more of them are wrong: what falls from the left end to "
        "the marked selection is the price of robustness. The dashed line is what the points of highest effective gain "
        "bring at worst."
    ) + solved_on(numbers, figures)


def of_budget(numbers: Numbers, figures: Figures) -> str:
    best = figures["curves"]["stops_paying"]
    where = f"past the dotted line, at {rough(best)} labels, one more lowers it." if best else "no budget pays."
    return f"The guarantee for other budgets with the same mistakes: {where}" + solved_on(numbers, figures)


def drawn_from(numbers: Numbers, figures: Figures) -> str:
    counted = figures["counted"]
    return "" if counted >= possible(numbers) else f" Drawn from {rough(counted)} points spread over all."


def solved_on(numbers: Numbers, figures: Figures) -> str:
    points = figures["curves"]["points"]
    if points >= possible(numbers):
        return ""
    return f" Solved on {rough(points)} points spread over all, but for the selection's own value."


CAPTIONS = {
    "plane": of_plane,
    "margin": of_margin,
    "probability": of_probability,
    "calibration": of_calibration,
    "classes": of_classes,
    "mistakes": of_mistakes,
    "budget": of_budget,
}
