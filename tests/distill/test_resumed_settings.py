"""A run goes on with the settings it was begun with: others are refused, or said where they may be meant."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from rad_fast.distill import ActiveDistiller, Fit  # noqa: E402
from rad_fast.distill.journal import Journal  # noqa: E402
from rad_fast.distill.losses import SoftCrossEntropy  # noqa: E402

from .distill_problem import Student, Teacher, arguments, plane, truth  # noqa: E402

POOL, HELD = plane()[0][60:], plane()[0][20:60]


def embed(student, batch):
    return batch


def other_embed(student, batch):
    return -batch


def resumed(path: Path, **others) -> ActiveDistiller:
    return ActiveDistiller(**arguments(journal=path, **{"rounds": 1, "train": Fit(epochs=1, lr=0.02), **others}))


def begun(folder: Path, **others) -> Path:
    """The journal of a run of one round that is done."""
    resumed(folder / "journal", **others).run()
    return folder / "journal"


@pytest.mark.parametrize(
    ("first", "then", "says"),
    [
        ({}, {"labels": "soft"}, "its labels are 'hard', here they are 'soft'; give labels='hard' to resume it"),
        ({}, {"weights": None}, "its weights are 'correctness', here they are None; give weights='correctness'"),
        ({"weights": None}, {}, "its weights are None, here they are 'correctness'; give weights=None"),
        ({"labels": "soft"}, {"labels": "soft", "temperature": 2.0}, r"its temperature is 1\.0, here it is 2\.0"),
        ({}, {"restart": False}, "its restart is True, here it is False; give restart=True"),
        ({}, {"features": embed}, "its features are None, here they are 'embed'; give features=None"),
        ({"features": embed}, {}, "its features are 'embed', here they are None"),
        ({}, {"strategy": "uniform"}, "its strategy is 'rad', here it is 'uniform'; give strategy='rad'"),
        ({}, {"seed": 4}, "its seed is 0, here it is 4; give seed=0"),
        ({}, {"pool": POOL[1:]}, "it has 180 points in the pool, here there are 179"),
        ({"pool_logits": truth(POOL)}, {}, "it has pool_logits, and here there are none; give the same pool_logits="),
        ({"holdout_logits": truth(HELD)}, {}, "it has holdout_logits, and here there are none"),
    ],
)
def test_what_changes_the_meaning_of_a_journal_is_refused(tmp_path, first, then, says):
    path = begun(tmp_path, **first)
    before, teacher = path.read_bytes(), Teacher()
    with pytest.raises(ValueError, match=f"journal: .* belongs to another run: {says}.*, or another path"):
        resumed(path, teacher=teacher, rounds=2, **then)
    assert path.read_bytes() == before
    assert teacher.points == 0
    resumed(path, **first)  # and with what the message asks for it goes on


def test_what_changes_nothing_is_not_spoken_of(tmp_path):
    path = begun(tmp_path)
    teacher = Teacher()
    made = resumed(
        path,
        teacher=teacher,
        rounds=2,
        evaluate=lambda student: {},
        query_batch=3,
        retries=1,
        backoff=2.0,
        invalid="skip",
        batch_size=7,
        sleep=print,
        progress=True,
    )
    made.run()
    assert teacher.points == 15


class Other(Student):
    """As the student of the tests, with other weights to begin with."""

    def __init__(self) -> None:
        super().__init__()
        with torch.no_grad():
            self.layers[0].bias += 1.0


def collate(items):
    return torch.stack(items)


@pytest.mark.parametrize(
    ("first", "then", "says"),
    [
        ({}, {"train": Fit(epochs=2, lr=0.02)}, r"train was Fit\(.*epochs=1, .*, here it is Fit\(.*epochs=2, "),
        ({}, {"train": Fit(epochs=1, lr=0.02, seed=3)}, r"train was .*seed=0\), here it is .*seed=3\)"),
        (
            {"train": Fit(epochs=1, loss=SoftCrossEntropy())},
            {"train": Fit(epochs=1, loss=SoftCrossEntropy(reduction="sum"))},
            r"train was Fit\(loss=SoftCrossEntropy\(temperature=1\.0, reduction='mean'\).* here it .*reduction='sum'",
        ),
        ({"features": embed}, {"features": other_embed}, "features was embed, here it is other_embed"),
        ({}, {"collate": collate}, "collate was default_collate, here it is collate"),
        ({}, {"call": lambda student, batch: student(batch)}, "call was logits_of, here it is <lambda>"),
        ({}, {"student": Other()}, "student was Student with initial weights .*, here it is Other with initial"),
        ({}, {"pool_logits": truth(POOL)}, "begun otherwise: pool_logits was not given then"),
    ],
)
def test_what_changes_the_rounds_to_come_is_said(tmp_path, first, then, says):
    path = begun(tmp_path, **first)
    with pytest.warns(UserWarning, match=f"{says}.*those from here on go by what is given here") as caught:
        resumed(path, **{**first, **then})
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_before_the_first_round_is_trained_nothing_has_changed(tmp_path):
    with pytest.raises(Exception, match="line is dead"):
        resumed(tmp_path / "journal", teacher=Teacher(fails=range(99)), retries=0).run()
    resumed(tmp_path / "journal", train=Fit(epochs=2), student=Other()).run()


def test_a_student_that_never_begins_anew_may_begin_otherwise(tmp_path):
    path = begun(tmp_path, restart=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resumed(path, restart=False, student=Other())


def test_fewer_rounds_than_are_done_are_spoken_of(tmp_path):
    path = begun(tmp_path, rounds=2)
    with pytest.warns(UserWarning, match="rounds: 1 asked for, but .* has 2 already.*; give rounds=2"):
        resumed(path, rounds=1)
    resumed(path, rounds=2)


@pytest.mark.parametrize("settings", [{}, {"labels": "soft", "temperature": 2.0, "restart": False}])
def test_a_journal_from_before_settings_goes_on_with_a_word(tmp_path, settings):
    path = begun(tmp_path, **settings)
    first, *rest = path.read_bytes().splitlines(keepends=True)
    record = json.loads(first.partition(b" ")[2])
    for name in ("labels", "temperature", "weights", "restart", "features", "course"):
        del record[name]
    old = Journal(tmp_path / "old")
    old.append(**{**record, "version": 2})
    old.release()
    begun_only = (tmp_path / "old").read_bytes()
    path.write_bytes(begun_only + b"".join(rest))
    said = (
        "did not record labels= .*temperature= .*weights= .*restart= .*features= .*; make sure that they are the same"
    )
    for then in (settings, {"labels": "soft", "weights": None}):
        with pytest.warns(UserWarning, match=f'{said}; labels="soft" was the default in versions before'):
            made = resumed(path, **then)
        assert len(made.history) == 2
    path.write_bytes(begun_only)  # nothing was trained: there is nothing to be the same as
    (tmp_path / "journal.student").unlink()
    resumed(path, **settings)


def test_restart_is_true_or_false():
    with pytest.raises(TypeError, match="restart: expected True or False, got 'no'"):
        ActiveDistiller(**arguments(restart="no"))


def test_a_trainer_shows_its_settings():
    shown = repr(Fit(epochs=3, lr=0.5, holdout=(POOL, truth(POOL).argmax(1))))
    assert shown == (
        "Fit(loss=None, holdout=180 points, epochs=3, batch_size=64, lr=0.5, weight_decay=0.01, patience=10, seed=0)"
    )
