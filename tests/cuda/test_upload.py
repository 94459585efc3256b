"""Chunks from files to a GPU: through pinned memory, in order, and none overwritten before it has left."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import rad_fast
from rad_fast import cli
from rad_fast.device import backends, upload
from rad_fast.device.arrays import Memory
from rad_fast.device.backends import Finding

LOGITS = np.random.default_rng(0).normal(0, 4, (1000, 6)).astype(np.float32)


class Device:
    """What Pinned wants of torch.cuda, on the CPU; ``log`` is the order of events."""

    def __init__(self) -> None:
        self.torch: Any = pytest.importorskip("torch")
        self.log: list[str] = []
        device = self

        class Event:
            done = False

            def record(self, _: object) -> None:
                device.log.append("recorded")

            def synchronize(self) -> None:
                self.done = True
                device.log.append("waited")

        stream = SimpleNamespace(wait_event=lambda event: event.synchronize())
        self.cuda = SimpleNamespace(
            Event=Event, Stream=lambda _: stream, current_stream=lambda _: stream, stream=self.on
        )

    @contextlib.contextmanager
    def on(self, _: object) -> Iterator[None]:
        yield

    def __getattr__(self, name: str) -> Any:
        return getattr(self.torch, name)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", ">f4", "bfloat16"])
def test_pinned_chunks_arrive_as_they_were(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device()
    monkeypatch.setattr(device.torch.Tensor, "record_stream", lambda *_: None)
    pinned = upload.Pinned(device, device.torch.device("cpu"), pin=False)
    ml_dtypes = pytest.importorskip("ml_dtypes")
    kind = np.dtype(ml_dtypes.bfloat16) if dtype == "bfloat16" else np.dtype(dtype)
    sent, wanted = [], []
    for rows in (7, 3, 0, 12, 5):
        chunk = LOGITS[:rows].astype(kind)
        chunk.flags.writeable = False  # as a mapped file's is
        wanted.append(chunk.astype(np.float64))
        sent.append(pinned.send(chunk))
    for one, want in zip(sent, wanted, strict=True):
        got = pinned.received(one)
        assert str(got.dtype).removeprefix("torch.") == kind.newbyteorder("=").name
        np.testing.assert_array_equal(got.double().numpy(), want)
    assert device.log[:3] == ["recorded", "recorded", "waited"], (
        "the third chunk waits until the first has left its place"
    )


def test_a_backend_in_host_memory_needs_no_upload_and_one_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert upload.upload_for("auto") is None
    assert upload.upload_for("reference") is None
    monkeypatch.setattr(backends, "findings", lambda: [Finding("cuda", False, "no CUDA device")])
    with pytest.raises(ValueError, match="backend: 'cuda' cannot be used here: no CUDA device"):
        upload.upload_for("cuda")


@pytest.fixture
def emulated_gpu(on_emulator: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "findings", lambda: [Finding("cuda", True, "")])


@pytest.mark.usefixtures("emulated_gpu")
def test_the_command_selects_on_the_device_what_select_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.select, "CHUNK_BYTES", 24 * 170)
    np.save(tmp_path / "logits.npy", LOGITS)
    np.save(tmp_path / "exclude.npy", np.arange(40))
    common = ["--budget", "50", "--exclude", str(tmp_path / "exclude.npy"), "--backend", "cuda"]
    whole = rad_fast.Selector(50).fit(Memory.of(LOGITS), exclude=np.arange(40))
    for more in ([], ["--workdir", str(tmp_path / "work")], ["--workdir", str(tmp_path / "work")]):
        out = tmp_path / f"out{len(more)}.npy"
        assert cli.main(["select", str(tmp_path / "logits.npy"), *common, "--out", str(out), *more]) == 0
        np.testing.assert_array_equal(np.load(out), whole.indices.numpy())
    np.save(tmp_path / "empty.npy", LOGITS[:0])
    assert cli.main(["select", str(tmp_path / "empty.npy"), "--budget", "5", "--backend", "cuda"]) == 1


@pytest.mark.usefixtures("emulated_gpu")
def test_the_command_names_a_bad_row_of_a_later_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli.select, "CHUNK_BYTES", 24 * 170)
    bad = LOGITS.copy()
    bad[777, 2] = np.nan
    np.save(tmp_path / "logits.npy", bad)
    assert cli.main(["select", str(tmp_path / "logits.npy"), "--budget", "5", "--backend", "cuda"]) == 1
    assert "row 777" in capsys.readouterr().err
