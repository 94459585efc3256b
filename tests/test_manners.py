"""What is expected of any library: a module to run, names found when asked for, a word where it is slow."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys

import pytest

import rad_fast
from rad_fast.device import backends


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_python_runs_the_package_as_the_command_line() -> None:
    done = python("-m", "rad_fast", "--version")
    assert (done.returncode, done.stdout) == (0, f"rad-fast {rad_fast.__version__}\n"), done.stderr


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="rad_fast.distill needs torch")
def test_distill_is_found_after_import_and_torch_is_not_imported_before() -> None:
    source = """
import sys, rad_fast
print("torch" in sys.modules, rad_fast.stream.__name__, rad_fast.distill.Fit.__name__, "torch" in sys.modules)
"""
    assert python("-c", source).stdout.split() == ["False", "rad_fast.stream", "Fit", "True"]


def test_names_are_listed_and_unknown_ones_are_refused() -> None:
    assert {"select", "Selector", "Calibrator", "__version__"} <= set(dir(rad_fast))
    with pytest.raises(AttributeError, match="has no attribute 'selekt'"):
        rad_fast.selekt  # noqa: B018


def test_one_word_is_said_where_nothing_compiled_serves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(name: str) -> backends.Backend:
        if name != "reference":
            raise ImportError(name)
        return reference

    reference = backends.load("reference")
    monkeypatch.setattr(backends, "load", missing)
    monkeypatch.setattr(backends, "SAID", set())
    with caplog.at_level(logging.WARNING, "rad_fast"):
        for _ in range(3):
            assert backends.backend("auto").name == "reference"
    (said,) = caplog.records
    assert said.name == "rad_fast"
    assert 'pip install "rad_fast[numba]"' in said.getMessage()


def test_asking_for_the_slow_backend_by_name_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "rad_fast"):
        backends.backend("reference")
    assert not caplog.records
