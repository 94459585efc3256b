"""Mutants that mean the same as the original, and why: ``tests/mutants.py`` does not draw them.

Of each file: the line, and what it becomes ("": whatever is changed in it).
"""

from __future__ import annotations

AT_ONCE = "how much is read or written at once: the result does not depend on it"
HEADER = "NumPy leaves room for the number of rows: the length of the header is always the same"
VERSION = "of a file: another number does as well, as long as it is another one than before"

EQUAL: dict[str, dict[tuple[str, str], str]] = {
    "rad_fast/calibration/calibrator.py": {
        (
            "if (seen.student is None and seen.agreement is None) or right.min() == right.max():",
            "if (seen.student is None and seen.agreement is None) or right.min() >= right.max():",
        ): "the least is never above the largest",
    },
    "rad_fast/game/solver.py": {
        (
            "for y in (-slope, slope) if mistakes else (0,):  # without mistakes the price is 1, whatever the sample",
            "",
        ): ("the box is wider or narrower by a unit: the answer is the same, whatever the box"),
    },
    "rad_fast/inputs/arrays.py": {
        (
            'if tensor.device.type != "cpu":',
            'if tensor.device.type > "cpu":',
        ): "every other device comes later by letters",
    },
    "rad_fast/storage/workdir.py": {
        ('OFFSET = len(header(0)["gain"])', ""): HEADER,
        ("SUMMED = 1 << 16  # items looked at together: they stay within the caches", ""): AT_ONCE,
        ("MOST_AHEAD = 16 << 20  # rows made room for at once, beyond those that are needed", ""): AT_ONCE,
        ("zeros = bytes(1 << 20)", ""): AT_ONCE,
        ("VERSION = 3  # of the manifest", ""): VERSION,
    },
}
