"""What a user does with a model on the device, from its logits to a trained student: the default backend, whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import rad_fast  # noqa: E402
from rad_fast.distill import ActiveDistiller, Fit, predict  # noqa: E402
from rad_fast.stream import StreamSelector  # noqa: E402

DEVICE = "cuda"
CLASSES = 10


def clusters(points: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and true labels: a cloud a class, that overlap."""
    generator = torch.Generator().manual_seed(seed)
    centres = 2 * torch.randn((CLASSES, 16), generator=torch.Generator().manual_seed(7))
    y = torch.randint(0, CLASSES, (points,), generator=generator)
    return centres[y] + torch.randn((points, 16), generator=generator), y


def spoiled(y: torch.Tensor, seed: int) -> torch.Tensor:
    """A teacher's logits: right on nine points of ten."""
    generator = torch.Generator().manual_seed(seed)
    said = torch.where(torch.rand(len(y), generator=generator) < 0.9, y, (y + 1) % CLASSES)
    return torch.nn.functional.one_hot(said, CLASSES).float() * 5 + torch.randn((len(y), CLASSES), generator=generator)


def test_a_student_on_the_device_is_taught() -> None:
    x, y = clusters(3000, 0)
    logits = spoiled(y, 1)
    torch.manual_seed(0)
    student = torch.nn.Sequential(torch.nn.Linear(16, 64), torch.nn.ReLU(), torch.nn.Linear(64, CLASSES)).to(DEVICE)
    before = {name: value.clone() for name, value in student.state_dict().items()}
    distiller = ActiveDistiller(
        student,
        lambda batch: logits[(batch[:, None] == x[None]).all(2).int().argmax(1)],
        labelled=(x[:30], y[:30]),
        holdout=(x[30:230], y[30:230]),
        pool=x[230:2230],
        pool_logits=logits[230:2230].to(DEVICE),
        budget=60,
        rounds=2,
        train=Fit(epochs=30, lr=1e-2),
        progress=False,
    )
    trained = distiller.run()
    assert [report.selected for report in distiller.history] == [0, 60, 60]
    assert next(trained.parameters()).device.type == "cuda"
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())
    right = [(predict(model, x[2230:]).argmax(1) == y[2230:].numpy()).mean() for model in (student, trained)]
    assert right[1] > max(0.75, right[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_a_pipeline_of_every_dtype_goes_from_logits_to_a_report(dtype: torch.dtype, tmp_path: Path) -> None:
    _, y = clusters(20_000, 2)
    teacher = spoiled(y, 3).to(DEVICE, dtype)
    student = (spoiled(y, 4).to(DEVICE, dtype) / 3).requires_grad_()
    calibrator = rad_fast.Calibrator().fit(teacher[:500], y[:500].to(DEVICE), student[:500])
    selection = rad_fast.Selector(1000).fit(
        teacher, student_logits=student, correctness=calibrator, exclude=torch.arange(500, device=DEVICE)
    )
    assert selection.indices.device.type == "cuda"
    assert student.grad is None
    chosen = selection.indices.cpu().numpy()
    here = rad_fast.Calibrator().fit(teacher[:500].cpu(), y[:500], student[:500].cpu())
    assert here.rule_ == calibrator.rule_
    assert (chosen >= 500).all()
    assert len(np.unique(chosen)) == 1000
    right = (teacher[selection.indices].argmax(1).cpu() == y[chosen]).float().mean()
    assert right > 0.93  # the teacher is right on 90%
    larger = selection.extend(2000)
    assert set(chosen) < set(larger.indices)  # what extends a selection is on the host
    assert len(selection.table()) == 1000
    assert "1,000" in selection.summary()
    selection.save_report(tmp_path / "report.html")
    selection.save(tmp_path / "selection.npz")
    again = rad_fast.Selection.load(tmp_path / "selection.npz")
    assert np.array_equal(np.asarray(again.indices), chosen)
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_a_stream_decides_alike_wherever_its_points_are() -> None:
    _, y = clusters(6000, 5)
    logits = spoiled(y, 6)
    there, here = StreamSelector(rate=0.02, quotas=None), StreamSelector(rate=0.02, quotas=None)
    for begin in range(0, 6000, 1000):
        part = logits[begin : begin + 1000]
        assert torch.equal(there.offer(part.to(DEVICE)).cpu(), here.offer(part))
