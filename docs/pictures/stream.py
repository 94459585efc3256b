"""Draws the picture of docs/howto/stream.md: a stream's thresholds over time, and how far its count is from the rate.

    python docs/pictures/stream.py [FOLDER]

Handwritten digits in a random order. In the second half of the stream half of the pixels are hidden, so that the
teacher, a logistic regression on 300 digits, is less sure.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rad_fast.stream import StreamSelector

Floats = npt.NDArray[np.float64]

RATE, WINDOW, STEP = 0.05, 800, 7
PRICE, THRESHOLD, COUNT = "#d1495b", "#00798c", "#4a5568"


def draw(out: Path) -> None:
    """Run the stream and write stream-thresholds.svg into a folder."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    seen, prices, thresholds, ahead = stream()
    settings = {"svg.hashsalt": "rad_fast", "svg.fonttype": "path", "font.size": 10.0}
    with mpl.rc_context(settings):
        figure = Figure(figsize=(8.2, 4.4), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1.0))
        for values, colour, name in (
            (prices, PRICE, "price λ"),
            (thresholds, THRESHOLD, "threshold μ"),
        ):
            upper.step(seen, values, where="post", color=colour, label=name)
        lower.plot(seen, ahead, color=COUNT, linewidth=0.9)
        finish(upper, lower, seen[-1] // 2)
        picture = out / "stream-thresholds.svg"
        figure.savefig(picture, metadata={"Date": None, "Creator": None})
    picture.write_text(
        re.sub(r"\n(?=[LQCMz]\b)", " ", picture.read_text())
    )  # a line a path, not a point


def stream() -> tuple[npt.NDArray[np.int64], Floats, Floats, Floats]:
    """Points seen; price, threshold, and the count less rate x seen after them."""
    logits = frames()
    selector = StreamSelector(RATE, window=WINDOW, mistakes=0.02, quotas=None)
    found = []
    for begin in range(0, len(logits), STEP):
        selector.offer(logits[begin : begin + STEP])
        now = selector.thresholds
        ahead = selector.taken - RATE * selector.seen
        known = now.threshold <= 1.0  # before the first solution there is none
        price, threshold = (now.price, now.threshold) if known else (np.nan, np.nan)
        found.append((selector.seen, price, threshold, ahead))
    columns = np.array(found).T
    return columns[0].astype(np.int64), columns[1], columns[2], columns[3]


def frames() -> Floats:
    """The teacher's logits of the stream, in the order of arrival."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    pixels, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(pixels))
    pixels, labels = pixels[order] / 16.0, labels[order]
    teacher = LogisticRegression(max_iter=1000).fit(pixels[:300], labels[:300])
    stream = pixels[rng.integers(300, len(pixels), 8_000)]
    stream[4_000:, 32:] = 0.0
    logits: Floats = teacher.decision_function(stream)
    return logits


def finish(upper: Any, lower: Any, change: int) -> None:
    for ax in (upper, lower):
        ax.axvline(change, color="black", linewidth=0.8, linestyle=":")
        ax.axvspan(change, change + WINDOW, color="black", alpha=0.06, linewidth=0)
        ax.spines[["top", "right"]].set_visible(False)
    upper.set(ylim=(0.0, 0.16), ylabel="λ, μ")
    upper.legend(frameon=False, loc="lower right")
    upper.text(
        change + WINDOW / 2,
        0.97,
        "one window",
        transform=upper.get_xaxis_transform(),
        ha="center",
        va="top",
    )
    lower.axhline(0.0, color="black", linewidth=0.6)
    lower.set(xlabel="points seen", ylabel="count − rate × seen")


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
