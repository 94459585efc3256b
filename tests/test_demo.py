"""The demonstration, with fewer repetitions: it runs, it is honest about what it compares, and it draws its figure."""

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

from rad_fast import demo


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The lines, the outcomes and the directory of a run of three repetitions."""
    out = tmp_path_factory.mktemp("demo") / "new" / "directory"
    lines = []
    outcomes = demo.run(out, lines.append, seeds=3)
    return lines, outcomes, out


def test_the_table_says_what_was_measured(shown):
    lines, outcomes, _ = shown
    text = "\n".join(lines)
    results = demo.gathered(outcomes)
    for name, words in demo.STRATEGIES.items():
        line = next(line for line in lines if line.startswith(words))
        assert f"{results[name][0].mean():.2f}%" in line
        assert f"{results[name][1].mean():.1f}%" in line
    mean, half = demo.interval(results["robust"][0] - results["uniform"][0])
    assert f"{mean:+.2f} ± {half:.2f}" in text
    assert "mean of 3 repetitions" in text


def test_the_models_are_no_worse_than_they_should_be(shown):
    """Far below what these models reach on digits something would be mixed up, labels and points say."""
    for outcome in shown[1]:
        assert outcome.teacher > 85
        assert outcome.before > 80
        assert all(value > 80 for value in outcome.accuracy.values())
        assert outcome.right["robust"] > 80


def test_the_figure(shown):
    from matplotlib.image import imread

    picture = imread(shown[2] / "digits.png")
    assert picture.shape[0] > 500
    assert len(np.unique(picture[..., :3].reshape(-1, 3), axis=0)) > 50, "the figure is all but empty"
    assert [path.name for path in shown[2].iterdir()] == ["digits.png"]


def test_it_ends_with_three_lines_for_the_readers_own_logits(shown):
    code = [line.strip() for line in demo.OWN_LOGITS.splitlines() if line.startswith("    ")]
    assert len(code) == 3
    assert shown[0][-3:] == [f"    {line}" for line in code]
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(0, 3, (2, 400, 5))
    given = {
        "teacher_logits_of_labelled": teacher[:100],
        "student_logits_of_labelled": student[:100],
        "labels": np.where(rng.random(100) < 0.9, teacher[:100].argmax(axis=1), 0),
        "teacher_logits": teacher,
        "student_logits": student,
        "budget": 20,
    }
    exec("\n".join(code), given)
    assert len(given["indices"]) == 20


def test_parts_do_not_overlap():
    labels = np.random.default_rng(0).integers(0, 10, 1797)
    parts = demo.split(labels, np.random.default_rng(1))
    assert [len(part) for part in parts[:3]] == [10 * demo.LABELLED, demo.HELD_OUT, demo.TEST]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(1797))
    assert set(np.bincount(labels[parts[0]])) == {demo.LABELLED}


def test_hold_out_is_a_random_sample_of_what_is_not_labelled():
    labels = np.repeat(np.arange(10), [900] + [100] * 9)
    shares = []
    for seed in range(50):
        _, held_out, test, pool = demo.split(labels, np.random.default_rng(seed))
        shares.append(np.mean(labels[held_out] == 0) - np.mean(labels[np.concatenate([held_out, test, pool])] == 0))
    assert abs(np.mean(shares)) < 4 * np.std(shares) / np.sqrt(len(shares))


def test_from_the_command_line(tmp_path):
    command = [sys.executable, "-m", "rad_fast.cli", "demo", "--seeds", "2", "--out", "figures"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "figure: figures/digits.png" in done.stdout
    assert (tmp_path / "figures" / "digits.png").exists()


def test_one_repetition_has_no_interval(tmp_path):
    with pytest.raises(ValueError, match="seeds: expected at least 2"):
        demo.run(tmp_path, print, seeds=1)
