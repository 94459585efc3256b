"""What a stream is worth in hindsight is computed by benchmarks/streams, for the study and for the tests."""

from __future__ import annotations

import sys
from pathlib import Path

# benchmarks/ is no part of the package. Last, so that the folder rad_fast there never passes for what is installed.
sys.path.append(str(Path(__file__).resolve().parents[2]))
