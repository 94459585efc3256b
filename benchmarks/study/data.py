"""The sets of the study, and for every seed its parts: labelled, hold-out, pool, test, and the teacher's own data."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .nets import Networks

Float32s = npt.NDArray[np.float32]
ROOT = Path(__file__).resolve().parents[2]


def shared(name: str) -> Path:
    """A file of shared/data, inside the checkout or beside it."""
    places = [folder / "shared" / "data" / name for folder in (ROOT, ROOT.parent)]
    for path in places:
        if path.exists():
            return path
    raise FileNotFoundError(f"{name}: expected it in {places[0].parent} or {places[1].parent}; or take --sets digits")


@dataclass(frozen=True)
class Setup:
    """One set: how it is cut, the sizes of the models, and how much data makes a poor, fair and good teacher."""

    name: str
    labelled: int
    holdout: int
    pool: int
    test: int
    hidden: int
    teacher_hidden: int
    teacher_sizes: tuple[int, int, int]
    budgets: tuple[int, int, int]


SETUPS = (
    Setup("letter", 200, 200, 4000, 4000, 32, 128, (350, 1500, 10000), (50, 100, 200)),
    Setup("mnist-10k", 60, 100, 4000, 3000, 24, 96, (70, 250, 2600), (25, 50, 100)),
    Setup("digits", 40, 60, 900, 500, 16, 64, (30, 60, 280), (10, 20, 40)),
)


def load(name: str) -> tuple[Float32s, npt.NDArray[np.int64]]:
    """Standardised features and labels of a whole set."""
    if name == "letter":
        rows = [line.split() for line in shared("letter-recognition.data").read_text().splitlines() if line.strip()]
        x = np.array([row[:-1] for row in rows], np.float32)
        y = np.array([ord(row[-1]) - ord("A") for row in rows])
        return ((x - x.mean(0)) / x.std(0)).astype(np.float32), y
    if name == "mnist-10k":
        with gzip.open(shared("t10k-images-idx3-ubyte.gz")) as file:
            x = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 784).astype(np.float32) / 255
        with gzip.open(shared("t10k-labels-idx1-ubyte.gz")) as file:
            y = np.frombuffer(file.read(), np.uint8, offset=8).astype(np.int64)
        return principal(x, 30), y
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return principal(x.astype(np.float32), 20), y.astype(np.int64)


def principal(x: Float32s, dimensions: int) -> Float32s:
    """The first principal components (no labels used), scaled so that a feature's mean square is 1."""
    x = x - x.mean(0)
    axes = np.linalg.eigh(x.T @ x)[1][:, ::-1][:, :dimensions]
    z = x @ axes
    return (z / np.sqrt((z**2).mean())).astype(np.float32)


@dataclass
class Task:
    """A set and a teacher, for many seeds at once: tensors of shape (seeds, points, ...)."""

    setup: Setup
    classes: int
    x: dict[str, Tensor]
    y: dict[str, Tensor]
    teacher: Networks
    said: dict[str, Tensor]  # the teacher's logits
    accuracy: float  # the teacher's, on the pool


def tasks(setup: Setup, seeds: list[int]) -> list[Task]:
    """The set with each of its teachers."""
    x_all, y_all = load(setup.name)
    classes = int(y_all.max()) + 1
    sizes = {"labelled": setup.labelled, "holdout": setup.holdout, "pool": setup.pool, "test": setup.test}
    parts: dict[str, list[npt.NDArray[np.int64]]] = {name: [] for name in sizes}
    own = []
    for seed in seeds:
        order = np.random.default_rng((seed, 7)).permutation(len(x_all))
        begin = 0
        for name, size in sizes.items():
            parts[name].append(order[begin : begin + size])
            begin += size
        own.append(order[begin : begin + max(setup.teacher_sizes)])
    x = {name: torch.from_numpy(x_all[np.stack(rows)]) for name, rows in parts.items()}
    y = {name: torch.from_numpy(y_all[np.stack(rows)]) for name, rows in parts.items()}
    own_x, own_y = torch.from_numpy(x_all[np.stack(own)]), torch.from_numpy(y_all[np.stack(own)])
    found = []
    for size in setup.teacher_sizes:
        teacher = Networks(x_all.shape[1], setup.teacher_hidden, classes, [1000 + seed for seed in seeds])
        hot = torch.nn.functional.one_hot(own_y[:, :size], classes).float()
        teacher.train(
            own_x[:, :size],
            hot,
            torch.ones(len(seeds), min(size, own_x.shape[1])),
            steps=min(3000, 300 + size // 2),
            batch=64,
            lr=5e-3,
            decay=1e-2,
            seed=size,
        )
        said = {name: teacher.logits(x[name]) for name in ("holdout", "pool", "test")}
        accuracy = float((said["pool"].argmax(2) == y["pool"]).float().mean())
        found.append(Task(setup, classes, x, y, teacher, said, accuracy))
    return found
