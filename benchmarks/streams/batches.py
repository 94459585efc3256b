"""Batches inside training: a quarter of each large batch by score, against a uniform quarter, with noisy labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import t
from sklearn.datasets import load_digits
from torch import Tensor, nn

from rad_fast.distill import OnlineBatches

from .sets import shared

NOISE, LARGE, KEEP, EVERY = 0.3, 256, 0.25, 20
STEPS = {"digits": 400, "letter": 1_000}
CLEAN = {"digits": 200, "letter": 2_000}


def uniform(own: Tensor, other: Tensor | None, labels: Tensor) -> Tensor:
    return torch.rand(len(own))


def largest_loss(own: Tensor, other: Tensor | None, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(own, labels, reduction="none")


ARMS: dict[str, Any] = {
    "uniform quarter": uniform,
    "largest loss": largest_loss,
    "learnability": "learnability",
    "rad": "rad",
}


def table(seeds: int) -> Iterator[str]:
    """One row a set and arm: accuracy after all steps, paired, and steps to the accuracy that uniform ends with."""
    yield "| set | quarter | accuracy | over uniform | steps to uniform's last accuracy | labels right |"
    yield "|---|---|---:|---:|---:|---:|"
    for name in ("digits", "letter"):
        if name == "letter" and shared("letter-recognition.data") is None:
            continue
        runs = {arm: [trained(name, by, seed) for seed in range(seeds)] for arm, by in ARMS.items()}
        last = np.array([curve[-3:].mean() for curve, _ in runs["uniform quarter"]])
        alone = np.mean([reference_accuracy(name, seed) for seed in range(seeds)])
        yield f"| {name} | *the reference itself* | {alone:.1%} | | | 100% |"
        for arm, found in runs.items():
            ends = np.array([curve[-3:].mean() for curve, _ in found])
            needed = [steps_to(curve, goal) for (curve, _), goal in zip(found, last, strict=True)]
            reached = [steps for steps in needed if steps is not None]
            told = f"{np.median(reached):.0f} of {STEPS[name]}" if len(reached) > seeds / 2 else "not reached"
            told += f" ({len(reached)} of {seeds} seeds)" if 0 < len(reached) < seeds else ""
            gain = "" if arm == "uniform quarter" else interval(100 * (ends - last))
            clean = np.mean([share for _, share in found])
            yield f"| {name} | {arm} | {ends.mean():.1%} | {gain} | {told} | {clean:.0%} |"


def interval(differences: npt.NDArray[np.float64]) -> str:
    """Mean and 95% interval of paired differences."""
    half = t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / len(differences) ** 0.5
    return f"{differences.mean():+.1f} ± {half:.1f}"


def steps_to(curve: npt.NDArray[np.float64], goal: float) -> int | None:
    """The step from which a moving mean of three looks reaches the goal."""
    smooth = np.convolve(curve, np.ones(3) / 3, mode="valid")
    reached = np.flatnonzero(smooth >= goal - 1e-9)
    return None if not len(reached) else int((reached[0] + 3) * EVERY)


def data(name: str) -> tuple[Tensor, Tensor]:
    if name == "digits":
        x, y = load_digits(return_X_y=True)
        return torch.tensor(x / 16.0, dtype=torch.float32), torch.tensor(y)
    path = shared("letter-recognition.data")
    if path is None:
        raise FileNotFoundError("letter-recognition.data")
    rows = [line.split() for line in path.read_text().splitlines() if line.strip()]
    x = torch.tensor([[float(v) for v in row[:-1]] for row in rows])
    return (x - x.mean(0)) / x.std(0), torch.tensor([ord(row[-1]) - ord("A") for row in rows])


def trained(name: str, by: Any, seed: int) -> tuple[npt.NDArray[np.float64], float]:
    """Accuracy on the test part every EVERY steps, and how many of the labels that were learned are right."""
    x, y, g = shuffled(name, seed)
    classes, third = int(y.max()) + 1, len(x) // 3
    test, pool = slice(CLEAN[name], CLEAN[name] + third), slice(CLEAN[name] + third, None)
    noisy = y[pool].clone()
    spoiled = torch.rand(len(noisy), generator=g) < NOISE
    noisy[spoiled] = torch.randint(0, classes, (int(spoiled.sum()),), generator=g)

    reference = reference_of(name, x, y, seed)
    student = network(x.shape[1], classes, seed)
    draws = [torch.randint(0, len(noisy), (LARGE,), generator=g) for _ in range(STEPS[name])]
    large = ((x[pool][rows], noisy[rows], y[pool][rows]) for rows in draws)
    torch.manual_seed(seed)
    batches = OnlineBatches(large, student, reference, keep=KEEP, by=by, seed=seed)
    curve, right = [], []
    optimizer = torch.optim.AdamW(student.parameters(), lr=3e-3)
    for inputs, labels, true in batches:
        nn.functional.cross_entropy(student(inputs), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        right.append(float((labels == true).float().mean()))
        if batches.step % EVERY == 0:
            with torch.no_grad():
                curve.append(float((student(x[test]).argmax(1) == y[test]).float().mean()))
    return np.array(curve), float(np.mean(right))


def shuffled(name: str, seed: int) -> tuple[Tensor, Tensor, torch.Generator]:
    x, y = data(name)
    g = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(x), generator=g)
    return x[order], y[order], g


def reference_of(name: str, x: Tensor, y: Tensor, seed: int) -> nn.Module:
    """A network that has learned the clean part."""
    reference = network(x.shape[1], int(y.max()) + 1, 1000 + seed)
    learn(reference, [(x[: CLEAN[name]], y[: CLEAN[name]])] * 200, lr=1e-2)
    return reference


def reference_accuracy(name: str, seed: int) -> float:
    x, y, _ = shuffled(name, seed)
    test = slice(CLEAN[name], CLEAN[name] + len(x) // 3)
    reference = reference_of(name, x, y, seed)
    with torch.no_grad():
        return float((reference(x[test]).argmax(1) == y[test]).float().mean())


def network(features: int, classes: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, classes))


def learn(model: nn.Module, batches: list[tuple[Tensor, Tensor]], lr: float) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.05)
    for inputs, labels in batches:
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
