"""SoftLabelDataset and SelectionSampler, for people with their own loop."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="rad_fast.distill needs torch")
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

import rad_fast  # noqa: E402
from rad_fast.distill import SelectionSampler, SoftLabelDataset, soft_targets  # noqa: E402

X = torch.arange(20.0).reshape(10, 2)


def test_items_are_input_target_weight():
    logits = np.array([[3.0, 0.0], [0.0, 1.0], [0.0, 0.0]], np.float32)
    data = SoftLabelDataset(TensorDataset(X, torch.zeros(10)), soft_targets(logits), indices=[9, 0, 4])
    x, target, weight = data[0]
    assert torch.equal(x, X[9])
    assert torch.allclose(target, torch.tensor([3.0, 0.0]).softmax(0))
    assert float(weight) == 1.0
    batch = next(iter(DataLoader(data, batch_size=3)))
    assert [tuple(part.shape) for part in batch] == [(3, 2), (3, 2), (3,)]


def test_labels_become_one_hot():
    data = SoftLabelDataset(X, torch.arange(10) % 3, n_classes=3)
    assert data[4][1].tolist() == [0.0, 1.0, 0.0]


def test_own_items():
    records = [{"text": "a"}, {"text": "b"}]
    data = SoftLabelDataset(records, torch.tensor([0, 1]), n_classes=2, input_of=lambda record: record["text"])
    assert [data[at][0] for at in range(2)] == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"targets": torch.tensor([0, 1])}, ValueError, "targets: expected one label per row|n_classes"),
        ({"targets": torch.arange(10), "n_classes": 3}, ValueError, "targets: expected labels from 0 to 2"),
        ({"targets": torch.full((10, 2), 0.7)}, ValueError, "sum to 1; 10 are not"),
        ({"targets": torch.full((10, 2), torch.nan)}, ValueError, "sum to 1; 10 are not"),
        ({"targets": torch.full((4, 2), 0.5)}, ValueError, r"expected probabilities of shape \(10, C\)"),
        ({"targets": torch.full((2, 2), 0.5), "indices": [3, 10]}, ValueError, "indices: expected indices from 0 to 9"),
        (
            {"targets": torch.full((1, 2), 0.5), "indices": [3], "weights": [-1.0]},
            ValueError,
            "weights: expected finite",
        ),
        ({"targets": torch.full((1, 2), 0.5), "indices": [3], "weights": [1, 2]}, ValueError, "weights: expected one"),
    ],
)
def test_wrong_input(arguments, error, says):
    with pytest.raises(error, match=says):
        SoftLabelDataset(X, **arguments)


def test_a_sampler_goes_through_a_selection():
    logits = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    selection = rad_fast.Selector(12).fit(logits)
    sampler = SelectionSampler(selection)
    assert sorted(sampler) == selection.indices.tolist()
    assert len(sampler) == 12
    assert list(SelectionSampler(selection, shuffle=False)) == selection.indices.tolist()


def test_epochs_have_orders_of_their_own_that_repeat():
    sampler = SelectionSampler(range(50), seed=3)
    first, second = list(sampler), list(sampler)
    assert first != second
    assert sorted(first) == sorted(second) == list(range(50))
    sampler.set_epoch(0)
    assert list(sampler) == first
    other = SelectionSampler(range(50), seed=3)
    other.set_epoch(1)
    assert list(other) == second
    assert list(SelectionSampler(range(50), seed=4)) != first


@pytest.mark.parametrize("place", [0, 1, 17, 49])
def test_resuming_in_the_middle(place):
    sampler = SelectionSampler(range(50), seed=3)
    list(sampler)  # the first epoch
    run = iter(sampler)
    begun = [next(run) for _ in range(place)]
    state = sampler.state_dict()
    rest = list(run)
    again = SelectionSampler(range(50), seed=3)
    again.load_state_dict(state)
    again.set_epoch(state["epoch"])  # as loops do at the top; it must not start the epoch over
    assert list(again) == rest
    assert sorted(begun + rest) == list(range(50))
    assert list(again) == list(sampler)  # the next epoch


def test_replicas_share_the_points():
    parts = [list(SelectionSampler(range(10), replicas=4, rank=rank)) for rank in range(4)]
    assert {len(part) for part in parts} == {3}
    assert set().union(*parts) == set(range(10))


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: SelectionSampler(7), TypeError, "selection: expected a Selection or indices"),
        (lambda: SelectionSampler([0.5]), TypeError, "selection: expected integers"),
        (lambda: SelectionSampler([-1]), ValueError, "selection: expected indices from 0"),
        (lambda: SelectionSampler([1], seed=-1), ValueError, "seed: expected"),
        (lambda: SelectionSampler([1], replicas=2, rank=2), ValueError, "rank: expected less than the 2 replicas"),
        (lambda: SelectionSampler([1]).load_state_dict({"points": 2}), ValueError, "state: expected"),
    ],
)
def test_wrong_sampler(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_an_empty_selection_is_an_empty_epoch():
    assert list(SelectionSampler([])) == []


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (
            {"targets": torch.arange(10) % 3, "n_classes": "3"},
            TypeError,
            "n_classes: expected an int of at least 2, got",
        ),
        ({"targets": torch.arange(10) % 3, "n_classes": 3.0}, TypeError, "n_classes: expected an int"),
        (
            {"targets": torch.zeros(10).long(), "n_classes": 1},
            ValueError,
            "n_classes: expected an int of at least 2, got 1",
        ),
        (
            {"targets": torch.ones(10, 1)},
            ValueError,
            r"targets: expected probabilities of shape \(10, C\), got \(10, 1\)",
        ),
        (
            {"targets": rad_fast.TeacherLabels(np.arange(10) % 3, n_classes=3)},
            TypeError,
            "targets: expected labels .*, got TeacherLabels; give .labels, with n_classes=",
        ),
        (
            {"targets": rad_fast.Probabilities(np.full((10, 2), 0.5, np.float32))},
            TypeError,
            "targets: .*, got Probabilities; give the array it was made of",
        ),
        (
            {"targets": torch.zeros(2).long(), "n_classes": 3, "indices": rad_fast.Selector(2).fit(np.eye(10, 3) * 5)},
            TypeError,
            r"indices: expected integers of shape \(n,\), got a Selection; give its .indices",
        ),
    ],
)
def test_input_of_another_kind(arguments, error, says):
    with pytest.raises(error, match=says):
        SoftLabelDataset(X, **arguments)


@pytest.mark.parametrize(
    ("logits", "says"),
    [
        ([[0.0, 1.0], [np.nan, 1.0]], "1 have NaN, .* is row 1; leave such points out"),
        ([[0.0, 1.0], [np.inf, 1.0]], "is row 1"),
        ([[-np.inf, -np.inf]], "nothing finite"),
        ([[0.0], [1.0]], r"2 classes or more, got shape \(2, 1\)"),
        ([0, 1, 2], "of labels give rad_fast.TeacherLabels"),
    ],
)
def test_soft_targets_are_of_logits(logits, says):
    with pytest.raises(ValueError, match=f"logits: expected .*{says}"):
        soft_targets(logits)
    assert soft_targets([[0.0, -np.inf]]).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (None, "expected what state_dict.. returned, got None"),
        ({"points": 3, "seed": 0}, "expected what state_dict.. returned"),
        ({"points": 3, "seed": 0, "epoch": 0, "place": 4}, "expected a place up to 3, got 4; was it of other replicas"),
        ({"points": 3, "seed": 0, "epoch": -1, "place": 0}, "its epoch: expected an int of at least 0"),
    ],
)
def test_a_state_that_is_none_is_refused(state, says):
    sampler = SelectionSampler([4, 5, 6])
    with pytest.raises(ValueError, match=f"state: .*{says}"):
        sampler.load_state_dict(state)
    assert sorted(sampler) == [4, 5, 6]


def test_shuffle_is_true_or_false():
    with pytest.raises(TypeError, match="shuffle: expected True or False, got 'no'"):
        SelectionSampler([1], shuffle="no")


@pytest.mark.parametrize("temperature", [1e-40, 1e-38, 1e30])
def test_soft_targets_at_any_temperature(temperature):
    """Divided by so little the logits overflow."""
    found = soft_targets([[3.0, 1.0, -np.inf], [-2.0, -1.0, -9.0]], temperature)
    assert found.sum(1).tolist() == pytest.approx([1.0, 1.0])
    cold = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    warm = [[0.5, 0.5, 0.0], [1 / 3, 1 / 3, 1 / 3]]
    np.testing.assert_allclose(found, cold if temperature < 1 else warm, atol=1e-6)
