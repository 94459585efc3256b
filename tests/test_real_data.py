"""The classifier of shared/data: 10,000 CIFAR-10 test images, its probabilities and the given labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rad_fast

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="module")
def cifar():
    if not (DATA / "cifar10_test_pred_probs.npy").exists():
        pytest.skip(
            f"the real data is not here: {DATA.name}/cifar10_test_pred_probs.npy is looked for beside the clone"
        )
    return np.log(np.load(DATA / "cifar10_test_pred_probs.npy")), np.load(DATA / "cifar10_test_labels.npy")


def test_the_selection_is_right_more_often_than_margin_sampling(cifar):
    """Among 500 points margin sampling picks those that the classifier is unsure of, about half of them wrong."""
    logits, truth = cifar
    calibrator = rad_fast.Calibrator().fit(logits[:2000], truth[:2000])
    pool, pool_truth = logits[2000:], truth[2000:]
    selection = rad_fast.Selector(500).fit(pool, correctness=calibrator)
    right = pool.argmax(axis=1) == pool_truth
    narrowest = np.argsort(-selection.gain, kind="stable")[:500]
    assert right[selection.indices].mean() > right[narrowest].mean() + 0.15
    assert selection.gain[selection.indices].mean() > 2 * selection.gain.mean(), "and the points are informative"


def test_the_value_is_kept_whichever_labels_are_wrong(cifar):
    """The certificate: expected gain under the true labels is at least the value, for mistakes = all of them."""
    logits, truth = cifar
    wrong = logits.argmax(axis=1) != truth
    selection = rad_fast.Selector(1000, mistakes=int(wrong.sum()), quotas=None).fit(logits, correctness=1.0)
    earned = (selection.probabilities * selection.gain * np.where(wrong, -1.0, 1.0)).sum()
    assert earned >= selection.value - 1e-6 * abs(selection.value)


def test_backends_select_the_same_real_points(cifar, kernels):
    """Scores of backends may differ by roundings: the same points but for a few."""
    logits, _ = cifar
    ours = rad_fast.select(logits, 1000, backend=kernels.name)
    theirs = rad_fast.select(logits, 1000, backend="reference")
    assert len(np.intersect1d(ours, theirs)) >= 990, np.setxor1d(ours, theirs)
