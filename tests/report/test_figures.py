"""The report's numbers against counting and solving anew, and its words by hand."""

from __future__ import annotations

import numpy as np
import pytest

import rad_fast
from rad_fast.game.pool import ArrayPool
from rad_fast.game.solver import on_grid, solve
from rad_fast.report import curves as of_curves
from rad_fast.report import figures as of_figures
from rad_fast.report.curves import Repeated, Sample
from rad_fast.report.figures import figures
from rad_fast.report.words import amount, rough, sentences

from .sizes import BUDGET, MISTAKES, N


def pool_of(selection):
    return ArrayPool([(selection.gain, selection.correctness)], selection._kernels)


# ------------------------------------------------------------------------------------------------- what is counted


def test_classes_are_counted_in_the_pool_and_among_the_selected(selection, drawn):
    labels, counts = np.unique(selection.labels[10:], return_counts=True)
    chosen = [int(np.count_nonzero(selection.labels[selection.indices] == label)) for label in labels]
    expected = sorted(zip(labels.tolist(), counts.tolist(), chosen, strict=True))
    assert sorted(map(tuple, drawn["classes"])) == expected
    assert [row[2] for row in drawn["classes"]] == sorted(chosen, reverse=True)
    assert drawn["other"] is None


def test_many_classes_leave_the_least_selected_together():
    logits = np.random.default_rng(0).normal(0, 3, (4000, 50))
    made = figures(rad_fast.Selector(300, mistakes=0, quotas=None).fit(logits)._drawn)
    shown, other = np.array(made["classes"]), made["other"]
    assert len(shown) == 24
    assert len(shown) + other[0] == 50
    assert shown[:, 1].sum() + other[1] == 4000
    assert shown[:, 2].sum() + other[2] == 300
    assert other[2] / other[0] <= shown[-1, 2]


def test_the_density_and_the_margins_are_histograms(selection, drawn):
    gain, correctness = (array[10:].astype(float) for array in (selection.gain, selection.correctness))
    low, counts = drawn["plane"]["low"], np.array(drawn["plane"]["pool"])
    edges = np.linspace(low, 1.0, counts.shape[0] + 1), np.linspace(0.0, 1.0, counts.shape[1] + 1)
    np.testing.assert_array_equal(counts, np.histogram2d(correctness, gain, edges)[0])
    assert counts.sum() + drawn["plane"]["below"] == drawn["counted"] == N - 10
    margin = (np.float32(1) - selection.gain).astype(float)
    for name, part in (("pool", margin[10:]), ("selected", margin[selection.indices])):
        expected = np.histogram(part, len(drawn["margin"][name]), (0.0, 1.0))[0]
        np.testing.assert_array_equal(drawn["margin"][name], expected, err_msg=name)
    dots = np.column_stack([selection.gain, selection.correctness])[selection.indices]
    np.testing.assert_allclose(drawn["plane"]["selected"], dots, atol=6e-5)


def test_inclusion_probabilities_are_all_within_the_histogram(selection, drawn):
    q, chances = selection.probabilities[10:], drawn["probability"]
    assert chances["zero"] == np.count_nonzero(q == 0)
    assert q.max() <= chances["upper"] <= 1.0
    expected = np.histogram(q[q > 0], len(chances["pool"]), (0.0, chances["upper"]))[0]
    np.testing.assert_array_equal(chances["pool"], expected)


def test_large_pools_are_drawn_from_a_sample(selection, monkeypatch):
    monkeypatch.setattr(of_figures, "COUNTED", 500)
    monkeypatch.setattr(of_figures, "DOTS", 20)
    made = figures(selection._drawn)
    assert 480 <= made["counted"] <= 500
    assert len(made["plane"]["selected"]) == 20
    assert sum(made["margin"]["selected"]) == BUDGET
    assert sum(row[1] for row in made["classes"]) == N - 10, "labels are counted in all points"


@pytest.mark.filterwarnings("ignore::rad_fast.UnreliableTeacherWarning")
@pytest.mark.parametrize(
    ("budget", "mistakes"), [(150, 0), (150, 40), (600, 3), (2900, 40), (2990, 0), (40, 1500), (2500, 2000)]
)
def test_the_expected_gain_is_that_of_the_inclusion_probabilities(logits, budget, mistakes):
    made = rad_fast.Selector(budget, mistakes=mistakes, quotas=None).fit(logits, exclude=np.arange(10))
    advantage = 2.0 * made.correctness.astype(float) - 1.0
    expected = np.nansum(made.probabilities * advantage * made.gain)
    assert of_figures.expected(made._drawn) == pytest.approx(expected, rel=1e-9, abs=1e-9)


