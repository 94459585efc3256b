"""The main job on real data: from a few labelled digits to a student that learns from its teacher's best labels.

scikit-learn's bundled handwritten digits: 100 have labels, another 100 are a labelled hold-out, 500 are the test set,
and of the rest only the images are known. The teacher, label spreading over a neighbourhood graph of all known images,
is more accurate than the student, but can only label images in its graph. The student, logistic regression, learns
from the labelled images (the hold-out's too) and from as many teacher's labels as the budget allows; only the choice of
these images differs between the strategies. Models are scikit-learn's as they come; no setting was tuned.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .calibration import Calibrator
from .selection import Selection
from .selector import Selector

Array = npt.NDArray[Any]
Tell = Callable[[str], object]

CLASSES = 10
LABELLED = 10  # of each class
HELD_OUT = 100
TEST = 500
BUDGET = 100
SEEDS = 50  # enough for the 95% interval of a difference to be some 0.3 points wide to each side

STRATEGIES = {
    "robust": "robust distillation",
    "uniform": "uniform picks",
    "margin": "smallest margins",
}
COLOURS = {"robust": "#d1495b", "uniform": "#8d99ae", "margin": "#00798c"}

OWN_LOGITS = """\
The same to your own logits:

    import rad_fast
    calibrator = rad_fast.Calibrator().fit(teacher_logits_of_labelled, labels, student_logits_of_labelled)
    indices = rad_fast.select(teacher_logits, budget, student_logits=student_logits, correctness=calibrator)
"""


class Outcome(NamedTuple):
    """One repetition, all in percent: accuracies on the test set, and how many of the picked labels are right."""

    teacher: float  # on the pool, which is what it labels
    before: float
    accuracy: dict[str, float]
    right: dict[str, float]


def run(out: Path, tell: Tell, *, seeds: int = SEEDS) -> list[Outcome]:
    """Run the demonstration, ``tell`` what comes out, and draw it into ``out``/digits.png.

    Parameters
    ----------
    out : the directory for the figure, made where it is missing.
    tell : called with every line, ``print`` say.
    seeds : how many repetitions, each with a new split of the digits; at least 2, for an interval.

    Returns
    -------
    The outcome of every repetition.
    """
    if seeds < 2:
        raise ValueError(f"seeds: expected at least 2, for an interval, got {seeds}")
    try:
        import matplotlib.figure  # noqa: F401  found missing before the work, not after it
        from sklearn.datasets import load_digits
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise ImportError(
            f'the demo needs scikit-learn and matplotlib ({error}): pip install "rad_fast[demo]"'
        ) from error
    from .storage.npy import check_writable

    out.mkdir(parents=True, exist_ok=True)
    path = out / "digits.png"
    check_writable(path)
    images, labels = load_digits(return_X_y=True)
    images = images / 16.0
    pool = len(labels) - CLASSES * LABELLED - HELD_OUT - TEST
    tell(
        f"{len(labels):,} handwritten digits: {CLASSES * LABELLED} labelled, {HELD_OUT} labelled and held out, "
        f"{pool} without labels, {TEST} to test on"
    )
    tell(f"every strategy picks {BUDGET} of the {pool}, for the student to learn with the teacher's labels")
    begin = time.perf_counter()
    outcomes, selections = [], []
    with threadpool_limits(1):  # matrices this small take longer on many threads
        for seed in range(seeds):
            outcome, selection = repetition(images, labels, seed)
            outcomes.append(outcome)
            selections.append(selection)
    tell("")
    for line in table(outcomes):
        tell(line)
    tell("")
    tell(f"the first of the {seeds} selections (all of it, training included: {time.perf_counter() - begin:.0f} s):")
    for line in selections[0].summary().splitlines():
        tell(f"  {line}")
    draw(path, outcomes, selections[0])
    tell(f"figure: {path}")
    tell("")
    for line in OWN_LOGITS.splitlines():
        tell(line)
    return outcomes


def repetition(images: Array, labels: Array, seed: int) -> tuple[Outcome, Selection]:
    """Split the digits, train the teacher, pick in every way, train the students."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.semi_supervised import LabelSpreading

    rng = np.random.default_rng(seed)
    labelled, held_out, test, pool = split(labels, rng)
    known = np.concatenate([labelled, held_out])
    graph = np.concatenate([labelled, held_out, pool])
    in_graph = np.where(np.arange(len(graph)) < len(labelled), labels[graph], -1)
    teacher = LabelSpreading(kernel="knn").fit(images[graph], in_graph)
    teacher_logits = logarithm(teacher.label_distributions_)
    of_held_out, of_pool = teacher_logits[len(labelled) : len(known)], teacher_logits[len(known) :]
    given = of_pool.argmax(axis=1)  # the teacher's labels; the true ones of the pool only serve to count what is right

    student = LogisticRegression(max_iter=1000).fit(images[labelled], labels[labelled])
    student_logits = student.decision_function(images)

    calibrator = Calibrator().fit(of_held_out, labels[held_out], student_logits[held_out])
    selector = Selector(BUDGET, seed=seed)
    selection = selector.fit(of_pool, student_logits=student_logits[pool], correctness=calibrator)
    picks = {
        "robust": selection.indices,
        "uniform": rng.choice(len(pool), BUDGET, replace=False),
        "margin": np.argsort(margins(student_logits[pool]))[:BUDGET],
    }
    accuracy, right = {}, {}
    for name, picked in picks.items():
        learned = np.concatenate([known, pool[picked]])
        targets = np.concatenate([labels[known], given[picked]])
        accuracy[name] = percent(LogisticRegression(max_iter=1000).fit(images[learned], targets), images, labels, test)
        right[name] = 100.0 * float(np.mean(given[picked] == labels[pool[picked]]))
    before = percent(LogisticRegression(max_iter=1000).fit(images[known], labels[known]), images, labels, test)
    return Outcome(100.0 * float(np.mean(given == labels[pool])), before, accuracy, right), selection


