"""What a run has written down, read as what it means: choices, answers, weights, targets, and the kept student."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from torch import nn  # noqa: E402

from rad_fast.distill import Choice  # noqa: E402
from rad_fast.distill.ledger import Ledger, bar, nothing  # noqa: E402
from rad_fast.distill.pairs import Mixed, Pairs  # noqa: E402

POOL = torch.arange(10.0)[:, None].repeat(1, 2)
LOGITS = np.random.default_rng(0).normal(0, 3, (10, 3)).astype(np.float32)
RUN = {"pool": 10, "holdout": 4, "classes": 3, "seed": 1}


def ledger(path: Path | None = None, pool_logits: Any = None, **others: Any) -> Ledger:
    return Ledger(path, {**RUN, **others}, Mixed(POOL), pool_logits)


def choice(*points: int, **others: Any) -> Choice:
    return Choice(np.array(points, np.int64), **others)


def labelled() -> Pairs:
    return Pairs("labelled", (torch.full((3, 2), 50.0), torch.tensor([2, 0, 1])), 3)


@pytest.fixture
def run() -> Ledger:
    """Two rounds of three and two points; the teacher has no answer to point 7."""
    made = ledger()
    made.choose(0, choice(4, 7, 1, value=0.5), seconds=2.0)
    made.answers.keep(np.array([1, 4]), LOGITS[[1, 4]])
    made.answers.skip(np.array([7]))
    made.of_holdout.keep(np.arange(4), LOGITS[:4])
    made.choose(1, choice(0, 9), seconds=1.0)
    return made


def test_choices_are_read_in_their_order(run):
    assert run.selected.tolist() == [4, 7, 1, 0, 9]
    assert run.selected.dtype == np.int64
    assert [run.points(at).tolist() for at in (0, 1, -1)] == [[4, 7, 1], [0, 9], [0, 9]]
    assert run.answered(0).tolist() == [4, 1]
    assert run.answered(1).tolist() == []
    assert run.queries == 2 + 1 + 4
    first, second = run.choices
    assert (first["round"], first["value"], first["seconds"]) == (0, 0.5, 2.0)
    assert second["round"] == 1
    empty = ledger()
    assert empty.selected.tolist() == []
    assert empty.selected.dtype == np.int64
    assert empty.queries == 0


def test_the_data_are_the_labelled_points_and_what_was_answered_in_so_many_rounds(run):
    run.weigh(0, np.array([0.25, 0.75], np.float32))
    run.answers.keep(np.array([0, 9]), LOGITS[[0, 9]])
    for rounds, inputs in ((0, []), (1, [4.0, 1.0]), (2, [4.0, 1.0, 0.0, 9.0])):
        found = [run.dataset(labelled(), rounds, 3, "soft", 2.0)[at] for at in range(3 + len(inputs))]
        assert len(run.dataset(labelled(), rounds, 3, "soft", 2.0)) == 3 + len(inputs)
        assert [item[0].tolist() for item in found] == [[50.0, 50.0]] * 3 + [[x, x] for x in inputs]
        assert torch.stack([item[1] for item in found])[:3].tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
        assert [float(item[2]) for item in found] == [1.0, 1.0, 1.0, *([0.25, 0.75, 1.0, 1.0][: len(inputs)])]
        for place, (_, target, _) in zip(inputs, found[3:], strict=True):
            np.testing.assert_allclose(target, torch.softmax(torch.tensor(LOGITS[int(place)]) / 2.0, 0), atol=1e-6)
    hard = run.dataset(labelled(), 2, 3, "hard", 2.0)
    assert [int(hard[at][1].argmax()) for at in (3, 4, 5, 6)] == LOGITS[[4, 1, 0, 9]].argmax(1).tolist()
    assert all(float(hard[at][1].max()) == 1.0 for at in range(7))


def test_a_round_of_which_nothing_was_answered_adds_nothing(run):
    """The next one's points and weights are still its own."""
    assert len(run.dataset(labelled(), 2, 3, "soft", 1.0)) == 3 + 2
    run.choose(2, choice(5), seconds=0.0)
    run.answers.keep(np.array([5]), LOGITS[[5]])
    data = run.dataset(labelled(), 3, 3, "soft", 1.0)
    assert [data[at][0].tolist() for at in (3, 4, 5)] == [[4.0, 4.0], [1.0, 1.0], [5.0, 5.0]]
    assert run.weights(1) is None
    assert run.weights(0) is None
    run.weigh(0, np.array([1.0, 2.0], np.float32))
    run.weigh(1, np.array([3.0], np.float32))
    assert run.weights(0).tolist() == [1.0, 2.0]
    assert run.weights(1).tolist() == [3.0]
    assert run.weights(2) is None


def test_logits_that_are_given_are_known_once_their_points_are_chosen():
    made = ledger(pool_logits=LOGITS)
    assert not made.answers.known.any()
    mixing = {"partners": np.array([5, 6]), "shares": np.array([0.0, 0.25])}
    made.choose(0, choice(2, 3, **mixing), seconds=0.0)
    assert made.answered(0).tolist() == [2]  # what the teacher says of a mixture, nobody knows
    np.testing.assert_array_equal(made.answers.logits[2], LOGITS[2])
    assert np.isnan(made.answers.logits[3]).all()
    assert made.pool[2].tolist() == [2.0, 2.0]
    assert made.pool[3].tolist() == [0.75 * 3 + 0.25 * 6] * 2
    assert made.queries == 0


