"""The study runs, keeps what is done, and writes its table, figure and page; its own game agrees with the package's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the study needs torch")
pytest.importorskip("sklearn", reason="the study takes its digits from scikit-learn")
pytest.importorskip("matplotlib", reason="the study draws a figure")

from benchmarks.study import figure, held, made, plan, real, report, results, scores, sorted_game, work

ROOT = Path(__file__).resolve().parents[2]


def study(tmp_path: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(ROOT)]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.study", "--jobs", "1", "--out", str(tmp_path), *arguments]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_quick_study_on_the_digits(tmp_path):
    page = tmp_path / "study.md"
    blocks = ("old", "own", "losses")
    given = ["--quick", "--sets", "digits", "--seeds", "1", "--blocks", *blocks, "--page", str(page)]
    study(tmp_path, *given)
    table, noted = results.read(tmp_path / "study.npz")
    assert len(table["seed"]) == sum(len(plan.arms(block)) for block in blocks)
    assert len(set(table["round0"])) == 1  # paired: all begin alike
    assert ((table["round3"] >= 0) & (table["round3"] <= 100)).all()
    assert table["cpu"].min() > 0
    assert noted["runs"][0]["minutes"] > 0
    assert noted["runs"][0]["processes"] == 1
    assert "by the clock with one process" in page.read_text(encoding="utf-8")
    assert (tmp_path / "study.png").stat().st_size > 1000
    assert "{{" not in page.read_text(encoding="utf-8")
    # A second run finds everything done, and a unit that is missing is run again, to the same numbers.
    kept = (tmp_path / "units.jsonl").read_text().splitlines()
    again = next(line for line in kept if json.loads(line)["key"].startswith("own"))
    (tmp_path / "units.jsonl").write_text("\n".join(line for line in kept if line != again) + "\n")
    assert study(tmp_path, *given).count("digits") >= 1
    repeated = (tmp_path / "units.jsonl").read_text().splitlines()
    assert len(repeated) == len(kept)
    accuracy = [[row[10:14] for row in json.loads(line)["rows"]] for line in (again, repeated[-1])]
    assert accuracy[0] == accuracy[1]


@pytest.mark.parametrize("block", ["early", "going on", "held", "made", "parts", "variants"])
def test_the_other_blocks_run(block):
    found, _ = work.rows(plan.Unit(block, "digits", "fair", 0, 0, "hard"))
    assert [row[8] for row in found] == [arm.strategy for arm in plan.arms(block)]
    assert all(0 <= row[13] <= 100 and 0 <= row[14] <= 100 for row in found)


def test_the_student_that_chooses_does_not_learn_the_hold_out_that_the_tested_one_learns():
    unit = plan.Unit("held", "digits", "fair", 0, 1, "hard")
    plain = {row[8]: row for row in work.rows(plan.Unit("old", "digits", "fair", 0, 1, "hard"))[0]}
    learned = {row[8].removesuffix(", hold-out learned"): row for row in work.rows(unit)[0]}
    at = [work.COLUMNS.index(name) for name in ("round0", "round1", "round3", "right")]
    for name in held.LAST:
        (first, *_, right), (first_too, *_, right_too) = ([rows[name][k] for k in at] for rows in (plain, learned))
        assert (first, right) == (first_too, right_too)  # the same points are chosen
    start, end = ([rows["uniform"][at[0]] for rows in (plain, learned)], at[1:3])
    assert start[1] > start[0]  # where nobody calibrates, it is learned from the beginning
    assert all(learned[name][k] > plain[name][k] for name in (*held.LAST, "uniform") for k in end)


def test_results_go_on_arm_by_arm(tmp_path):
    """What is done is known from the results alone; of a strategy that has changed it is forgotten."""
    units = [plan.Unit("old", "digits", "fair", seed, 0, "hard") for seed in range(2)]
    done, packed, again = tmp_path / "done.jsonl", tmp_path / "study.npz", tmp_path / "again.jsonl"
    runs = [results.conditions(2) | {"began": f"2026-11-2{day} 12:00:00"} for day in (6, 7)]
    for turn, unit in enumerate(units):
        cell = [unit.block, unit.source, unit.teacher, unit.student, unit.labels, unit.size, 10, unit.seed]
        arms = plan.arms(unit.block)
        made = [[*cell, arm.strategy, arm.loss, *np.arange(7.0) + at] for at, arm in enumerate(arms)]
        results.keep(done, unit.key, made[:5], 1.0, runs[0], 6.0 * (turn + 1))
        results.keep(done, unit.key, made[5:], 3.0, runs[1], 30.0 * (turn + 1))
    results.pack(done, packed)
    results.unpack(packed, again)
    assert results.arms_done(again) == results.arms_done(done)
    assert all(plan.lacking(unit, results.arms_done(again)[unit.key]) == set() for unit in units)
    before, noted = results.read(packed)
    assert [run["minutes"] for run in noted["runs"]] == [0.2, 1.0]
    assert [before["cpu"][before["run"] == run].sum() for run in range(2)] == pytest.approx([2.0, 6.0])
    forgotten = [arm.strategy for arm in plan.arms("old")][-2:]
    results.forget(again, forgotten)
    for unit in units:
        lacking = plan.lacking(unit, results.arms_done(again)[unit.key])
        assert {strategy for strategy, _ in lacking} == set(forgotten)
    results.pack(again, tmp_path / "fewer.npz")
    after, left = results.read(tmp_path / "fewer.npz")
    assert len(before["seed"]) - len(after["seed"]) == 4
    rest = len(plan.arms("old")) - 5
    assert after["cpu"].sum() == pytest.approx(2.0 + 6.0 * (rest - 2) / rest, abs=0.01)
    # The clock of a run of which something was forgotten says nothing of what is left.
    assert left["runs"] == [noted["runs"][0], noted["runs"][1] | {"minutes": None}]


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        ([55.2], "It took 93 CPU minutes on x86_64, 55 minutes by the clock with 2 processes."),
        ([None], "It took 93 CPU minutes on x86_64 in one run: 47 minutes for each of 2 cores that do nothing else."),
        (
            [30.0, 25.0],
            "It took 93 CPU minutes on x86_64 in 2 runs: 47 minutes for each of 2 cores that do nothing else.",
        ),
    ],
)
def test_the_page_tells_the_clock_of_one_whole_run_alone(tmp_path, minutes, said):
    done = tmp_path / "done.jsonl"
    for turn, taken in enumerate(minutes):
        run = results.conditions(2) | {"began": f"2026-11-26 1{turn}:00:00", "machine": "x86_64"}
        unit = plan.Unit("old", "digits", "fair", turn, 0, "hard")
        cell = [unit.block, unit.source, unit.teacher, unit.student, unit.labels, unit.size, 10, unit.seed]
        row = [*cell, "uniform", "plain", *np.arange(7.0)]
        results.keep(done, unit.key, [row], 60 * 93.0 / len(minutes), run, None if taken is None else 60 * taken)
    results.pack(done, tmp_path / "study.npz")
    lines = report.conditions(scores.Scores(tmp_path / "study.npz")).splitlines()
    assert lines[0] == f"- 2026-11-26: {len(minutes)} seeds. {said}"
    assert len(lines) == 2
    assert f"NumPy {np.__version__}" in lines[1]


def test_rates_of_labels_are_drawn_together_and_leave_the_point_itself_out():
    from benchmarks.study.variants import label_rates

    rng = np.random.default_rng(0)
    label = rng.integers(0, 40, 120)
    chance, without = label_rates(label, rng.random(120) < 0.7, 40)
    assert np.ptp(chance) < 0.2  # three points a label, all right alike
    right = np.where(label < 20, rng.random(120) < 0.95, rng.random(120) < 0.2)
    rate, without = label_rates(label, right, 40)
    assert rate[:20].mean() > rate[20:].mean() + 0.5
    assert (without[right] <= rate[label][right]).all()
    assert (without[~right] >= rate[label][~right]).all()


def test_the_plan_covers_every_strategy_and_begins_with_the_real_sets():
    run = {arm.strategy for block in {unit.block for unit in plan.units(3)} | {"old"} for arm in plan.arms(block)}
    assert set(plan.STRATEGIES) <= run
    keys = [unit.key for unit in plan.units(3)]
    assert len(keys) == len(set(keys))
    if real.is_there("banking77"):
        assert next(plan.units(3)).source in ("banking77", "policy-en")


@pytest.mark.skipif(not real.is_there("banking77"), reason="the real teachers' files are not in shared/data/real")
def test_the_main_strategies_have_every_budget_with_every_seed_teacher_and_student():
    asked = [unit for unit in plan.units(2) if unit.block == "main" and unit.source in scores.REAL]
    there = [pair for pair in real.TEACHERS if real.is_there(pair[0])]
    of = {("hard", "tfidf"): there, ("soft", "tfidf"): [pair for pair in real.SOFT if pair in there]}
    of |= {("hard", student): list(plan.HEADS) for student in ("minilm-linear", "minilm-128")}
    assert {(unit.labels, unit.student) for unit in asked} == set(of)
    for kind, teachers in of.items():
        these = [unit for unit in asked if (unit.labels, unit.student) == kind]
        sizes = {(unit.seed, unit.source, unit.teacher, unit.size) for unit in these}
        assert sizes == {(seed, *pair, size) for seed in range(2) for pair in teachers for size in range(3)}


def test_the_figure_has_the_means_and_the_sets_of_which_there_are_results(tmp_path):
    units = [plan.Unit("old", "digits", "fair", seed, 0, "hard") for seed in range(2)]
    done = tmp_path / "done.jsonl"
    for unit in units:
        cell = [unit.block, unit.source, unit.teacher, unit.student, unit.labels, unit.size, 10, unit.seed]
        for name in ("uniform", plan.DEFAULT, "llkd"):
            made = [[*cell, name, "plain", *np.arange(7.0)]]
            results.keep(done, unit.key, made, 1.0, results.conditions(1), 1.0)
    results.pack(done, tmp_path / "study.npz")
    s = scores.Scores(tmp_path / "study.npz")
    assert [name for name, _ in figure.places(s)] == ["mean of the older sets", "digits"]
    figure.draw(s, tmp_path / "study.png")
    assert (tmp_path / "study.png").read_bytes()[:4] == b"\x89PNG"


def test_the_game_by_sorting_is_the_packages_game():
    from rad_fast import Selector

    rng = np.random.default_rng(0)
    gain, correctness = rng.random(400), rng.beta(4, 2, 400)
    logits = np.zeros((400, 2), np.float32)
    one, budget = np.zeros(400, np.int64), np.array([30.0])
    for mistakes in (0.0, 3.0, 12.0):
        mine = sorted_game.probabilities(gain, correctness, one, budget, np.array([mistakes]))
        assert mine.sum() == pytest.approx(30.0)
        theirs = Selector(30, mistakes=mistakes / 400).fit(logits, gain=gain, correctness=correctness)
        assert mine == pytest.approx(np.asarray(theirs.probabilities), abs=1e-3)


def test_budgets_are_shared_out_by_what_is_lacked():
    assert sorted_game.shared_out(np.array([1.0, 3.0]), np.array([9.0, 9.0]), 4.0) == pytest.approx([1.0, 3.0])
    assert sorted_game.shared_out(np.array([1.0, 3.0]), np.array([9.0, 2.0]), 4.0) == pytest.approx([2.0, 2.0])
    assert sorted_game.shared_out(np.zeros(2), np.array([1.0, 3.0]), 2.0) == pytest.approx([0.5, 1.5])


def test_shrunk_shares_are_equal_where_counts_look_alike():
    alike, unlike = sorted_game.shrunk(np.array([10.0, 9, 11, 10])), sorted_game.shrunk(np.array([90.0, 5, 3, 2]))
    assert np.ptp(alike) < 0.01
    assert unlike[0] > 0.8
    assert alike.sum() == pytest.approx(1.0)


def test_the_pivotal_method_keeps_every_probability():
    rng = np.random.default_rng(0)
    q, x = rng.random(40), rng.normal(size=(40, 2)).astype(np.float32)
    q *= 12 / q.sum()
    times = np.zeros(40)
    for seed in range(1500):
        taken = sorted_game.pivotal(q, np.arange(40), x, np.random.default_rng(seed), block=16)
        assert len(taken) == 12
        times[taken] += 1
    assert (np.abs(times / 1500 - q) / np.sqrt(q * (1 - q) / 1500)).max() < 4.5


@pytest.mark.skipif(not real.is_there("banking77"), reason="the real teachers' files are not in shared/data/real")
def test_the_parts_of_a_real_problem_do_not_overlap(monkeypatch):
    places = np.arange(30_000, dtype=np.float32)[:, None]  # features that say which row they are
    monkeypatch.setattr(real, "features", lambda source, student: places)
    for source, teacher in real.TEACHERS:
        p = real.problem(source, teacher, 0)
        rows = [p.x[name][:, 0].numpy() for name in ("labelled", "holdout", "pool", "test")]
        assert len(np.unique(np.concatenate(rows))) == sum(map(len, rows)), (source, teacher)
        assert len(p.x["holdout"]) == max(2 * p.classes, 120)
        assert (np.bincount(p.y["labelled"], minlength=p.classes) == 3).all()
        assert 0.4 < p.right < 0.9


@pytest.mark.skipif(not real.is_there("policy-da"), reason="the real teachers' files are not in shared/data/real")
def test_no_student_has_learned_the_titles_that_it_is_tested_on(monkeypatch):
    """Danish titles of laws recur, up to some fifty times."""
    monkeypatch.setattr(real, "features", lambda source, student: np.arange(30_000, dtype=np.float32)[:, None])
    texts = np.array([real.words(text) for text in real.texts_of("policy-da")])
    p = real.problem("policy-da", "gpt-4o", 0)
    rows = {name: x[:, 0].numpy().astype(int) for name, x in p.x.items()}
    learned = np.concatenate([rows[name] for name in ("labelled", "holdout", "pool")])
    assert not np.isin(texts[rows["test"]], texts[learned]).any()


def test_of_texts_with_the_same_words_the_first_is_kept():
    texts = ["Lov om skov.", "lov om  Skov", "lov om skove", "LOV OM SKOV"]
    assert real.first_of_equals(texts).tolist() == [True, False, True, False]


@pytest.mark.skipif(not real.is_there("clinc150"), reason="the real teachers' files are not in shared/data/real")
def test_the_hold_out_of_a_real_problem_is_a_random_sample(monkeypatch):
    """150 equally frequent classes, two points each: a sample that lacks the labelled points' neighbours in the order
    has twice the variance."""
    monkeypatch.setattr(real, "features", lambda source, student: np.zeros((30_000, 1), np.float32))
    held = [real.problem("clinc150", "word vectors", seed).y["holdout"].bincount(minlength=150) for seed in range(5)]
    assert np.mean([float(((counts - 2.0) ** 2 / 2.0).sum() / 149) for counts in held]) == pytest.approx(1.0, abs=0.15)


@pytest.mark.skipif(not real.is_there("clinc150"), reason="the real teachers' files are not in shared/data/real")
def test_merged_classes_and_a_teacher_that_is_right_as_often_as_wanted(monkeypatch):
    monkeypatch.setattr(real, "features", lambda source, student: np.zeros((30_000, 1), np.float32))
    assert all(sum(sizes) == 150 for sizes in made.SETS.values())
    p = made.problem("6 unequal classes", "0.60, labels", 0)
    assert p.classes == 6
    assert p.right == pytest.approx(0.6, abs=0.03)
    assert p.y["test"].bincount(minlength=6)[-1] < 100
    assert len(p.said["pool"].unique()) == 2  # a label, and the same confidence everywhere
