"""The scripts on streams in examples/, run as a user would."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def output(name: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    environment["PYTHONWARNINGS"] = "ignore"  # Ray's own
    done = subprocess.run(
        [sys.executable, EXAMPLES / name], env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def needs(*modules: str) -> pytest.MarkDecorator:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@needs("torch", "sklearn")
def test_an_iterable_data_set_of_decided_points():
    said = output("stream_torch.py")
    assert re.search(r"seen=1337, taken=13[1-7]\)", said)
    before, after = (float(found) for found in re.findall(r"([\d.]+)%", said))
    assert after > before + 5


@needs("ray")
def test_the_batches_of_a_ray_dataset():
    assert re.search(r"seen=4000, taken=(79|80|81)\) taken: \d+ \d+ \d+", output("stream_ray.py"))
