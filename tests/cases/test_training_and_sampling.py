"""A sampler loses no point, training calls the student as it was told, and errors name what is at fault."""

from __future__ import annotations

import logging

import pytest

torch = pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from torch.utils.data import DataLoader  # noqa: E402

from rad_fast.distill import ActiveDistiller, Fit, SelectionSampler, SoftLabelDataset, TeacherError  # noqa: E402

X = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
DATA = SoftLabelDataset(torch.arange(100.0)[:, None], torch.zeros(100, dtype=torch.long), n_classes=2)


def teacher(batch: torch.Tensor) -> torch.Tensor:
    return torch.stack([-9 * batch[:, 0], 9 * batch[:, 0]], 1)


def settings(**others) -> dict[str, object]:
    torch.manual_seed(0)
    return {
        "student": torch.nn.Linear(2, 2),
        "teacher": teacher,
        "labelled": (X[:10], Y[:10]),
        "holdout": (X[10:30], Y[10:30]),
        "pool": X[30:],
        "budget": 8,
        "progress": False,
        "sleep": lambda seconds: None,
        **({} if "train" in others else {"train": None}),
        **others,
    }


# The sampler.


@pytest.mark.parametrize("workers", [0, 2])
def test_a_look_at_one_batch_costs_no_point(workers):
    sampler = SelectionSampler(range(100), seed=4)
    loader = DataLoader(DATA, batch_size=10, sampler=sampler, num_workers=workers)
    next(iter(loader))
    seen = torch.cat([batch[0][:, 0] for batch in loader]).long().tolist()
    assert seen == list(SelectionSampler(range(100), seed=4)), "and the epoch is the same as without"


def test_epochs_of_fewer_steps_than_batches_come_round_to_all_points():
    loader = DataLoader(DATA, batch_size=10, sampler=SelectionSampler(range(100)))
    seen: list[list[int]] = []
    for _ in range(25):
        points: list[int] = []
        for step, batch in enumerate(loader):
            points += batch[0][:, 0].long().tolist()
            if step == 3:
                break
        assert len(set(points)) == 40
        seen.append(points)
    assert len({point for points in seen for point in points}) == 100
    assert len({tuple(points) for points in seen}) == 24  # the first is taken for a look


def test_set_epoch_starts_that_epoch_from_its_beginning():
    sampler = SelectionSampler(range(100))
    first, second = list(SelectionSampler(range(100))), None
    next(iter(sampler))
    sampler.set_epoch(0)
    assert list(sampler) == first
    run = iter(sampler)
    second = [next(run) for _ in range(5)]
    sampler.set_epoch(0)
    assert list(sampler) == first
    assert list(sampler)[:5] == second


def test_a_run_that_ends_with_the_last_point_is_a_whole_one():
    """As zip() and islice() end it: the iterator is not asked once more."""
    sampler, other = SelectionSampler(range(6)), SelectionSampler(range(6))
    run = iter(sampler)
    first = [next(run) for _ in range(6)]
    assert first == list(other)
    assert list(sampler) == list(other)


def test_of_two_runs_at_once_both_are_whole():
    sampler = SelectionSampler(range(20))
    one = iter(sampler)
    begun = [next(one) for _ in range(3)]
    assert sorted(sampler) == list(range(20))
    assert sorted(begun + list(one)) == list(range(20))
    assert sorted(sampler) == list(range(20))


def test_after_loading_a_look_costs_nothing_either():
    sampler = SelectionSampler(range(30), seed=2)
    run = iter(sampler)
    [next(run) for _ in range(11)]
    state, rest = sampler.state_dict(), list(run)
    again = SelectionSampler(range(30), seed=2)
    again.load_state_dict(state)
    next(iter(again))
    assert list(again) == rest
    assert sorted(again) == list(range(30))  # the next epoch is whole


