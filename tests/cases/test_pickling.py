"""What is public can be pickled, copied, and sent to another process, and is the same there."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest

import rad_fast
from rad_fast.device import backends

LOGITS = np.random.default_rng(0).normal(0, 4, (500, 5)).astype(np.float32)


def saved_by_torch(value: object) -> object:
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


WAYS = [
    pytest.param(lambda value: pickle.loads(pickle.dumps(value)), id="pickle"),
    pytest.param(copy.deepcopy, id="deepcopy"),
    pytest.param(copy.copy, id="copy"),
    pytest.param(saved_by_torch, id="torch.save"),
]


def same(one: rad_fast.Selection, other: rad_fast.Selection) -> None:
    for name in ("indices", "probabilities", "gain", "correctness", "labels", "weights"):
        assert np.array_equal(np.asarray(getattr(one, name)), np.asarray(getattr(other, name))), name
    assert one.report() == other.report()


@pytest.mark.parametrize("way", WAYS)
def test_a_selection_is_the_same_after_a_round_trip(kernels, way):
    selection = rad_fast.Selector(20, backend=kernels.name).fit(LOGITS)
    same(selection, way(selection))
    assert isinstance(selection.probabilities, np.ndarray)  # which is now computed, and kept
    same(selection, way(selection))


@pytest.mark.parametrize("way", WAYS)
def test_a_selector_goes_on_between_chunks_after_a_round_trip(kernels, way):
    whole = rad_fast.Selector(20, backend=kernels.name).fit(LOGITS)
    selector = rad_fast.Selector(20, backend=kernels.name).partial_fit(LOGITS[:200])
    again = way(selector)
    same(again.partial_fit(LOGITS[200:]).finalize(), whole)


@pytest.mark.parametrize("way", WAYS)
def test_calibrators_and_top_k_logits_make_a_round_trip(way):
    truth = np.where(np.arange(500) % 9, LOGITS.argmax(1), 0)
    calibrator = rad_fast.Calibrator().fit(LOGITS, truth, LOGITS[:, ::-1])
    again = way(calibrator)
    assert np.array_equal(again.predict(LOGITS, LOGITS), calibrator.predict(LOGITS, LOGITS))
    assert np.array_equal(again.curve().right, calibrator.curve().right)
    top = np.argsort(-LOGITS, axis=1)[:, :3]
    kept = rad_fast.TopKLogits(np.take_along_axis(LOGITS, top, axis=1), top, 5)
    assert np.array_equal(rad_fast.select(way(kept), 9), rad_fast.select(kept, 9))


def test_a_selection_of_tensors_stays_one_of_tensors():
    torch = pytest.importorskip("torch")
    again = pickle.loads(pickle.dumps(rad_fast.Selector(20).fit(torch.from_numpy(LOGITS))))
    assert isinstance(again.indices, torch.Tensor)
    assert isinstance(again.weights, torch.Tensor)


def test_a_selection_kept_in_a_folder_takes_its_points_along(tmp_path):
    selection = rad_fast.Selector(20, scores=tmp_path / "scores").fit(LOGITS)
    again = pickle.loads(pickle.dumps(selection))
    same(selection, again)
    assert not isinstance(again.gain, np.memmap)


def test_a_selector_that_holds_a_folder_says_why_it_stays(tmp_path):
    selector = rad_fast.Selector(20, scores=tmp_path / "scores")
    assert pickle.loads(pickle.dumps(selector)).scores == tmp_path / "scores"  # not held yet
    selector.partial_fit(LOGITS)
    with pytest.raises(TypeError, match="scores: a Selector with scores= cannot be pickled"):
        pickle.dumps(selector)


def test_a_pickle_from_a_machine_with_other_backends_is_read():
    rebuild, (name,) = backends.load("reference").__reduce__()
    assert rebuild(name) is backends.load("reference")
    assert rebuild("of that machine") is backends.backend("auto")


def test_backends_are_not_copied():
    for name in ("cpp", "numba", "reference"):
        try:
            loaded = backends.load(name)
        except ImportError:
            continue
        assert copy.deepcopy(loaded) is loaded
        assert pickle.loads(pickle.dumps(loaded)) is loaded


@pytest.mark.parametrize("way", WAYS[:2])
def test_what_a_training_loop_uses_makes_a_round_trip(way):
    torch = pytest.importorskip("torch")
    from rad_fast.distill import DistillationKL, Fit, SelectionSampler, SoftCrossEntropy, SoftLabelDataset

    sampler = SelectionSampler(range(10), seed=3)
    assert list(way(sampler)) == list(sampler)
    data = SoftLabelDataset(torch.eye(4), torch.tensor([0, 1, 0, 1]), n_classes=2)
    assert torch.equal(way(data)[1][1], data[1][1])
    assert way(Fit(epochs=3)).epochs == 3
    z = torch.eye(3)
    for loss, teacher in ((SoftCrossEntropy(), z.softmax(1)), (DistillationKL(2.0), z + z.flip(0))):
        assert way(loss)(z, teacher) == loss(z, teacher)
