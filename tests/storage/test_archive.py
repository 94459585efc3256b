"""Objects in one file: what was written comes back, and what is something else is refused."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest

from rad_fast.kernels.reference.score import Gain, Kind, Points, Rule
from rad_fast.storage import archive


class Box:
    """An object of which the attributes say all."""


def test_numbers_text_arrays_and_known_objects_come_back(tmp_path: Path) -> None:
    box = Box()
    box.size = 3
    box.inside = {"a": np.arange(4, dtype=np.float16), 7: (1, 2.5)}
    points = Points(np.ones(2, np.float32), np.zeros(2, np.float32), np.array([0, 1], np.int32))
    content = {
        "none": None,
        "flag": True,
        "count": np.int64(5),
        "number": 0.1,
        "infinite": math.inf,
        "rule": Rule(Kind.STEPS, steps=(0.5,), levels=(0.1, 0.9)),
        "points": points,
        "box": box,
        "list": [1, "two", np.arange(3)],
    }
    path = tmp_path / "thing.npz"
    archive.write(path, "Thing", 1, content)
    back = archive.read(path, "Thing", 1, (Box, Gain, Kind, Points, Rule))
    for name in ("none", "flag", "count", "number", "infinite", "rule"):
        assert back[name] == content[name], name
    assert isinstance(back["rule"].kind, Kind)
    for field, other in zip(back["points"], points, strict=True):
        if other is not None:
            np.testing.assert_array_equal(field, other)
    assert back["box"].size == 3
    assert back["box"].inside[7] == (1, 2.5)
    assert back["box"].inside["a"].dtype == np.float16
    np.testing.assert_array_equal(back["list"][2], np.arange(3))


def test_a_class_that_is_not_expected_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "thing.npz"
    archive.write(path, "Thing", 1, {"box": Box()})
    with pytest.raises(ValueError, match=r"thing\.npz: expected .* Thing\.save wrote; .* not know: 'Box'"):
        archive.read(path, "Thing", 1, ())


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "thing.npz"
    with pytest.raises(FileNotFoundError):
        archive.read(path, "Thing", 1, ())
    archive.write(path, "Thing", 2, {})
    with pytest.raises(ValueError, match=r"version 1; got a Thing of version 2"):
        archive.read(path, "Thing", 1, ())
    with pytest.raises(ValueError, match=r"that Other\.save wrote, version 2; got a Thing"):
        archive.read(path, "Other", 2, ())
    foreign = r"thing\.npz: expected a file that Thing\.save wrote"
    for content in (b"", b"no archive at all", pickle.dumps([1]), path.read_bytes()[:100]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=foreign):
            archive.read(path, "Thing", 1, ())
    np.savez(path, a=np.arange(3))
    with pytest.raises(ValueError, match=foreign):
        archive.read(path, "Thing", 1, ())
    np.savez(path, **{archive.ABOUT: np.frombuffer(json.dumps([1]).encode(), np.uint8)})
    with pytest.raises(ValueError, match=foreign):
        archive.read(path, "Thing", 1, ())
