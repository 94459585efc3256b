"""Your own training loop: choose the points, ask the teacher for them alone, train on what it says.

Handwritten digits (scikit-learn). The teacher, a logistic regression, has learned from 100 digits; the student, a
small network, has 40 others and may ask the teacher about 60 of a pool of 900. Five times, from different digits.

    python examples/own_loop.py
"""

# ruff: noqa: T201

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch.utils.data import DataLoader, TensorDataset

from rad_fast.distill import (
    STRATEGIES,
    Round,
    SelectionSampler,
    SoftLabelDataset,
    predict,
    soft_cross_entropy,
    soft_targets,
)

BUDGET, EPOCHS = 60, 60


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))


def train(student: torch.nn.Module, data: SoftLabelDataset, sampler: SelectionSampler) -> None:
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-2)
    for epoch in range(EPOCHS):
        sampler.set_epoch(epoch)  # a new order every epoch, the same on every machine
        for x, target, weight in DataLoader(data, batch_size=32, sampler=sampler):
            loss = soft_cross_entropy(student(x), target, weight=weight)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def accuracy(student: torch.nn.Module, x: torch.Tensor, y: np.ndarray) -> float:
    return float((predict(student, x).argmax(1) == y).mean())


def once(seed: int) -> tuple[float, float, float]:
    """The student's accuracy before, and after labels for selected and for random points."""
    pixels, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(pixels))
    pixels, y = pixels[order].astype(np.float32) / 16, y[order]
    x = torch.from_numpy(pixels)
    labelled, holdout, own = slice(0, 40), slice(40, 140), slice(140, 240)
    pool, test = slice(400, 1300), slice(1300, None)

    teacher = LogisticRegression(max_iter=1000).fit(pixels[own], y[own])
    student = network()
    known = SoftLabelDataset(x[labelled], torch.from_numpy(y[labelled]), n_classes=10)
    train(student, known, SelectionSampler(range(40)))
    before = accuracy(student, x[test], y[test])

    # What a strategy may look at. The hold-out, which neither model has learned, says how far to trust the teacher.
    said = teacher.decision_function(pixels)
    seen = Round(
        budget=BUDGET,
        available=np.ones(900, bool),
        student_logits=predict(student, x[pool]),
        teacher_logits=said[pool].astype(np.float32),
        holdout_labels=y[holdout],
        holdout_teacher=said[holdout].astype(np.float32),
        holdout_student=predict(student, x[holdout]),
        seed=seed,
    )
    after = []
    for name in ("rad", "uniform"):
        chosen = STRATEGIES[name](seen).indices
        points = torch.cat([x[labelled], x[pool][chosen]])
        both = SoftLabelDataset(TensorDataset(points), torch.cat([known.targets, soft_targets(said[pool][chosen])]))
        student = network()
        train(student, both, SelectionSampler(range(len(both))))
        after.append(accuracy(student, x[test], y[test]))
    return before, after[0], after[1]


def main() -> None:
    before, selected, uniform = np.mean([once(seed) for seed in range(5)], axis=0)
    print(f"accuracy before: {before:.1%}; with {BUDGET} labels: {selected:.1%} selected, {uniform:.1%} at random")


if __name__ == "__main__":
    main()
