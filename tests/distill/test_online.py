"""The part of a batch that is learned: by learnability, by the game, by a function; and the batch's own structure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from torch import nn  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

from rad_fast.distill import OnlineBatches  # noqa: E402


class Lookup(nn.Module):
    """Says the logits of row i to the input i; and in which mode it was asked."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)
        self.frozen = nn.Dropout().eval()
        self.modes: list[tuple[bool, bool]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.modes.append((self.training, torch.is_grad_enabled()))
        return self.logits[x.long()]


def models(rows: int = 64, classes: int = 5) -> tuple[Lookup, Lookup, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    student, reference = (Lookup(torch.randn(rows, classes, generator=g) * 2) for _ in range(2))
    return student, reference, torch.randint(0, classes, (rows,), generator=g)


def first(batches: OnlineBatches) -> torch.Tensor:
    """The inputs of the first batch."""
    return next(iter(batches))[0]


def log_p(model: Lookup, labels: torch.Tensor) -> torch.Tensor:
    return torch.log_softmax(model.logits.detach(), 1)[torch.arange(len(labels)), labels]


def test_learnability_keeps_what_the_reference_explains_and_the_student_does_not():
    student, reference, y = models()
    batches = OnlineBatches([(torch.arange(64), y)], student, reference, keep=0.25)
    ((x, labels),) = list(batches)
    scores = log_p(reference, y) - log_p(student, y)
    assert x.tolist() == sorted(scores.topk(16).indices.tolist())
    assert torch.equal(labels, y[x])
    assert batches.kept.tolist() == x.tolist()


def test_rad_keeps_what_the_game_takes():
    student, reference, y = models(2000)
    data = [(torch.arange(2000), y)]
    kept = [first(OnlineBatches(data, student, reference, by="rad", seed=seed)) for seed in (0, 1)]
    assert [len(part) for part in kept] == [500, 500]
    assert not torch.equal(*kept)  # a sample
    gain, right = 1.0 - log_p(student, y).exp(), log_p(reference, y).exp()
    worth = (2 * right - 1) * gain
    assert worth[kept[0]].mean() > worth.mean() + 0.3


def test_a_function_of_both_models_logits_and_the_labels_may_score():
    student, reference, y = models()

    def confidence(own, other, labels):
        assert torch.equal(labels, y)
        assert torch.equal(other, reference.logits.detach())
        return own.max(1).values

    ((x, _),) = list(OnlineBatches([(torch.arange(64), y)], student, reference, keep=0.1, by=confidence))
    assert x.tolist() == sorted(student.logits.max(1).values.topk(6).indices.tolist())
    ((x, _),) = list(
        OnlineBatches([(torch.arange(64), y)], student, by=lambda own, other, labels: -labels, keep=1 / 64)
    )
    assert y[x] == y.min()


def test_models_are_asked_in_evaluation_mode_without_gradients_and_left_as_they_were():
    student, reference, y = models()
    student.train()
    student.frozen.eval()
    list(OnlineBatches([(torch.arange(64), y)], student, reference))
    assert student.modes == reference.modes == [(False, False)]
    assert student.training
    assert not student.frozen.training


class Pair(NamedTuple):
    x: torch.Tensor
    y: torch.Tensor


@pytest.mark.parametrize("kind", ["tuple", "list", "named", "dictionary", "three"])
def test_what_is_kept_has_the_structure_of_the_batch(kind):
    student, reference, y = models()
    x = torch.arange(64)
    texts = [f"text {i}" for i in range(64)]
    batch = {
        "tuple": (x, y),
        "list": [x, y],
        "named": Pair(x, y),
        "dictionary": {"x": x, "labels": y, "texts": texts},
        "three": (x, y, texts, np.arange(64)),
    }[kind]
    batches = OnlineBatches([batch], student, reference, call=lambda model, b: model(b["x"] if kind[0] == "d" else b))
    (part,) = list(batches)
    assert type(part) is type(batch)
    rows, labels = (part["x"], part["labels"]) if kind == "dictionary" else part[:2]
    assert rows.tolist() == batches.kept.tolist()
    assert torch.equal(labels, y[rows])
    if kind in ("dictionary", "three"):
        assert (part["texts"] if kind == "dictionary" else part[2]) == [f"text {i}" for i in rows]
    if kind == "three":
        assert part[3].tolist() == rows.tolist()


def test_soft_labels_count_by_their_likeliest_class():
    student, reference, y = models()
    soft = torch.nn.functional.one_hot(y, 5) * 0.6 + 0.08
    hard = first(OnlineBatches([(torch.arange(64), y)], student, reference))
    assert torch.equal(first(OnlineBatches([(torch.arange(64), soft)], student, reference)), hard)


def test_a_sample_goes_on_where_its_state_was_taken():
    student, reference, y = models(64)
    data = [(torch.arange(64), y)] * 6
    whole = [part[0].tolist() for part in OnlineBatches(data, student, reference, by="rad", seed=3)]
    before = OnlineBatches(data[:2], student, reference, by="rad", seed=3)
    head = [part[0].tolist() for part in before]
    again = OnlineBatches(data[2:], student, reference, by="rad", seed=3)
    again.load_state_dict(before.state_dict())
    assert again.step == 2
    assert head + [part[0].tolist() for part in again] == whole
    with pytest.raises(ValueError, match="state: expected one of batches with seed 4, got seed 3"):
        OnlineBatches(data, student, reference, seed=4).load_state_dict(before.state_dict())


def test_a_loader_with_a_state_keeps_it():
    class Stateful(list):
        def state_dict(self):
            return {"place": 7}

        def load_state_dict(self, state):
            self.place = state["place"]

    student, reference, _ = models()
    loader = Stateful()
    batches = OnlineBatches(loader, student, reference)
    batches.load_state_dict(batches.state_dict())
    assert loader.place == 7


def test_a_data_loader_is_wrapped_as_it_is():
    student, reference, y = models()
    loader = DataLoader(TensorDataset(torch.arange(64), y), batch_size=20)
    batches = OnlineBatches(loader, student, reference, keep=0.3)
    assert len(batches) == 4
    assert [len(x) for x, _ in batches] == [6, 6, 6, 1]
    assert batches.step == 4


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"keep": 0.0}, ValueError, r"keep: expected a number in \(0, 1\], the share of a batch to keep, got 0.0"),
        ({"keep": "all"}, TypeError, "keep: expected a number"),
        ({"by": "loss"}, ValueError, "by: expected one of 'learnability', 'rad', got 'loss'"),
        ({"reference": None}, ValueError, "reference: expected a model, which by='learnability' compares"),
        ({"loader": 5}, TypeError, "loader: expected an iterable of batches, got int"),
        ({"split": 5}, TypeError, "split: expected a callable of one batch, got int"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(arguments, error, message):
    student, reference, y = models()
    usual = {"loader": [(torch.arange(64), y)], "student": student, "reference": reference}
    with pytest.raises(error, match=message):
        OnlineBatches(**{**usual, **arguments})


def test_batches_that_cannot_be_scored_are_named():
    student, reference, y = models()
    x = torch.arange(64)
    with pytest.raises(TypeError, match=r'loader: expected batches .* or dictionaries with "labels", got Tensor'):
        list(OnlineBatches([x], student, reference))
    with pytest.raises(ValueError, match="labels: expected one for each of the student's 64 rows, got 60"):
        list(OnlineBatches([(x, y[:60])], student, reference))
    with pytest.raises(ValueError, match=r"reference: expected logits of shape \(64, 5\)"):
        list(OnlineBatches([(x, y)], student, Lookup(torch.zeros(64, 7))))
    with pytest.raises(ValueError, match=r"by: expected one score per row, shape \(64,\), got \(2,\)"):
        list(OnlineBatches([(x, y)], student, by=lambda *_: [0.0, 1.0]))
    broken = Lookup(torch.full((64, 5), float("nan")))
    with pytest.raises(ValueError, match="reference: expected scores that are numbers, 64 of 64 are NaN"):
        list(OnlineBatches([(x, y)], student, broken))


@pytest.mark.parametrize("by", ["learnability", "rad"])
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda y: torch.where(y == 2, -100, y), ValueError, "3 are not, the first: -100 in row 2 of the batch"),
        (lambda y: y + 1, ValueError, "classes from 0 to 3, 3 are not, the first: 4 in row 3"),
        (lambda y: y.float(), TypeError, "expected integers .* got torch.float32"),
        (lambda y: y[:, None], TypeError, r"got torch.int64 of shape \(12, 1\)"),
        (lambda y: y > 1, TypeError, "got torch.bool"),
        (lambda y: torch.ones(12, 3) / 3, ValueError, r"probabilities of shape \(12, 4\), got \(12, 3\)"),
        (lambda y: torch.full((12, 4), torch.nan), ValueError, "12 rows have NaN"),
    ],
)
def test_labels_that_are_none_are_refused_and_never_cut_to_some(by, change, error, words):
    x, y = 9.0 * torch.eye(4).repeat(3, 1), torch.arange(4).repeat(3)
    with pytest.raises(error, match=f"labels: .*{words}"):
        next(iter(OnlineBatches([(x, change(y))], torch.nn.Linear(4, 4), lambda rows: rows, by=by)))


