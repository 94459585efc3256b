"""Sampling and the whole chain on the device, bit for bit the reference's."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from cases import DEVICE, KINDS, game, host, logits, on_device, some

from rad_fast.device.backends import Kernels
from rad_fast.game import solver
from rad_fast.game.pool import ArrayPool
from rad_fast.kernels.reference import sample as reference
from rad_fast.kernels.reference.score import Findings, Invalid, Kind, Rule
from rad_fast.kernels.triton import sample as kernels
from rad_fast.kernels.triton.select import read, select


def test_indices_running_sum_and_mass_have_the_references_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    for turn in range(KINDS * 2):
        tile = some((64, 1024, 16384), (kernels.TILE,) * 3)[turn % 3]
        monkeypatch.setattr(kernels, "TILE", tile)
        gain, correctness, budget, mistakes = game(random, min(4000, 5 * tile), turn=3 * turn)  # all kinds, twice
        answer = solver.solve(ArrayPool([(gain, correctness)], Kernels("reference")), budget, mistakes)
        start = reference.start(turn, budget, len(gain))
        want, after = reference.sample(gain, correctness, answer, start)
        points = on_device(gain), on_device(correctness)
        assert np.array_equal(host(kernels.sample(*points, answer, start, budget)), want)
        assert kernels.mass(*points, answer) == reference.mass(gain, correctness, answer)
        cuts = [0, *sorted(random.integers(0, len(gain) + 1, 2)), len(gain)]
        running, parts = start, []
        for begin, end in itertools.pairwise(cuts):
            part = points[0][begin:end].clone(), points[1][begin:end].clone()
            indices, running = kernels.sample_part(*part, answer, running, first_index=int(begin))
            parts.append(host(indices))
        assert np.array_equal(np.concatenate(parts), want)
        assert running == after


def test_all_points_and_one_point() -> None:
    answer = solver.Equilibrium(0.0, -2.0, 0.0, 0.0)  # every q is 1
    gain, correctness = torch.rand((2, 5000), device=DEVICE)
    indices = kernels.sample(gain, correctness, answer, reference.start(0, 5000, 5000), 5000)
    assert torch.equal(indices.cpu(), torch.arange(5000))
    one = kernels.sample(gain[:1], correctness[:1], answer, reference.start(1, 1, 1), 1)
    assert one.tolist() == [0]


@pytest.mark.parametrize("student_classes", some([None, 12], [None]))
def test_the_chain_on_the_device_selects_the_references_points(student_classes: int | None) -> None:
    for seed, rows in enumerate((1, 700, 3000)):
        teacher = logits(rows, 10, torch.bfloat16, seed)
        student = None if student_classes is None else logits(rows, student_classes, torch.float32, seed + 50, 1.0)
        rule = Rule() if student is None else Rule(Kind.LOGISTIC, weights=(0.3, 0.6, 0.2, -1.5))
        exclude = torch.zeros(rows, dtype=torch.bool, device=DEVICE)
        exclude[10::9] = True
        valid = rows - int(exclude.sum())
        budget = max(1, valid // 10)
        start = reference.start(seed, budget, rows)
        selected = select(teacher, budget, start, 0.0, 0.05, student, rule, exclude=exclude)
        account = read(selected)
        assert account.findings[:5] == Findings()[:5]
        assert (account.valid, account.outcome) == (valid, "solved")
        gain, correctness = host(selected.points.gain), host(selected.points.correctness)
        mistakes = np.floor(0.05 * valid * 2**25 + 0.5) / 2**25
        answer = solver.solve(ArrayPool([(gain, correctness)], Kernels("reference")), budget, mistakes)
        assert np.array_equal(host(selected.indices), reference.sample(gain, correctness, answer, start)[0])
        assert not exclude[selected.indices].any()
        labels = host(teacher.float()).argmax(axis=1)
        assert np.array_equal(host(selected.points.label), labels)


def test_invalid_rows_reach_the_account() -> None:
    z = logits(400, 10, torch.bfloat16)
    z[100, 3] = float("nan")
    z[300] = -float("inf")
    account = read(select(z, 40, reference.start(0, 40, 400), 20.0))
    assert account.findings[:5] == Findings(Invalid(2, 100), left_out=2)[:5]
    assert account.valid == 398
