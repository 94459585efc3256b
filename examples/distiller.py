"""The whole loop: ActiveDistiller chooses, asks and trains; interrupted, it resumes without asking twice.

Handwritten digits (scikit-learn). The teacher, a logistic regression behind a line that breaks now and then, is
asked for 3 x 50 of a pool of 900 points.

    python examples/distiller.py [JOURNAL]
"""

# ruff: noqa: T201

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from rad_fast.distill import ActiveDistiller, Fit, predict


def main(journal: Path) -> None:
    pixels, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(pixels))
    pixels, y = pixels[order].astype(np.float32) / 16, y[order]
    x = torch.from_numpy(pixels)
    labelled, holdout, pool, test = slice(0, 40), slice(40, 140), slice(400, 1300), slice(1300, None)
    machine = LogisticRegression(max_iter=1000).fit(pixels[140:400], y[140:400])

    asked = 0

    def teacher(batch: torch.Tensor) -> np.ndarray:
        nonlocal asked
        if np.random.default_rng(asked).random() < 0.2:
            asked += 1
            raise ConnectionError("the line broke")
        asked += 1
        return machine.decision_function(batch.numpy())

    def measured(student: torch.nn.Module) -> dict[str, float]:
        return {"test accuracy": float((predict(student, x[test]).argmax(1) == y[test]).mean())}

    torch.manual_seed(0)
    student = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    held_out = torch.utils.data.TensorDataset(x[holdout], torch.from_numpy(y[holdout]))
    distiller = ActiveDistiller(
        student,
        teacher,
        labelled=(x[labelled], y[labelled]),
        holdout=(x[holdout], y[holdout]),
        pool=x[pool],
        budget=50,
        rounds=3,
        train=Fit(holdout=held_out, epochs=60, lr=1e-2),  # any callable (student, dataset) serves
        evaluate=measured,
        journal=journal,
        backoff=0.01,
    )
    distiller.run()
    for report in distiller.history:
        print(
            f"round {report.number}: {report.selected} points, {report.queries} answers so far, "
            f"{report.measured['test accuracy']:.1%} on the test set"
        )
    print(f"every answer is in {journal}: run this again with that path, and the teacher is not asked again")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp()) / "journal")
