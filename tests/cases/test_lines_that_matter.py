"""Lines that could be changed without a test's notice once: each has its case."""

from __future__ import annotations

import numpy as np
import pytest

import rad_fast


def test_a_value_of_exactly_0_is_no_promise():
    logits = np.random.default_rng(0).normal(0, 3, (50, 4))
    with pytest.warns(rad_fast.UnreliableTeacherWarning, match="the value of the game is 0"):
        selection = rad_fast.Selector(5, mistakes=0).fit(logits, correctness=np.full(50, 0.5))
    assert selection.value == 0.0


def test_a_step_lies_halfway_between_the_margins_beside_it():
    from rad_fast.calibration.calibrator import steps

    rule = steps(np.array([0.25, 0.25, 0.75, 0.75]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert rule.steps == (0.5,)
    assert rule.levels == (0.0, 1.0)


@pytest.mark.parametrize("below", [0.5, float(np.nextafter(np.float32(0.5), np.float32(1)))])
def test_between_neighbouring_numbers_the_step_is_at_the_upper_one(below):
    """Halfway would be rounded to one of them, and at the lower one both would be above the step."""
    from rad_fast.calibration.calibrator import steps

    above = float(np.nextafter(np.float32(below), np.float32(1)))
    assert steps(np.array([below, above]), np.array([0.0, 1.0])).steps == (above,)


torch = pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from rad_fast.distill import ActiveDistiller, DebiasingWeights, Fit, MixingEstimator, Round  # noqa: E402
from rad_fast.distill.strategies import STRATEGIES  # noqa: E402
from rad_fast.distill.strategies.scores import in_proportion  # noqa: E402


@pytest.mark.parametrize(
    ("within", "k"), [((94, 1, 3, 2), 2), ((50, 44, 1, 5), 3), ((50, 44, 0, 6), 4), ((100, 0, 0, 0), 2)]
)
def test_slam_looks_at_as_few_classes_as_hold_95_in_100_true_ones(within, k):
    """``within``: of how many points the true class is the teacher's first, second, third and fourth."""
    teacher = torch.tensor([4.0, 3.0, 2.0, 1.0]).repeat(100, 1)
    labels = torch.repeat_interleave(torch.arange(4), torch.tensor(within))
    assert MixingEstimator().fit(teacher, labels).k_ == k


def test_a_label_that_costs_nothing_weighs_as_much_as_any():
    """Where the losses of the true label and of the teacher's are both 0 the weight is 1, not 0 / 0."""
    student = torch.tensor([[200.0, 0.0], [0.0, 1.0]])
    weights = DebiasingWeights().fit(student, student, torch.tensor([0, 1]))
    assert weights.weights_.tolist() == [1.0, 1.0]


def test_a_round_s_selector_has_the_round_s_seed_and_a_share_below_all():
    seen = Round(budget=2, available=np.ones(9, bool), student_logits=np.zeros((9, 2), np.float32), seed=3, number=2)
    assert seen.selector().seed == 3 * 1009 + 2
    assert seen.selector().mistakes is None
    assert seen.selector(3.0, 12).mistakes == 0.25
    assert seen.selector(12.0, 12).mistakes == 1 - 2.0**-24  # 1 would be a count
    assert seen.selector(99.0, 12).mistakes == 1 - 2.0**-24


@pytest.mark.parametrize(("left", "looked_at"), [(200, 50), (60, 30), (8, 5)])
def test_cluster_margin_looks_at_ten_times_the_budget_but_half_of_those_left(left, looked_at):
    margins = np.linspace(0.0, 3.0, left, dtype=np.float32)
    logits = np.stack([margins, np.zeros_like(margins)], 1)
    features = np.random.default_rng(0).normal(size=(left, 3)).astype(np.float32)
    seen = set()
    for seed in range(60):
        chosen = STRATEGIES["cluster-margin"](
            Round(budget=5, available=np.ones(left, bool), student_logits=logits, features=features, seed=seed)
        ).indices
        assert chosen.max() < looked_at
        seen |= set(chosen.tolist())
    assert max(seen) >= 0.8 * looked_at - 1


def test_as_many_points_worth_anything_as_the_budget_are_all_taken():
    worth, available = np.array([0.5, 0.0, 0.2, 0.0, 0.0]), np.array([1, 1, 1, 1, 0], bool)
    assert in_proportion(worth, available, 2).tolist() == [1.0, 0.0, 1.0, 0.0, 0.0]
    assert in_proportion(worth, available, 3).tolist() == [1.0, 0.5, 1.0, 0.5, 0.0]
    assert in_proportion(worth, available, 1) == pytest.approx([5 / 7, 0, 2 / 7, 0, 0])


def test_mixed_points_are_asked_for_though_the_pool_s_logits_are_known():
    """What the teacher says of a mixture is not what it says of one of the two."""
    x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long()
    seen: list[torch.Tensor] = []

    def teacher(batch: torch.Tensor) -> torch.Tensor:
        seen.append(batch)
        return torch.stack([-batch[:, 0], batch[:, 0]], 1)

    torch.manual_seed(0)
    made = ActiveDistiller(
        torch.nn.Linear(2, 2),
        teacher,
        (x[:10], y[:10]),
        x[20:],
        holdout=(x[10:20], y[10:20]),
        budget=9,
        pool_logits=teacher(x[20:]),
        holdout_logits=teacher(x[10:20]),
        strategy="unixkd",
        labels="soft",
        train=Fit(epochs=1),
        progress=False,
    )
    seen.clear()
    made.run()
    (mixed,) = seen
    assert len(mixed) == made.queries == 3  # the least uncertain third
    data = made.dataset()
    for at in range(10, 19):
        given, target, _ = data[at]
        assert torch.allclose(target, torch.stack([-given[0], given[0]]).softmax(0))
