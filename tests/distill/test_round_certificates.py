"""What the hold-out promises of each round, in the reports of a run."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="rad_fast.distill needs torch")

from rad_fast import Selector  # noqa: E402
from rad_fast.distill import ActiveDistiller  # noqa: E402

from .distill_problem import POINTS, arguments, plane, truth  # noqa: E402

X, Y = plane(400, seed=3)
KNOWN = {
    "teacher": None,
    "labelled": (X[:20], Y[:20]),
    "holdout": (X[20:120], Y[20:120]),
    "pool": X[120:],
    "holdout_logits": truth(X[20:120] + 0.4),
    "pool_logits": truth(X[120:] + 0.4),
}


@pytest.fixture
def selections(monkeypatch) -> list:
    """Every selection that the rounds make."""
    made, fit = [], Selector.fit

    def watched(self, *given, **settings):
        made.append(fit(self, *given, **settings))
        return made[-1]

    monkeypatch.setattr(Selector, "fit", watched)
    return made


def test_each_round_has_its_certificate_and_it_is_kept(selections):
    made = ActiveDistiller(**arguments(**KNOWN))
    made.run()
    assert [report.certificate for report in made.history] == [None, *(found.certificate(0.95) for found in selections)]
    right = np.where(KNOWN["pool_logits"].argmax(1).numpy() == Y[120:].numpy(), 1.0, -1.0)
    assert len(selections) == 2
    for found, report in zip(selections, made.history[1:], strict=True):
        came = np.nansum(found.probabilities * found.gain * right)
        assert 0.0 < report.certificate <= came
        assert report.certificate < report.value


def test_it_is_in_the_journal_and_an_older_one_has_none(tmp_path):
    first = ActiveDistiller(**arguments(**KNOWN, journal=tmp_path / "journal"))
    first.run()
    again = ActiveDistiller(**arguments(**KNOWN, journal=tmp_path / "journal"))
    assert again.history == first.history
    assert again.history[2].certificate is not None
    lines = []
    for line in (tmp_path / "journal").read_text().splitlines():  # as it was written before there were any
        record = json.loads(line[9:])
        record.pop("certificate", None)
        record.get("report", {}).pop("certificate", None)
        text = json.dumps(record)
        lines.append(f"{zlib.crc32(text.encode()):08x} {text}\n")
    (tmp_path / "old").write_text("".join(lines))
    old = ActiveDistiller(**arguments(**KNOWN, journal=tmp_path / "old"))
    assert [report.certificate for report in old.history] == [None, None, None]
    assert [report.value for report in old.history] == [report.value for report in first.history]


def test_a_hold_out_of_fewer_than_30_points_promises_nothing():
    few = {**KNOWN, "holdout": (X[20:49], Y[20:49]), "holdout_logits": KNOWN["holdout_logits"][:29]}
    made = ActiveDistiller(**arguments(**few, rounds=1))
    made.run()
    assert made.history[1].certificate is None
    assert made.history[1].value > 0.0


def test_neither_does_a_round_that_knows_no_answer_for_the_pool():
    assert POINTS > 60
    made = ActiveDistiller(**arguments(rounds=1))
    made.run()
    assert made.history[1].certificate is None