def split(labels: Array, rng: np.random.Generator) -> list[Array]:
    """Labelled points, as many of each class; then hold-out, test set and pool at random."""
    order = rng.permutation(len(labels))
    rank = np.empty(len(labels), int)
    for label in range(CLASSES):
        members = order[labels[order] == label]
        rank[members] = np.arange(len(members))
    rest = rng.permutation(order[rank[order] >= LABELLED])  # its first points came as soon as their class was full
    return [order[rank[order] < LABELLED], *np.split(rest, [HELD_OUT, HELD_OUT + TEST])]


def logarithm(probabilities: Array) -> Array:
    """Logits of probabilities; where one is 0 its class is ruled out, unless all are: then nothing is known."""
    unknown = probabilities.sum(axis=1, keepdims=True) == 0
    with np.errstate(divide="ignore"):
        logits: Array = np.log(np.where(unknown, 1.0, probabilities))
    return logits


def margins(logits: Array) -> Array:
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    two = np.sort(p / p.sum(axis=1, keepdims=True), axis=1)[:, -2:]
    difference: Array = two[:, 1] - two[:, 0]
    return difference


def percent(model: Any, images: Array, labels: Array, test: Array) -> float:
    return 100.0 * float(model.score(images[test], labels[test]))


def interval(values: Array) -> tuple[float, float]:
    """The mean and half of its 95% interval (Student's t)."""
    from scipy.stats import t

    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean()), float(half)


def gathered(outcomes: list[Outcome]) -> dict[str, tuple[Array, Array]]:
    """Accuracies and shares of right labels, by strategy."""
    return {
        name: (np.array([o.accuracy[name] for o in outcomes]), np.array([o.right[name] for o in outcomes]))
        for name in STRATEGIES
    }


def table(outcomes: list[Outcome]) -> list[str]:
    """The outcomes in lines."""
    results = gathered(outcomes)
    uniform = results["uniform"][0]
    lines = [f"{'picked by':22} {'accuracy of the student':>23} {'against uniform':>18} {'labels right':>13}"]
    for name, words in STRATEGIES.items():
        accuracy, right = results[name]
        difference, half = interval(accuracy - uniform)
        against = "" if name == "uniform" else f"{difference:+.2f} ± {half:.2f}"
        lines.append(f"{words:22} {accuracy.mean():>22.2f}% {against:>18} {right.mean():>12.1f}%")
    before, teacher = (
        float(np.mean(values)) for values in ([o.before for o in outcomes], [o.teacher for o in outcomes])
    )
    lines.append(f"{'labelled points only':22} {before:>22.2f}%")
    lines.append(f"{'(the teacher)':22} {teacher:>22.2f}%")
    lines.append(f"mean of {len(outcomes)} repetitions; ± is the 95% interval of the mean of paired differences")
    return lines


def draw(path: Path, outcomes: list[Outcome], selection: Selection) -> None:
    """The plane with the equilibrium of one selection; beside it what the students make of the picks."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # no window, whatever the reader's settings
    from matplotlib.figure import Figure

    from .storage.npy import write_together

    figure = Figure(figsize=(12.5, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    plane, accuracies = figure.subplots(1, 2, width_ratios=(3, 2))
    selection.plot(plane)
    results, spread = gathered(outcomes), np.random.default_rng(0)
    for row, name in enumerate(STRATEGIES):
        against = results[name][0] - results["uniform"][0]
        mean, half = interval(against)
        if name != "uniform":
            heights = row + spread.uniform(-0.2, 0.2, len(against))
            accuracies.scatter(against, heights, s=12, color=COLOURS[name], alpha=0.3, linewidths=0)
        accuracies.errorbar(mean, row, xerr=half or None, fmt="o", color=COLOURS[name], capsize=5, markersize=8)
    accuracies.axvline(0.0, color=COLOURS["uniform"], linewidth=1, zorder=0)
    accuracies.set_yticks(
        range(len(STRATEGIES)),
        [
            f"{words}\n{results[name][0].mean():.1f}% accurate\n{results[name][1].mean():.0f}% of labels right"
            for name, words in STRATEGIES.items()
        ],
    )
    accuracies.set(ylim=(len(STRATEGIES) - 0.5, -0.5), xlabel="points of accuracy over uniform picks")
    accuracies.set_title(f"{len(outcomes)} repetitions: mean and 95% interval", loc="left")
    write_together({path: lambda file: figure.savefig(file, format="png", dpi=150)})
