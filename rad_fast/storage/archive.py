"""Objects in one .npz file: arrays as they are, all else as JSON beside them. Nothing is unpickled when it is read."""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Callable, Mapping
from enum import IntEnum
from pathlib import Path
from typing import IO, Any

import numpy as np

from .npy import Array, check_writable, write_together

ABOUT = "about.json"  # the member that is no array, as uint8


def write(path: str | os.PathLike[str], kind: str, version: int, content: Mapping[str, Any]) -> None:
    """Write ``content`` as a file of a kind; what is there is replaced, in one step.

    Values are numbers, text, None, arrays, tuples, lists and dicts of them, named tuples, enumerations, and objects of
    which the attributes say all.
    """
    place = Path(path)
    check_writable(place)
    arrays: dict[str, Array] = {}
    about = {"kind": kind, "version": version, "content": {name: packed(v, arrays) for name, v in content.items()}}
    text = json.dumps(about, allow_nan=False).encode()
    write_together({place: writer({ABOUT: np.frombuffer(text, np.uint8), **arrays})})


def writer(arrays: Mapping[str, Array]) -> Callable[[IO[bytes]], None]:
    def write(file: IO[bytes]) -> None:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # its flag allow_pickle looks like an array to mypy

    return write


def read(path: str | os.PathLike[str], kind: str, version: int, classes: tuple[type, ...]) -> dict[str, Any]:
    """What ``write`` wrote; only objects of ``classes`` are made.

    Raises
    ------
    OSError : where there is no such file.
    ValueError : naming the file, where it is of another kind or another version of rad_fast.
    """
    foreign = f"{path}: expected a file that {kind}.save wrote"
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile) or ABOUT not in file:
                raise ValueError(foreign)
            arrays = {name: file[name] for name in file.files}
        about = json.loads(arrays.pop(ABOUT).tobytes())
        same = (about["kind"], about["version"])
    except OSError:
        raise
    except (ValueError, KeyError, TypeError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{foreign}; it cannot be read as one") from error
    if same != (kind, version):
        raise ValueError(f"{foreign}, version {version}; got a {same[0]} of version {same[1]}")
    known = {each.__name__: each for each in classes}
    try:
        return {name: unpacked(value, arrays, known) for name, value in about["content"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{foreign}; it holds what this version of rad_fast does not know: {error}") from error


def packed(value: Any, arrays: dict[str, Array]) -> Any:
    """A value as JSON; arrays are put into ``arrays`` and named."""
    if isinstance(value, np.ndarray):
        name = f"array{len(arrays)}"
        arrays[name] = value
        return {"array": name}
    if isinstance(value, IntEnum):
        return {"class": type(value).__name__, "value": int(value)}
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, np.generic):
        return packed(value.item(), arrays)
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        fields = {name: packed(field, arrays) for name, field in zip(value._fields, value, strict=True)}
        return {"class": type(value).__name__, "fields": fields}
    if isinstance(value, tuple):
        return {"tuple": [packed(each, arrays) for each in value]}
    if isinstance(value, list):
        return [packed(each, arrays) for each in value]
    if isinstance(value, dict):
        return {"dict": [[packed(key, arrays), packed(each, arrays)] for key, each in value.items()]}
    state = {name: packed(each, arrays) for name, each in vars(value).items()}
    return {"class": type(value).__name__, "state": state}


def unpacked(value: Any, arrays: Mapping[str, Array], classes: Mapping[str, type]) -> Any:
    """What ``packed`` was given."""
    if isinstance(value, list):
        return [unpacked(each, arrays, classes) for each in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return arrays[value["array"]]
    if "float" in value:
        return float(value["float"])
    if "tuple" in value:
        return tuple(unpacked(each, arrays, classes) for each in value["tuple"])
    if "dict" in value:
        pairs = ((unpacked(key, arrays, classes), unpacked(each, arrays, classes)) for key, each in value["dict"])
        return dict(pairs)
    made = classes[value["class"]]
    if "value" in value:
        return made(value["value"])
    if "fields" in value:
        return made(**{name: unpacked(field, arrays, classes) for name, field in value["fields"].items()})
    thing: Any = object.__new__(made)
    thing.__dict__.update({name: unpacked(each, arrays, classes) for name, each in value["state"].items()})
    return thing
