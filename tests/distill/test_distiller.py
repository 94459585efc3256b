"""The loop: what is asked, what is trained on, any trainer, any strategy, and what bad input does."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from rad_fast.distill import STRATEGIES, ActiveDistiller, BudgetWarning, Choice, Fit, TeacherError  # noqa: E402

from .distill_problem import CLASSES, Student, Teacher, arguments, plane, truth, weights_of  # noqa: E402


def distiller(**others) -> ActiveDistiller:
    return ActiveDistiller(**arguments(**others))


def test_the_teacher_is_asked_for_the_chosen_points_alone():
    teacher = Teacher()
    made = distiller(teacher=teacher)
    made.run()
    x, _ = plane()
    assert teacher.points == made.queries == 40 + 2 * 15
    assert len(set(teacher.seen)) == teacher.points
    asked = {tuple(row) for row in torch.cat([x[20:60], x[60:][made.selected]]).tolist()}
    assert set(teacher.seen) == asked
    assert len(set(made.selected.tolist())) == 30


def test_the_student_learns():
    x, y = plane(1000, seed=9)

    def accuracy(student):
        with torch.no_grad():
            return {"accuracy": float((student(x).argmax(1) == y).float().mean())}

    given = Student()
    before = weights_of(given)
    made = distiller(student=given, rounds=3, budget=40, evaluate=accuracy, train=Fit(epochs=40, lr=0.02))
    student = made.run()
    first, last = made.history[0].measured["accuracy"], made.history[-1].measured["accuracy"]
    assert last > max(0.85, first)
    assert accuracy(student)["accuracy"] == last
    assert np.array_equal(weights_of(given), before)  # the given student is not touched
    assert [report.number for report in made.history] == [0, 1, 2, 3]
    assert [report.selected for report in made.history] == [0, 40, 40, 40]


def test_what_is_trained_on():
    made = distiller(labels="soft", temperature=2.0)
    made.run()
    data = made.dataset()
    assert len(data) == 20 + 30
    x, _ = plane()
    first = int(made.selected[0])
    item = data[20]
    assert torch.equal(item[0], x[60:][first])
    assert torch.allclose(item[1], (truth(x[60:][first : first + 1] + 0.15)[0] / 2.0).softmax(0))
    weights = torch.stack([data[at][2] for at in range(len(data))])
    assert (weights[:20] == 1).all()
    assert ((weights[20:] >= 0) & (weights[20:] <= 1)).all()
    hard = distiller(labels="hard", weights=None)
    hard.run()
    item = hard.dataset()[25]
    assert sorted(item[1].tolist()) == [0.0, 0.0, 1.0]
    assert float(item[2]) == 1.0


def test_the_teachers_top_class_is_learned_if_nothing_else_is_asked_for():
    made, hard, soft = distiller(), distiller(labels="hard"), distiller(labels="soft")
    for one in (made, hard, soft):
        one.run()
    x = plane()[0][60:][torch.from_numpy(made.selected)]
    targets = torch.stack([made.dataset()[at][1] for at in range(20, 50)])
    top = truth(x + 0.15).argmax(1)
    assert torch.equal(targets, torch.nn.functional.one_hot(top, CLASSES).float())
    assert np.array_equal(weights_of(made.student), weights_of(hard.student))
    assert not np.array_equal(weights_of(made.student), weights_of(soft.student))


def test_any_trainer_serves():
    seen = []

    def train(student, dataset):
        seen.append(len(dataset))
        with torch.no_grad():
            student.layers[0].bias += 1.0  # in place, and nothing returned

    made = distiller(train=train)
    made.run()
    assert seen == [20, 35, 50]
    other = distiller(train=lambda student, dataset: Student())
    assert isinstance(other.run(), Student)


def test_students_need_not_be_modules():
    class Nearest:
        def __init__(self):
            self.x = self.y = None

        def __call__(self, batch):
            if self.x is None:
                return torch.zeros(len(batch), CLASSES)
            return torch.nn.functional.one_hot(self.y[torch.cdist(batch, self.x).argmin(1)], CLASSES).float()

    def train(student, dataset):
        student.x = torch.stack([item[0] for item in dataset])
        student.y = torch.stack([item[1].argmax() for item in dataset])

    made = distiller(student=Nearest(), train=train)
    made.run()
    assert made.history[-1].holdout_accuracy > 0.7


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_every_strategy_runs_a_whole_distillation(name):
    x, _ = plane()
    labels = "soft" if name == "unixkd" else "hard"
    made = distiller(strategy=name, pool_logits=truth(x[60:] + 0.15), invalid="skip", labels=labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a teacher this small may be called unreliable
        made.run()
    assert len(np.unique(made.selected)) == 30
    assert made.history[-1].queries == 40 + (0 if name != "unixkd" else made.queries - 40)


def test_known_logits_need_no_teacher():
    x, _ = plane()
    made = distiller(teacher=None, pool_logits=truth(x[60:]), holdout_logits=truth(x[20:60]))
    made.run()
    assert made.queries == 0
    assert len(made.dataset()) == 50


def test_mixed_points_are_mixed_for_teacher_and_student():
    teacher = Teacher()
    made = distiller(teacher=teacher, strategy="unixkd", labels="soft", rounds=1)
    made.run()
    x, _ = plane()
    plain = {tuple(row) for row in x.tolist()}
    new = [row for row in teacher.seen if row not in plain]
    assert len(new) == 5  # the least uncertain third of 15
    learned = {tuple(made.dataset()[at][0].tolist()) for at in range(20, 35)}
    assert set(new) <= learned


def test_own_strategy():
    def first_ones(round_):
        assert round_.student_logits.shape == (180, CLASSES)
        return Choice(round_.left[: round_.budget])

    made = distiller(strategy=first_ones)
    made.run()
    assert made.selected.tolist() == list(range(30))
    twice = distiller(strategy=lambda round_: Choice(np.zeros(round_.budget, np.int64)))
    with pytest.raises(ValueError, match=r"strategy: expected 15 distinct points .* got 15, 1 of them distinct"):
        twice.run()


def test_same_seed_same_run():
    one, two, three = (distiller(seed=seed) for seed in (5, 5, 6))
    states = [weights_of(made.run()) for made in (one, two, three)]
    assert np.array_equal(one.selected, two.selected)
    assert np.array_equal(states[0], states[1])
    assert not np.array_equal(one.selected, three.selected)


def test_the_last_round_takes_the_rest_and_says_so():
    made = distiller(budget=100, rounds=5)
    with pytest.warns(BudgetWarning, match="round 2: the budget is 100, but only 80 points are left"):
        made.run()
    assert sorted(made.selected.tolist()) == list(range(180))
    assert len(made.history) == 3


def test_a_budget_as_a_fraction_and_a_holdout_of_its_own():
    x, y = plane()
    made = distiller(labelled=(x[:60], y[:60]), holdout=None, budget=0.1, rounds=1)
    made.run()
    assert len(made.selected) == 18
    assert (len(made.labelled), len(made.holdout)) == (48, 12)


def test_labelled_sets_of_items_and_pools_of_tuples():
    x, y = plane()
    items = [(x[at], int(y[at])) for at in range(20)]
    made = distiller(labelled=items, pool=torch.utils.data.TensorDataset(x[60:], y[60:]))
    made.run()
    assert len(made.dataset()) == 50


def test_progress_bars(capsys):
    pytest.importorskip("tqdm")
    distiller(progress=True).run()
    shown = capsys.readouterr().err
    assert "rounds" in shown
    assert "queries" in shown


X, Y = plane()


@pytest.mark.parametrize(
    ("others", "error", "says"),
    [
        ({"pool": X[:0]}, ValueError, "pool: expected at least one point"),
        ({"labelled": (X[:20], Y[:20] + 1)}, ValueError, "labelled: expected labels from 0 to 2"),
        ({"holdout": (X[:20], Y[:20] - 1)}, ValueError, "holdout: expected labels from 0"),
        ({"labelled": (X[:20], Y[:19])}, ValueError, "labelled: expected a data set of"),
        ({"labelled": (X[:0], Y[:0])}, ValueError, "labelled: expected at least one labelled point"),
        ({"labelled": X[:20]}, TypeError, r"labelled: expected items \(input, label\)"),
        ({"budget": 0}, ValueError, "budget: expected an int from 1"),
        ({"budget": 1.5}, ValueError, "budget: expected an int from 1"),
        ({"rounds": 0}, ValueError, "rounds: expected an int of at least 1"),
        ({"strategy": "best"}, ValueError, "strategy: expected one of rad, uniform"),
        ({"labels": "firm"}, ValueError, "labels: expected one of 'hard', 'soft'"),
        ({"temperature": 2.0}, ValueError, 'temperature: expected 1 with labels="hard", got 2; or give labels="soft"'),
        ({"temperature": 0.0, "labels": "soft"}, ValueError, "temperature: expected a finite number above 0"),
        ({"weights": "all"}, ValueError, "weights: expected one of 'correctness'"),
        ({"teacher": "gpt"}, TypeError, "teacher: expected a callable on a batch"),
        ({"teacher": None}, TypeError, "None needs both pool_logits= and holdout_logits="),
        ({"train": 3}, TypeError, "train: expected a callable"),
        ({"pool_logits": torch.zeros(5, 3)}, ValueError, "pool_logits: expected one row per point, 180, got 5"),
        ({"pool_logits": torch.zeros(180, 4)}, ValueError, "pool_logits: expected 3 classes"),
        ({"pool_logits": torch.full((180, 3), torch.nan)}, ValueError, "pool_logits: .* 180 have NaN"),
        ({"seed": -1}, ValueError, "seed: expected"),
    ],
)
def test_bad_arguments(others, error, says):
    with pytest.raises(error, match=says):
        distiller(**others)


def test_strategies_say_what_they_need():
    with pytest.raises(ValueError, match="'rad-both' needs the teacher's logits for the pool: give pool_logits="):
        distiller(strategy="rad-both").run()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda z: z[:-1], "expected a row of logits for each of the 8 points of a batch, got 7"),
        (lambda z: z[:, :2], r"expected logits of 3 classes.* got shape \(8, 2\)"),
        (lambda z: z.flatten(), r"expected logits of 3 classes.* got shape \(24,\)"),
        (lambda z: "yes", "expected an array of numbers"),
        (lambda z: torch.where(torch.arange(len(z))[:, None] == 3, torch.nan, z), "1 of 8 rows have NaN"),
    ],
)
def test_a_bad_answer_stops_the_run_and_nothing_paid_for_is_lost(answer, says, tmp_path):
    """The seventh batch is bad: five are the hold-out, the first of round 1 was good."""
    good = Teacher()

    def teacher(batch):
        found = good(batch)
        return answer(found) if good.calls == 6 and len(batch) == 8 else found

    path = tmp_path / "journal"
    made = distiller(teacher=teacher, journal=path, budget=20)
    with pytest.raises(TeacherError, match=says) as caught:
        made.run()
    assert "run() again asks only for the rest" in str(caught.value)
    rejected = made._ledger.journal.of("rejected")
    assert len(rejected) == 1  # the answer as it came
    paid = made.queries
    resumed = Teacher()
    again = distiller(teacher=resumed, journal=path, budget=20)
    again.run()
    assert resumed.points == 40 + 40 - paid
    assert again.queries == 80


def test_points_that_the_teacher_cannot_answer_are_left_out():
    def teacher(batch):
        found = truth(batch)
        found[batch[:, 0] > 1.0] = torch.nan
        return found

    made = distiller(teacher=teacher, invalid="skip", budget=60)
    made.run()
    x, _ = plane()
    bad = (x[60:][made.selected][:, 0] > 1.0).sum()
    assert bad > 0
    assert len(made.dataset()) == 20 + 120 - int(bad)
    assert made.queries == 160


def test_strategies_know_the_labelled_classes_and_where_points_lie():
    seen = []

    def look(r):
        seen.append(r)
        return STRATEGIES["rad"](r)

    x, _ = plane()
    logits = {"pool_logits": truth(x[60:]), "holdout_logits": truth(x[20:60])}
    made = distiller(strategy=look, rounds=1, **logits)
    made.run()
    first = seen[0]
    assert np.array_equal(first.labelled, made.labelled.labels)
    assert first.vectors.shape == (len(made.pool), 2)  # inputs that are vectors serve as they are
    assert first.holdout_vectors.shape == (len(made.holdout), 2)