# ------------------------------------------------------------------------------------------------------- the curves


def test_every_point_of_the_curves_is_a_solved_game(selection, drawn):
    curves, pool = drawn["curves"], pool_of(selection)
    assert curves["points"] == N - 10
    assert curves["mistakes"][0] == 0
    assert curves["mistakes"][-1] == 2 * MISTAKES
    assert curves["value"][curves["mistakes"].index(MISTAKES)] == selection.value
    assert curves["budget_value"][curves["budgets"].index(BUDGET)] == selection.value
    assert (curves["budgets"][0], curves["budget_value"][0]) == (0, 0.0)
    for mistakes, value in zip(curves["mistakes"], curves["value"], strict=True):
        assert value == solve(pool, BUDGET, on_grid(mistakes)).value, mistakes
    for budget, value in zip(curves["budgets"][1:], curves["budget_value"][1:], strict=True):
        assert value == solve(pool, budget, MISTAKES).value, budget
    assert np.all(np.diff(curves["value"]) < 0)


def test_the_highest_effective_gains_are_worth_less_at_worst(selection, drawn):
    """Without mistakes they are the game's choice, with some they are worth no more; the adversary's part by hand."""
    curves = drawn["curves"]
    assert curves["greedy"][0] == pytest.approx(curves["value"][0], rel=1e-12)
    assert np.all(np.array(curves["greedy"]) <= np.array(curves["value"]) + 1e-9)
    gain, correctness = selection.gain[10:].astype(float), selection.correctness[10:].astype(float)
    best = np.argsort(-(2.0 * correctness - 1.0) * gain, kind="stable")[:BUDGET]
    left, worst = float(MISTAKES), float(((2.0 * correctness - 1.0) * gain)[best].sum())
    for i in sorted(best, key=lambda i: -gain[i]):
        spent = min(left, correctness[i])
        worst, left = worst - 2.0 * spent * gain[i], left - spent
    assert curves["greedy"][curves["mistakes"].index(MISTAKES)] == pytest.approx(worst, rel=1e-6)


@pytest.mark.parametrize("mistakes", [0.0, 5.0, 40.0, 90.0])
def test_labels_stop_paying_at_the_budget_of_the_highest_value(mistakes):
    logits = np.random.default_rng(2).normal(0, 3, (400, 5))
    made = rad_fast.Selector(20, mistakes=0).fit(logits)
    values = [solve(pool_of(made), budget, mistakes).value for budget in range(1, 401)]
    sample = Sample(made.gain, made.correctness, made._kernels, 400)
    assert abs(sample.stops_paying(mistakes) - (1 + int(np.argmax(values)))) <= 1
    assert solve(pool_of(made), sample.stops_paying(mistakes), mistakes).value == pytest.approx(max(values), rel=1e-3)


def test_no_budget_pays_where_nearly_every_label_may_be_wrong():
    made = rad_fast.Selector(20, mistakes=0).fit(np.random.default_rng(2).normal(0, 3, (400, 5)))
    assert Sample(made.gain, made.correctness, made._kernels, 400).stops_paying(300.0) == 0


@pytest.mark.parametrize("direct", [10_000, 50])  # solved at once, and by way of samples and boxes
def test_a_repeated_pool_is_a_pool_of_repeated_points(logits, selection, monkeypatch, direct):
    monkeypatch.setattr("rad_fast.game.solver.DIRECT", direct)
    gain, correctness = selection.gain[10:310], selection.correctness[10:310]
    few = ArrayPool([(gain, correctness)], selection._kernels)
    many = ArrayPool([(np.repeat(gain, 7), np.repeat(correctness, 7))], selection._kernels)
    for budget, mistakes in [(150, 40.0), (1000, 0.0), (1900, 20.0)]:
        assert solve(Repeated(few, 7), budget, mistakes) == solve(many, budget, mistakes)


