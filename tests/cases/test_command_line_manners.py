"""The command line under those who start it: closed streams, percentages."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from rad_fast import cli

N = 500


@pytest.fixture
def logits(tmp_path):
    np.save(tmp_path / "t.npy", np.random.default_rng(0).normal(0, 4, (N, 10)).astype("f4"))
    return tmp_path / "t.npy"


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_stop_nothing(logits, closed):
    command = f"exec {sys.executable} -m rad_fast.cli select t.npy --budget 10 --workdir w --out o.npy {closed}"
    done = subprocess.run(["bash", "-c", command], cwd=logits.parent, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert len(np.load(logits.parent / "o.npy")) == 10
    assert np.load(logits.parent / "w" / "gain.npy").shape == (N,)  # nobody wrote into it as into a stream


def test_a_file_that_a_library_opened_in_the_place_of_closed_stdout_is_not_written_to(logits):
    code = "import os; held = os.open(os.devnull, os.O_RDONLY); assert held == 1; from rad_fast.cli import main; "
    code += "raise SystemExit(main(['select', 't.npy', '--budget', '10', '--out', 'o.npy']))"
    command = f'exec {sys.executable} -c "{code}" >&-'
    done = subprocess.run(["bash", "-c", command], cwd=logits.parent, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "descriptor" in done.stderr) == (0, False), done.stderr
    assert len(np.load(logits.parent / "o.npy")) == 10


def test_an_error_with_stderr_closed_is_still_an_error_and_stdout_stays_clean(logits):
    command = f"exec {sys.executable} -m rad_fast.cli select none.npy --budget 10 --out o.npy 2>&-"
    done = subprocess.run(["bash", "-c", command], cwd=logits.parent, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.filterwarnings("ignore::rad_fast.UnreliableTeacherWarning")
@pytest.mark.parametrize(
    ("given", "mistakes"),
    [("100%", N), ("99%", 0.99 * N), ("0%", 0), ("1%", 0.01 * N), ("1", 1), ("1.0", 1), ("0.5", N / 2)],
)
def test_mistakes_in_percent_are_of_the_points(logits, given, mistakes, capsys):
    out = logits.parent / "o.npy"
    assert cli.main(["select", str(logits), "--budget", "20", "--mistakes", given, "--out", str(out)]) == 0
    assert json.loads(out.with_suffix(".json").read_text())["mistakes"] == pytest.approx(mistakes)
    capsys.readouterr()


@pytest.mark.filterwarnings("ignore::rad_fast.UnreliableTeacherWarning")
@pytest.mark.parametrize(("option", "given"), [("--budget", "100%"), ("--correctness", "100%")])
def test_all_of_them_in_percent(logits, option, given, capsys):
    out = logits.parent / "o.npy"
    assert cli.main(["select", str(logits), *("--budget", "20"), option, given, "--out", str(out)]) == 0
    assert len(np.load(out)) == (N if option == "--budget" else 20)
    capsys.readouterr()