@pytest.mark.parametrize("wrong", [{"points": 29, "seed": 2}, {"points": 30, "seed": 3}, {}])
def test_a_state_of_another_sampler_is_refused(wrong):
    sampler = SelectionSampler(range(30), seed=2)
    with pytest.raises(ValueError, match="state: expected that of a sampler over 30 points with seed 2"):
        sampler.load_state_dict({"epoch": 0, "place": 3, **wrong})


def test_a_selection_of_tensors_serves():
    assert sorted(SelectionSampler(torch.tensor([5, 2, 9]))) == [2, 5, 9]


# Training.


class Scaled(torch.nn.Module):
    """A student that needs two arguments."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(2, 2)

    def forward(self, features: torch.Tensor, scale: float) -> torch.Tensor:
        return self.layer(features) * scale


@pytest.mark.parametrize("train", [None, Fit(epochs=2)])
def test_training_calls_the_student_as_the_distiller_does(train):
    made = ActiveDistiller(**settings(student=Scaled(), train=train, call=lambda s, x: s(x, 1.0)))
    assert not torch.equal(made.run().layer.weight, Scaled().layer.weight)
    if train is not None:
        assert "call" not in {
            name for name, value in vars(train).items() if value is made.call
        }  # the given one is kept


def test_a_trainer_of_one_s_own_keeps_its_call():
    calls = []

    def call(student: Scaled, batch: torch.Tensor) -> torch.Tensor:
        calls.append(len(batch))
        return student(batch, 1.0)

    ActiveDistiller(**settings(student=Scaled(), train=Fit(epochs=1, call=call), call=lambda s, x: s(x, 1.0))).run()
    assert calls


def test_training_collates_inputs_as_the_distiller_does():
    """Inputs that torch cannot stack: rows of text, say."""
    texts = [f"{a:.3f} {b:.3f}" for a, b in X.tolist()]

    def collate(rows: list[str]) -> torch.Tensor:
        assert all(isinstance(row, str) for row in rows)
        return torch.tensor([[float(number) for number in row.split()] for row in rows])

    others = {"labelled": (texts[:10], Y[:10]), "holdout": (texts[10:30], Y[10:30]), "pool": texts[30:]}
    made = ActiveDistiller(**settings(collate=collate, **others))
    made.run()
    assert len(made.selected) == 8


def test_a_fit_takes_a_pair_as_its_holdout():
    data = SoftLabelDataset(X, Y, n_classes=2)
    torch.manual_seed(0)
    one = Fit(epochs=3, holdout=(X[:20], Y[:20]))(torch.nn.Linear(2, 2), data)
    torch.manual_seed(0)
    other = Fit(epochs=3, holdout=[(x, y) for x, y in zip(X[:20], Y[:20], strict=True)])(torch.nn.Linear(2, 2), data)
    assert torch.equal(one.weight, other.weight)


# What is at fault is named, before anything is paid for where that can be.


@pytest.mark.parametrize(
    ("others", "says"),
    [
        (
            {"pool": X[30:].double()},
            "pool: expected inputs like those of labelled, torch tensors of float32, got .*float64",
        ),
        ({"pool": X[30:].double().numpy()}, "pool: expected inputs like those of labelled"),
        ({"holdout": (X[10:30].double(), Y[10:30])}, "holdout: expected inputs like those of labelled"),
        ({"pool": [str(row) for row in X[30:]]}, "pool: expected inputs like those of labelled"),
        ({"pool": [{"x": row} for row in X[30:]]}, "pool: expected inputs like those of labelled"),
        ({"pool": torch.randn(70, 3)}, "pool: the student cannot be asked for its first input: RuntimeError"),
        ({"student": torch.nn.Linear(3, 2)}, "labelled: the student cannot be asked for its first input"),
        ({"features": lambda student, batch: student.missing(batch)}, "the student cannot be asked .*AttributeError"),
    ],
)
def test_inputs_that_cannot_share_a_batch_are_refused_before_the_first_query(others, says):
    asked = []
    with pytest.raises((TypeError, ValueError), match=says):
        ActiveDistiller(**settings(teacher=asked.append, **others))
    assert asked == []


@pytest.mark.parametrize("which", ["pool", "labelled", "holdout"])
def test_arrays_beside_tensors_become_tensors(which):
    part = {"labelled": slice(0, 10), "holdout": slice(10, 30), "pool": slice(30, None)}[which]
    others = {which: X[30:].numpy()} if which == "pool" else {which: (X[part].numpy(), Y[part].numpy())}
    made = ActiveDistiller(**settings(**others))
    made.run()
    data = made.dataset()
    assert {type(data[at][0]) for at in range(len(data))} == {torch.Tensor}


def test_a_student_that_diverged_is_named():
    student = torch.nn.Linear(2, 2)
    student.weight.data.fill_(float("nan"))
    with pytest.raises(
        RuntimeError, match=r"student: its logits have NaN, .* for 20 of 20 inputs, .*training diverged"
    ):
        ActiveDistiller(**settings(student=student, train=lambda student, data: None)).run()
    features = {"features": lambda student, batch: batch * torch.inf, "strategy": "coreset"}
    with pytest.raises(RuntimeError, match="student: its features have NaN"):
        ActiveDistiller(**settings(train=lambda student, data: None, **features)).run()


@pytest.mark.parametrize("kind", [NameError, TypeError, AttributeError, ImportError, NotImplementedError])
def test_a_mistake_in_the_teacher_ends_at_once(kind):
    waits = []

    def broken(batch: torch.Tensor) -> torch.Tensor:
        raise kind("by mistake")

    with pytest.raises(TeacherError, match=f"a mistake in the callable.*not repeated: {kind.__name__}: by") as caught:
        ActiveDistiller(**settings(teacher=broken, sleep=waits.append)).run()
    assert waits == []
    assert isinstance(caught.value.__cause__, kind)


def test_repeated_calls_are_said_in_the_log_and_wait_no_longer_than_a_minute(caplog):
    waits = []

    def failing(batch: torch.Tensor) -> torch.Tensor:
        raise ConnectionError("the line is dead")

    made = ActiveDistiller(**settings(teacher=failing, sleep=waits.append, retries=9, backoff=1.0))
    with caplog.at_level(logging.WARNING, "rad_fast"), pytest.raises(TeacherError):
        made.run()
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert "ConnectionError: the line is dead; trying again in 1 s (1 of 9)" in caplog.text


def test_skipped_points_are_not_asked_again():
    """An answer of NaN is an answer: it has been paid for."""
    asked: list[float] = []

    def sometimes(batch: torch.Tensor) -> torch.Tensor:
        asked.extend(batch[:, 0].tolist())
        found = teacher(batch)
        found[::3] = torch.nan
        return found

    made = ActiveDistiller(**settings(teacher=sometimes, invalid="skip", train=Fit(epochs=1), query_batch=7))
    made.run()
    made.run()
    assert len(asked) == len(set(asked)) == made.queries == 28


@pytest.mark.parametrize("where", ["pool_logits", "holdout_logits", "answers"])
def test_probabilities_of_a_teacher_are_refused(where):
    p = torch.softmax(teacher(X), 1)
    given = {"pool_logits": {"pool_logits": p[30:]}, "holdout_logits": {"holdout_logits": p[10:30]}}
    others = given.get(where, {"teacher": lambda batch: torch.softmax(teacher(batch), 1)})
    with pytest.raises((ValueError, TeacherError), match=r"expected logits, got probabilities.*logarithm"):
        ActiveDistiller(**settings(**others)).run()


def test_a_student_s_probabilities_are_read_as_such():
    """A student that ends in a softmax is chosen for as the same one without."""

    def run(student: torch.nn.Module) -> list[int]:
        known = {"pool_logits": teacher(X[30:]), "holdout_logits": teacher(X[10:30])}
        made = ActiveDistiller(**settings(student=student, train=lambda student, data: None, **known))
        made.run()
        return made.selected.tolist()

    torch.manual_seed(0)
    layer = torch.nn.Linear(2, 2)
    assert run(layer) == run(torch.nn.Sequential(layer, torch.nn.Softmax(1)))
