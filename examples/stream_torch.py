"""A stream in a torch pipeline: an IterableDataset whose points are decided as they come, and labelled if taken.

Handwritten digits (scikit-learn) arrive one by one. A small model, trained on 60 of them, says what it thinks of each;
a tenth is sent to the teacher, whose label is a point for the next training.

    python examples/stream_torch.py
"""

# ruff: noqa: T201

from collections.abc import Iterator

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch.utils.data import DataLoader, IterableDataset

from rad_fast.stream import StreamSelector

RATE = 0.1


class Decided(IterableDataset):
    """The points of another stream that a selector takes, with the teacher's label."""

    def __init__(self, frames, selector, student, teacher) -> None:
        self.frames, self.selector, self.student, self.teacher = frames, selector, student, teacher

    def __iter__(self) -> Iterator[tuple[torch.Tensor, int]]:
        for frame in self.frames:
            if self.selector.offer(self.student(frame)):
                yield frame, self.teacher(frame)


def main() -> None:
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    pixels, labels = (pixels[order] / 16).astype(np.float32), labels[order]
    own, test, frames = slice(0, 60), slice(60, 460), slice(460, None)
    large = LogisticRegression(max_iter=2000).fit(pixels[frames], labels[frames])
    small = LogisticRegression(max_iter=500).fit(pixels[own], labels[own])
    accuracy = large.score(pixels[frames], labels[frames])

    def student(frame: torch.Tensor) -> np.ndarray:
        return small.decision_function(frame.numpy()[None])[0]

    def teacher(frame: torch.Tensor) -> int:
        return int(large.predict(frame.numpy()[None])[0])

    selector = StreamSelector(RATE, correctness=accuracy)
    stream = Decided(torch.from_numpy(pixels[frames]), selector, student, teacher)
    parts = [(x, y) for x, y in DataLoader(stream, batch_size=16)]
    x, y = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
    print(selector)

    more = np.concatenate([pixels[own], x]), np.concatenate([labels[own], y])
    both = LogisticRegression(max_iter=1000).fit(*more)
    before, after = (model.score(pixels[test], labels[test]) for model in (small, both))
    print(f"accuracy {before:.1%} before, {after:.1%} after")


if __name__ == "__main__":
    main()