def test_all_of_it_is_there_again_when_the_journal_is_read(tmp_path):
    first = ledger(tmp_path / "journal", LOGITS)
    first.journal.release()
    with first.journal.held():
        first.choose(0, choice(8, 2, partners=np.array([1, 1]), shares=np.array([0.5, 0.0])), seconds=0.0)
        first.weigh(0, np.array([2.0], np.float32))
        first.of_holdout.skip(np.array([3]))
    again = ledger(tmp_path / "journal", LOGITS)
    again.journal.release()
    assert again.selected.tolist() == [8, 2]
    assert again.answered(0).tolist() == [2]
    assert again.pool[8].tolist() == [4.5, 4.5]
    assert again.weights(0).tolist() == [2.0]
    assert again.of_holdout.skipped.tolist() == [False, False, False, True]
    assert again.of_holdout.logits.shape == (4, 3)
    assert not again.answers.skipped.any()
    assert again.queries == 1


def test_a_journal_that_is_refused_is_free_for_others(tmp_path):
    ledger(tmp_path / "journal").journal.release()
    with pytest.raises(ValueError, match="its seed is 1, here it is 2"):
        ledger(tmp_path / "journal", seed=2)
    ledger(tmp_path / "journal").journal.release()


# ------------------------------------------------------------------------------------------------------------ student


def trained(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Linear(2, 3)


@pytest.fixture
def kept(tmp_path) -> Ledger:
    """A run whose student of round 2 is kept."""
    made = ledger(tmp_path / "journal")
    made.journal.release()
    made.keep_student(trained(5), {"number": 2, "seconds": 1.5})
    return made


@pytest.mark.parametrize("rounds", [2, 3])
def test_a_kept_student_comes_back_with_its_report(kept, rounds):
    """Killed before or after the journal said that its round is done."""
    asked = trained(0)
    before = copy.deepcopy(asked.state_dict())
    student, report = kept.kept_student(asked, rounds)
    assert report == {"number": 2, "seconds": 1.5}
    assert torch.equal(student.weight, trained(5).weight)
    assert torch.equal(asked.weight, before["weight"])  # the one given is left as it was
    assert student is not asked


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_of_whichever_round_it_is(kept, number):
    kept.keep_student(trained(number), {"number": number})
    for rounds in (number, number + 1):
        found = kept.kept_student(trained(9), rounds)
        assert torch.equal(found[0].weight, trained(number).weight)


@pytest.mark.parametrize("rounds", [0, 1, 4])
def test_a_student_of_another_round_is_not_used_and_that_is_said(kept, rounds):
    with pytest.warns(
        UserWarning, match=rf"student is not used \(it is of round 2, and the journal has {rounds} rounds"
    ):
        assert kept.kept_student(trained(0), rounds) is None


def test_nor_is_one_of_another_run_or_another_shape(kept, tmp_path):
    with pytest.warns(UserWarning, match=r"(?s)not used \(RuntimeError: .*size mismatch"):
        assert kept.kept_student(nn.Linear(3, 3), 2) is None
    other = ledger(tmp_path / "other")
    other.journal.release()
    (tmp_path / "journal.student").rename(tmp_path / "other.student")
    with pytest.warns(
        UserWarning, match=r"other\.student is not used \(it is of another run\); the student is trained"
    ):
        assert other.kept_student(trained(0), 2) is None
    assert kept.kept_student(trained(0), 2) is None  # there is none, and nothing to say


@pytest.mark.parametrize("run", ["", "zz", None])
def test_a_student_is_of_another_run_whichever_of_the_two_comes_first(kept, tmp_path, run):
    path = tmp_path / "journal.student"
    torch.save({**torch.load(path, weights_only=True), "run": run}, path)
    with pytest.warns(UserWarning, match=r"student is not used \(it is of another run\)"):
        assert kept.kept_student(trained(0), 2) is None


def test_what_is_no_module_is_not_kept_and_neither_is_anything_without_a_journal(tmp_path):
    made = ledger(tmp_path / "journal")
    made.journal.release()
    made.keep_student(object(), {"number": 0})
    assert [path.name for path in tmp_path.iterdir()] == ["journal"]
    made.keep_student(trained(0), {"number": 0})
    assert {path.name for path in tmp_path.iterdir()} == {"journal", "journal.student"}
    assert made.kept_student(object(), 0) is None
    memory = ledger()
    memory.keep_student(trained(0), {"number": 0})
    assert memory.kept_student(trained(0), 0) is None


def test_nothing_in_a_kept_student_s_file_is_run(kept, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    torch.save({"run": kept.journal.id, "report": {"number": 2}, "weights": Bomb()}, tmp_path / "journal.student")
    with pytest.warns(UserWarning, match="is not used"):
        assert kept.kept_student(trained(0), 2) is None
    assert not (tmp_path / "exploded").exists()


# ---------------------------------------------------------------------------------------------------------------- bar


def test_a_bar_moves_on_where_it_is_shown(capsys):
    pytest.importorskip("tqdm", reason="tqdm draws the bar")
    for stays in ((), (False,), (True,)):
        with bar("asking", 12, True, *stays) as step:
            step(5)
            step(7)
        drawn = capsys.readouterr().err
        assert "asking" in drawn
        assert ("12/12" in drawn) == (stays == (True,))


@pytest.mark.parametrize(("title", "shown"), [("asking", False), (None, True), (None, False)])
def test_none_is_drawn_where_it_is_not_wanted(capsys, title, shown):
    with bar(title, 12, shown) as step:
        assert step is nothing
        step(12)
    assert capsys.readouterr().err == ""


def test_without_tqdm_there_is_none(capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tqdm.auto", None)
    with warnings.catch_warnings(), bar("asking", 12, True) as step:
        assert step is nothing
    assert capsys.readouterr().err == ""


def test_inputs_beside_their_labels_are_no_pool():
    """They would be two points."""
    with pytest.raises(TypeError, match="pool: expected inputs alone, got a pair of arrays"):
        Mixed((POOL, torch.zeros(10)))