def test_curves_of_a_sample_are_close_to_those_of_all_points(selection, drawn, monkeypatch):
    monkeypatch.setattr(of_curves, "SOLVED", 1500)
    made = figures(selection._drawn)["curves"]
    assert made["points"] < N - 10
    assert made["mistakes"] == drawn["curves"]["mistakes"]
    top = drawn["curves"]["value"][0]
    np.testing.assert_allclose(made["value"], drawn["curves"]["value"], atol=0.05 * top)
    assert made["value"][made["mistakes"].index(MISTAKES)] == selection.value
    assert made["stops_paying"] == pytest.approx(drawn["curves"]["stops_paying"], rel=0.05)


# ------------------------------------------------------------------------------------- the curves of games by class


@pytest.fixture(scope="module")
def by_class(logits):
    return rad_fast.Selector(BUDGET, mistakes=MISTAKES, quotas=[1.0, 2, 3, 4, 5, 0]).fit(logits, exclude=np.arange(10))


def test_every_point_of_the_curves_is_a_selection_with_quotas(logits, by_class):
    curves = figures(by_class._drawn)["curves"]
    assert curves["points"] == N - 10
    assert curves["value"][curves["mistakes"].index(MISTAKES)] == by_class.value
    assert curves["budget_value"][curves["budgets"].index(BUDGET)] == by_class.value
    settings = {"quotas": [1.0, 2, 3, 4, 5, 0]}
    for mistakes, value in zip(curves["mistakes"], curves["value"], strict=True):
        mine = rad_fast.Selector(BUDGET, mistakes=mistakes, **settings).fit(logits, exclude=np.arange(10))
        assert value == pytest.approx(mine.value, rel=1e-12), mistakes
    for budget, value in zip(curves["budgets"][1:], curves["budget_value"][1:], strict=True):
        mine = rad_fast.Selector(budget, mistakes=MISTAKES, **settings).fit(logits, exclude=np.arange(10))
        assert value == pytest.approx(mine.value, rel=1e-12), budget
    assert np.all(np.array(curves["greedy"]) <= np.array(curves["value"]) + 1e-9)
    assert curves["greedy"][0] == pytest.approx(curves["value"][0], rel=1e-12)


def test_labels_stop_paying_at_the_highest_value_with_quotas(by_class):
    games = of_curves.ClassSamples(by_class._points, by_class._shares, by_class._kernels)
    values = [games.value(budget, MISTAKES) for budget in range(1, N - 10, 13)]
    assert games.value(games.stops_paying(MISTAKES), MISTAKES) >= max(values) * (1 - 1e-3)
    assert games.stops_paying(float(N)) == 0, "no budget pays where every label may be wrong"


def test_curves_with_quotas_of_a_sample_are_close_to_those_of_all_points(by_class, monkeypatch):
    whole = figures(by_class._drawn)["curves"]
    monkeypatch.setattr(of_curves, "SOLVED", 1500)
    made = figures(by_class._drawn)["curves"]
    assert made["points"] <= 1500
    np.testing.assert_allclose(made["value"], whole["value"], atol=0.05 * whole["value"][0])


def test_a_selection_with_quotas_is_told_with_its_curves(by_class, monkeypatch):
    said = "; ".join(sentences(by_class.report(), figures(by_class._drawn)))
    assert "points of highest effective gain of each class would bring" in said
    assert "more labels stop paying off at about" in said
    monkeypatch.setattr(of_figures, "MOST_GAMES", 4)
    assert figures(by_class._drawn)["curves"] is None, "too many games to play them again and again"


# ------------------------------------------------------------------------------------------------ the calibration


def test_the_calibration_curve_has_every_labelled_point_and_wilsons_intervals(calibrator):
    stats = pytest.importorskip("scipy.stats")
    curve = calibrator.curve()
    assert curve.points.sum() == 400
    assert np.all(np.diff(curve.predicted) > 0)
    assert (curve.points * curve.right).sum() == pytest.approx(400 * (1 - calibrator.error_))
    for right, low, high, points in zip(*curve[1:], strict=True):
        interval = stats.binomtest(round(right * points), int(points)).proportion_ci(0.95, "wilson")
        assert (low, high) == pytest.approx((interval.low, interval.high), abs=1e-12)


