"""The scripts in examples/, run as a user would, on real data."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="rad_fast.distill needs torch")
pytest.importorskip("sklearn", reason="the examples take their digits from scikit-learn")

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def output(name: str, *arguments: str) -> str:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OMP_NUM_THREADS": "1",
        "TQDM_DISABLE": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    }
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def percents(line: str) -> list[float]:
    return [float(found) for found in re.findall(r"([\d.]+)%", line)]


def test_own_loop():
    before, selected, uniform = percents(output("own_loop.py").splitlines()[-1])
    assert selected > before + 3
    assert selected > uniform


def test_distiller_resumes(tmp_path):
    journal = str(tmp_path / "journal")
    first = output("distiller.py", journal)
    accuracies = [percents(line)[0] for line in first.splitlines() if line.startswith("round")]
    assert accuracies[-1] > accuracies[0] + 5
    assert "250 answers so far" in first
    assert output("distiller.py", journal) == first


@pytest.mark.skipif(importlib.util.find_spec("datasets") is None, reason="Hugging Face datasets is not installed")
def test_hugging_face_data_set():
    lines = output("hf_dataset.py").splitlines()
    assert lines[0].startswith("150 of 900 rows selected")
    before, after = percents(lines[1])
    assert after > before + 3
