"""Sets whose teachers are networks of our own, trained on data that no student sees: letter, MNIST, digits."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from .nets import Networks
from .problem import Float32s, Problem, principal

ROOT = Path(__file__).resolve().parents[2]


def shared(name: str) -> Path | None:
    """A file of shared/data, inside the checkout or beside it; None where there is none."""
    places = (folder / "shared" / "data" / name for folder in (ROOT, ROOT.parent))
    return next((path for path in places if path.exists()), None)


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
    files: tuple[str, ...] = ()

    def is_there(self) -> bool:
        return all(shared(name) is not None for name in self.files)


SETUPS = {
    setup.name: setup
    for setup in (
        Setup(
            "letter", 200, 200, 4000, 4000, 32, 128, (350, 1500, 10000), (50, 100, 200), ("letter-recognition.data",)
        ),
        Setup(
            "mnist-10k", 60, 100, 4000, 3000, 24, 96, (70, 250, 2600), (25, 50, 100),
            ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
        ),
        Setup("digits", 40, 60, 900, 500, 16, 64, (30, 60, 280), (10, 20, 40)),
    )
}  # fmt: skip
QUALITIES = ("poor", "fair", "good")


@cache
def load(name: str) -> tuple[Float32s, npt.NDArray[np.int64]]:
    """Standardised features and labels of a whole set."""
    files = [shared(file) for file in SETUPS[name].files]
    if name == "letter":
        rows = [line.split() for line in files[0].read_text().splitlines() if line.strip()]  # type: ignore[union-attr]
        x = np.array([row[:-1] for row in rows], np.float32)
        y = np.array([ord(row[-1]) - ord("A") for row in rows])
        return ((x - x.mean(0)) / x.std(0)).astype(np.float32), y
    if name == "mnist-10k":
        images, labels = (gzip.decompress(path.read_bytes()) for path in files)  # type: ignore[union-attr]
        x = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 784).astype(np.float32) / 255
        return principal(x, 30), np.frombuffer(labels, np.uint8, offset=8).astype(np.int64)
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return principal(x.astype(np.float32), 20), y.astype(np.int64)


def problem(name: str, quality: str, seed: int) -> Problem:
    """The set with one of its teachers: labelled, hold-out, pool, test and the teacher's own data do not overlap."""
    setup, (x_all, y_all) = SETUPS[name], load(name)
    order = np.random.default_rng((seed, 7)).permutation(len(x_all))
    sizes = {"labelled": setup.labelled, "holdout": setup.holdout, "pool": setup.pool, "test": setup.test}
    x, y, begin = {}, {}, 0
    for part, size in sizes.items():
        rows = order[begin : begin + size]
        x[part], y[part], begin = torch.from_numpy(x_all[rows]), torch.from_numpy(y_all[rows]), begin + size
    classes = int(y_all.max()) + 1
    size = setup.teacher_sizes[QUALITIES.index(quality)]
    own = order[begin : begin + size]
    teacher = Networks(x_all.shape[1], setup.teacher_hidden, classes, [1000 + seed])
    hot = torch.nn.functional.one_hot(torch.from_numpy(y_all[own]), classes).float()
    teacher.train(
        torch.from_numpy(x_all[own])[None],
        hot[None],
        torch.ones(1, len(own)),
        steps=min(3000, 300 + size // 2),
        batch=64,
        lr=5e-3,
        decay=1e-2,
        seed=size,
    )

    def ask(points: torch.Tensor) -> torch.Tensor:
        return teacher.logits(points[None])[0]

    said = {part: ask(x[part]) for part in ("holdout", "pool")}
    return Problem(name, quality, classes, setup.hidden, seed, x, y, said, ask)