def test_the_calibration_curve_is_of_points_that_the_prediction_did_not_see():
    """Where the margin says nothing, isotonic regression finds steps all the same, and on its own points they fit."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(300, 4))
    labels = np.where(rng.random(300) < 0.7, logits.argmax(1), (logits.argmax(1) + 1) % 4)
    calibrator = rad_fast.Calibrator().fit(logits, labels)
    seen = calibrator.predict(logits)
    right = logits.argmax(1) == labels
    for level in np.unique(seen):  # of 300 labelled points none makes a label certain, or certainly wrong
        share = np.clip(right[seen == level].mean(), 0.5 / 301, 300.5 / 301)
        assert share == pytest.approx(level, abs=1e-6)
    curve = calibrator.curve()
    assert np.abs(curve.right - curve.predicted).max() > 0.02


@pytest.mark.parametrize("labelled", [1, 2, 7])
@pytest.mark.parametrize("both", [False, True])
def test_few_labelled_points_still_have_a_curve(labelled, both):
    logits = np.random.default_rng(3).normal(size=(labelled, 3))
    labels = np.arange(labelled) % 3
    curve = rad_fast.Calibrator().fit(logits, labels, logits[:, ::-1] if both else None).curve()
    assert curve.points.sum() == labelled
    assert np.all((curve.low <= curve.right) & (curve.right <= curve.high))


def test_a_selection_by_a_calibrator_has_its_curve(logits, calibrator):
    made = rad_fast.Selector(BUDGET, quotas=None).fit(logits, correctness=calibrator)
    kept = figures(made._drawn)["calibration"]
    assert made.calibrator.rule_ == calibrator.rule_
    assert kept["labelled"] == 400
    assert kept["right"] == calibrator.curve().right.tolist()


# ------------------------------------------------------------------------------------------------------- the words


VALUE = "12,346 on average (0.2058 per label)"
NUMBERS = {
    "points": 10_000_000,
    "excluded": 300,
    "invalid": 0,
    "budget": 60_000,
    "mistakes": 50_000.0,
    "value": 12_345.678,
    "value_per_query": 0.2057613,
    "threshold": 0.2011,
    "worth_querying": 412_000,
    "selected_mean_gain": 0.75,
    "selected_mean_correctness": 0.9,
    "selected_labels": {"0": 59_999, "3": 1},
}
FIGURES = {
    "calibration": {"labelled": 1200, "error": 0.0567},
    "expected": 15_000.4,
    "curves": {
        "points": 9_999_700,
        "mistakes": [0.0, 50_000.0, 100_000.0],
        "greedy": [20_000.0, -4_321.0, -9_000.0],
        "stops_paying": 398_765,
    },
}


def test_the_numbers_in_words():
    greedy = "the 60,000 points of highest effective gain would bring 20,000, but only -4,321 at worst"
    assert sentences(NUMBERS, FIGURES) == [
        "60,000 of 10,000,000 points selected (300 left out: 300 excluded, 0 invalid)",
        "412,000 points are worth a query: their effective gain exceeds 0.2011",
        "selected: mean gain 0.750, mean correctness 0.900, 2 different labels",
        f"even if 50,000 more labels are wrong than expected, the gain is at least {VALUE}",
        f"with no more wrong labels than expected, it is 15,000; {greedy}",
        "one more label adds 0.2011; more labels stop paying off at about 399,000",
        "the teacher was wrong on 5.67% of 1,200 labelled points",
    ]


def test_words_say_what_is_a_sample_and_what_does_not_pay():
    sampled = {**FIGURES, "calibration": None, "curves": {**FIGURES["curves"], "points": 100_000}}
    assert "would bring about 20,000, but only about -4,320 at worst" in sentences(NUMBERS, sampled)[4]
    late = sentences({**NUMBERS, "threshold": -0.1}, FIGURES)[5]
    assert late == "more labels stop paying off at about 399,000: with 60,000 the value is lower"
    hopeless = {**FIGURES, "curves": {**FIGURES["curves"], "stops_paying": 0}}
    lines = sentences({**NUMBERS, "threshold": -0.1, "value": -1.0}, hopeless)
    assert lines[5] == "with that many mistakes, no number of labels pays off"
    assert "nothing is promised" in lines[-1]
    without = sentences(NUMBERS, {**FIGURES, "curves": None})
    assert without[4] == "with no more wrong labels than expected, it is 15,000"


@pytest.mark.parametrize(
    ("number", "text"), [(1234.567, "1,235"), (0.012345, "0.01235"), (999.94, "999.9"), (-2e7, "-20,000,000"), (0, "0")]
)
def test_amounts(number, text):
    assert amount(number) == text


def test_rough_amounts_have_three_digits():
    assert [rough(number) for number in (3_799_640, 0.0123456, 0, -22_801.6)] == [
        *("about 3,800,000", "about 0.0123", "about 0", "about -22,800")
    ]
