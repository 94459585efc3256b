"""What a selection says of itself: probabilities, weights, value, words and picture."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

import rad_fast
from rad_fast.report.words import amount

N, C, BUDGET = 3000, 6, 150


@pytest.fixture(scope="module")
def logits():
    return np.random.default_rng(5).normal(0, 4, size=(N, C)).astype(np.float32)


@pytest.fixture(scope="module")
def selection(logits):
    return rad_fast.Selector(BUDGET, quotas=None).fit(logits, exclude=np.arange(10))


def test_probabilities_are_within_0_and_1_and_sum_to_the_budget(selection):
    q = selection.probabilities
    assert q.shape == (N,)
    assert q.min() >= 0.0
    assert q.max() <= 1.0
    assert q.sum() == pytest.approx(BUDGET, rel=1e-12)
    assert np.all(q[:10] == 0.0), "excluded points cannot be taken"


def test_weights_are_the_inverse_probabilities_of_the_selected(selection):
    np.testing.assert_array_equal(selection.weights, 1.0 / selection.probabilities[selection.indices])


def test_weighted_sums_estimate_the_sum_over_the_points_that_can_be_selected(logits):
    """Horvitz and Thompson: over all seeds the weighted count is the number of points with q > 0, on average."""
    estimates, seeds = [], 400
    for seed in range(seeds):
        chosen = rad_fast.Selector(BUDGET, seed=seed).fit(logits)
        estimates.append(float((chosen.weights * chosen.gain[chosen.indices]).sum()))
    truth = float(chosen.gain[chosen.probabilities > 0].sum(dtype=np.float64))
    error = np.std(estimates) / np.sqrt(seeds)
    assert abs(np.mean(estimates) - truth) < 4 * error, f"{np.mean(estimates)} and {truth}, standard error {error}"


def test_the_report_is_json_and_agrees_with_the_selection(selection):
    report = json.loads(json.dumps(selection.report()))
    assert report["points"] == N
    assert report["excluded"] == 10
    assert report["invalid"] == 0
    assert report["budget"] == len(selection.indices) == BUDGET
    assert sum(report["selected_labels"].values()) == BUDGET
    d = (2.0 * selection.correctness.astype(float) - 1.0) * selection.gain
    assert report["worth_querying"] == np.count_nonzero(d > selection.threshold)


def test_the_summary_has_the_numbers_in_words(selection):
    text = selection.summary()
    for fragment in ["150 of 3,000 points", "10 left out", "worth a query", amount(selection.value)]:
        assert fragment in text, text


def test_a_value_below_zero_warns_and_still_selects(logits):
    with pytest.warns(rad_fast.UnreliableTeacherWarning, match="the value of the game is -.*smaller budget"):
        chosen = rad_fast.Selector(BUDGET, mistakes=N).fit(logits)
    assert len(chosen.indices) == BUDGET
    assert "nothing is promised" in chosen.summary()


def test_the_warning_points_at_the_callers_line(logits):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rad_fast.select(logits, BUDGET, mistakes=N)
        rad_fast.Selector(BUDGET, mistakes=N).fit(logits)
        rad_fast.Selector(BUDGET, mistakes=N).partial_fit(logits).finalize()
    assert [warning.filename for warning in caught] == [__file__] * 3


def test_the_plot_draws_every_figure_of_the_report(selection):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    before = selection.gain.copy()
    figure = selection.plot()
    titles = [panel.get_title(loc="left") for panel in figure.axes]
    assert titles[:3] == ["Gain and correctness", "Margin", "Inclusion probability"]
    assert len(titles) == 6, "no calibration: there was no Calibrator"
    figure.canvas.draw()
    np.testing.assert_array_equal(selection.gain, before)
    pyplot.close(figure)


def test_the_plot_draws_points_thresholds_and_selection_into_given_axes(selection):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figure, axes = pyplot.subplots()
    assert selection.plot(axes) is figure
    assert "gain" in axes.get_xlabel()
    assert "correctness" in axes.get_ylabel()
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert any("worth a query" in label for label in labels)
    dots = axes.collections[0].get_offsets()
    np.testing.assert_allclose(dots[:, 0], selection.gain[selection.indices], atol=1e-4)
    figure.canvas.draw()
    pyplot.close(figure)


def test_arrays_are_of_the_library_of_the_logits(logits):
    torch = pytest.importorskip("torch")
    chosen = rad_fast.Selector(BUDGET).fit(torch.from_numpy(logits))
    plain = rad_fast.Selector(BUDGET).fit(logits)
    for name in ["indices", "gain", "correctness", "labels", "weights", "probabilities"]:
        array = getattr(chosen, name)
        assert isinstance(array, torch.Tensor), name
        np.testing.assert_array_equal(array.numpy(), getattr(plain, name), err_msg=name)
    assert chosen.indices.dtype == torch.int64


def test_a_selector_can_be_used_again(logits):
    selector = rad_fast.Selector(0.05)
    first = selector.fit(logits)
    second = selector.fit(logits[:1000])
    assert (first.budget, second.budget) == (150, 50)
    np.testing.assert_array_equal(selector.fit(logits).indices, first.indices)
    np.testing.assert_array_equal(selector.finalize().indices, first.indices)


# --------------------------------------------------------------------------------------------- kept, and shown


def test_a_saved_selection_comes_back_with_all_that_it_said(logits, tmp_path):
    labels = np.where(np.arange(400) % 10 == 0, 0, logits[:400].argmax(1))
    calibrator = rad_fast.Calibrator().fit(logits[:400], labels, logits[:400] / 2)
    chosen = rad_fast.Selector(BUDGET, seed=3).fit(logits, student_logits=logits / 2, correctness=calibrator)
    path = tmp_path / "chosen.npz"
    chosen.save(path)
    back = rad_fast.Selection.load(path)
    for name in ["indices", "gain", "correctness", "labels", "weights", "probabilities"]:
        np.testing.assert_array_equal(getattr(back, name), getattr(chosen, name), err_msg=name)
    assert back.report() == chosen.report()
    assert back._figures == chosen._figures
    np.testing.assert_array_equal(back.calibrator.predict(logits, logits / 2), calibrator.predict(logits, logits / 2))


def test_a_torch_selection_is_loaded_as_numpy(logits, tmp_path):
    torch = pytest.importorskip("torch")
    chosen = rad_fast.Selector(BUDGET).fit(torch.from_numpy(logits))
    chosen.save(tmp_path / "chosen.npz")
    back = rad_fast.Selection.load(tmp_path / "chosen.npz")
    assert isinstance(back.indices, np.ndarray)
    np.testing.assert_array_equal(back.indices, chosen.indices.numpy())


@pytest.mark.parametrize("suffix", [".npy", ".csv", ".parquet", ".json", ".html", ".png"])
def test_a_name_that_promises_another_kind_of_file_is_refused(logits, tmp_path, suffix):
    with pytest.raises(ValueError, match=r"path: expected a name such as selection\.npz, got .*; .*selection"):
        rad_fast.Selector(5).fit(logits).save(tmp_path / f"picks{suffix}")
    assert not list(tmp_path.iterdir())


def test_what_is_no_selection_is_not_loaded(tmp_path):
    np.save(tmp_path / "other.npy", np.arange(3))
    with pytest.raises(ValueError, match=r"other\.npy: expected a file that Selection\.save wrote"):
        rad_fast.Selection.load(tmp_path / "other.npy")


def test_a_selection_shows_itself_in_one_line_and_as_a_small_table(selection):
    assert repr(selection) == f"Selection(150 of 3,000 points, value {amount(selection.value)}, mistakes 59.8, seed 0)"
    page = selection._repr_html_()
    assert "150 of 3,000 points, 10 left out" in page
    assert amount(selection.value) in page
    assert len(page) < 3000
