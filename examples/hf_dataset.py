"""A Hugging Face data set: the selection is a list of rows, so ``dataset.select(indices)`` is all it takes.

Handwritten digits (scikit-learn) as a ``datasets.Dataset``; with a set of the hub, replace ``digits()`` by
``datasets.load_dataset(...)``. Needs ``pip install datasets``.

    python examples/hf_dataset.py
"""

# ruff: noqa: T201

import datasets
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch.utils.data import DataLoader

import rad_fast
from rad_fast.distill import soft_cross_entropy, soft_targets

BUDGET = 150


def digits() -> datasets.Dataset:
    pixels, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(pixels))
    return datasets.Dataset.from_dict({"pixels": (pixels[order] / 16).astype(np.float32), "label": y[order]})


def student_logits(student: torch.nn.Module, rows: datasets.Dataset) -> np.ndarray:
    with torch.no_grad():
        return student(rows.with_format("torch")["pixels"][:].float()).numpy()


def train(student: torch.nn.Module, rows: datasets.Dataset) -> None:
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-2)
    for _ in range(60):
        for batch in DataLoader(rows.with_format("torch"), batch_size=32, shuffle=True):
            loss = soft_cross_entropy(student(batch["pixels"].float()), batch["target"].float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def main() -> None:
    rows = digits()
    few, holdout, pool, test = (
        rows.select(part) for part in (range(40), range(40, 140), range(400, 1300), range(1300, 1797))
    )
    known = rows.select(range(400))
    teacher = LogisticRegression(max_iter=1000).fit(known["pixels"][:], known["label"][:])

    def said(part: datasets.Dataset) -> np.ndarray:
        return teacher.decision_function(np.asarray(part["pixels"][:]))

    torch.manual_seed(0)
    student = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    few = few.add_column("target", torch.nn.functional.one_hot(torch.tensor(few["label"][:]), 10).tolist())
    train(student, few)

    calibrator = rad_fast.Calibrator().fit(
        said(holdout), np.asarray(holdout["label"][:]), student_logits(student, holdout)
    )
    indices = rad_fast.select(said(pool), BUDGET, student_logits=student_logits(student, pool), correctness=calibrator)
    chosen = pool.select(indices)  # any batch of these rows is what the teacher is to label
    right = np.mean(said(chosen).argmax(1) == np.asarray(chosen["label"][:]))
    chosen = chosen.add_column("target", soft_targets(said(chosen)).tolist())

    truth = np.asarray(test["label"][:])
    before = np.mean(student_logits(student, test).argmax(1) == truth)
    train(student, datasets.concatenate_datasets([few.cast(chosen.features), chosen]))
    after = np.mean(student_logits(student, test).argmax(1) == truth)
    print(f"{len(chosen)} of {len(pool)} rows selected, {right:.1%} of them labelled correctly by the teacher")
    print(f"student: {before:.1%} before, {after:.1%} after")


if __name__ == "__main__":
    main()
