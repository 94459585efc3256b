"""The stages of a backend on the GPU: the files that the interpreter runs elsewhere, here compiled and run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "triton_kernels"


@pytest.mark.parametrize("stage", ["score", "game", "sample", "classes"])
def test_triton_stages(stage: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    # Other plugins of the machine have no part in this; some turn what they say into warnings, which are errors here.
    environment |= {"TRITON_INTERPRET": "0", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-v", "--tb=short", "-p", "no:cacheprovider", f"kernels_{stage}.py"]
    result = subprocess.run(command, env=environment, cwd=FOLDER, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-10000:] + result.stderr[-2000:]
