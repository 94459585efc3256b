"""What the report says of the machine, where some of it cannot be found out."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.gpu import machine as gpu_machine


def answering(monkeypatch: pytest.MonkeyPatch, answer: str | Exception) -> list[list[str]]:
    """nvidia-smi, and whatever else is run, gives this answer."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> SimpleNamespace:
        commands.append(command)
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(stdout=answer, returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_clocks_are_asked_for_and_never_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    commands = answering(monkeypatch, "580.1, 345 MHz, 1980 MHz, 3201 MHz, 30, 75.1 W, 700.00 W, 1 MiB\n")
    found = gpu_machine.state()
    assert found["driver"] == "580.1"
    assert found["clock of the multiprocessors"] == "345 MHz"
    assert found["memory used"] == "1 MiB"
    ((program, query, *rest),) = commands
    assert program == "nvidia-smi"
    assert query.startswith("--query-gpu=driver_version,clocks.sm,")
    assert rest == ["--format=csv,noheader", "--id=3"]


@pytest.mark.parametrize(
    "answer", [FileNotFoundError("nvidia-smi"), subprocess.TimeoutExpired("nvidia-smi", 20), "No\n"]
)
def test_without_nvidia_smi_nothing_is_said(monkeypatch: pytest.MonkeyPatch, answer: str | Exception) -> None:
    answering(monkeypatch, answer)
    assert gpu_machine.state() == {}


def test_without_a_repository_the_commit_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, subprocess.CalledProcessError(128, "git"))
    assert gpu_machine.commit().startswith("not known")


def test_cupys_version_is_found_under_any_of_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"cupy-cuda12x": "14.0"}
    monkeypatch.setattr(gpu_machine, "installed", lambda name: here.get(name, "not installed"))
    assert gpu_machine.version(gpu_machine.PACKAGES["CuPy"]) == "14.0"
    assert gpu_machine.version(gpu_machine.PACKAGES["quack"]) == "not installed"


def test_the_sources_have_one_digest() -> None:
    assert gpu_machine.digest() == gpu_machine.digest()
    assert len(gpu_machine.digest()) == 16