@pytest.mark.parametrize("by", ["learnability", "rad"])
def test_a_model_that_says_nan_is_named(by):
    x, y = 9.0 * torch.eye(4).repeat(3, 1), torch.arange(4).repeat(3)
    with pytest.raises(ValueError, match="expected scores that are numbers, 12 of 12 are NaN"):
        next(iter(OnlineBatches([(x, y)], lambda rows: rows * torch.nan, lambda rows: rows, by=by)))


@pytest.mark.parametrize("state", [None, {"seed": 0}, [0, 1]])
def test_what_is_no_state_is_refused(state):
    with pytest.raises(ValueError, match=r"state: expected what state_dict\(\) returned, got"):
        OnlineBatches([], None, None, by=len).load_state_dict(state)


def test_a_score_that_is_no_number_is_named():
    x, y = torch.eye(4), torch.tensor([0, 1, 2, 0])
    batches = OnlineBatches([(x, y)], torch.nn.Linear(4, 4), by=lambda *_: "high")
    with pytest.raises(TypeError, match="by: expected one score per row, got str"):
        next(iter(batches))


def test_a_model_that_diverged_is_named():
    student, reference, y = models()
    broken = Lookup(torch.full((64, 5), torch.nan))
    for by in ("learnability", "rad"):
        for pair, name in (((broken, reference), "student"), ((student, broken), "reference")):
            with pytest.raises(
                ValueError, match=f"{name}: expected scores that are numbers, 64 of 64 are NaN: training"
            ):
                first(OnlineBatches([(torch.arange(64), y)], *pair, by=by))


@pytest.mark.parametrize("by", ["learnability", "rad"])
def test_of_an_empty_batch_nothing_is_kept(by):
    student, reference, y = models()
    batches = OnlineBatches([(torch.arange(0), y[:0]), (torch.arange(64), y)], student, reference, by=by)
    assert [len(x) for x, _ in batches] == [0, 16]


def test_what_cannot_be_asked_is_refused():
    student, reference, y = models()
    with pytest.raises(TypeError, match="student: expected a torch module or another callable of a batch, got None"):
        first(OnlineBatches([(torch.arange(64), y)], None, reference))
    with pytest.raises(TypeError, match="reference: expected a torch module or another callable of a batch, got 'gpt'"):
        first(OnlineBatches([(torch.arange(64), y)], student, "gpt"))
    with pytest.raises(TypeError, match=r"call: expected a callable .*, got int"):
        OnlineBatches([], student, reference, call=3)
    with pytest.raises(
        TypeError, match=r"labels: expected integers, or probabilities \(n, C\), got list .* use split= to"
    ):
        first(OnlineBatches([(torch.arange(64), ["a"] * 64)], student, reference))
