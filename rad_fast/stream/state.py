"""A stream's state as a file: .npz, of numbers, arrays and one text of JSON. Nothing in it is ever executed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, Any

import numpy as np

from rad_fast.storage.npy import write_together

PLAIN = "plain"  # the entry for all that is no array


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write what ``state_dict`` returned; the file is replaced in one step."""
    arrays: dict[str, Any] = {}
    plain = taken_apart(state, "", arrays)
    arrays[PLAIN] = np.array(json.dumps(plain))

    def write(file: IO[bytes]) -> None:
        np.savez(file, **arrays)

    write_together({path: write})


def read_state(path: Path) -> dict[str, Any]:
    """What ``write_state`` wrote; ValueError where the file is something else."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        plain = json.loads(str(arrays.pop(PLAIN)))
    except OSError:
        raise
    except Exception as error:  # a broken archive raises whatever its parts do
        raise ValueError(f"{path}: expected the state of a stream, as rad-fast stream --state writes it") from error
    return dict(put_together(plain, arrays))


def taken_apart(value: Any, place: str, arrays: dict[str, Any]) -> Any:
    if isinstance(value, np.ndarray):
        arrays[place] = value
        return {"array": place}
    if isinstance(value, dict):
        return {"items": {name: taken_apart(part, f"{place}.{name}", arrays) for name, part in value.items()}}
    if isinstance(value, (list, tuple)):
        return [taken_apart(part, f"{place}.{number}", arrays) for number, part in enumerate(value)]
    return value


def put_together(value: Any, arrays: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        if "array" in value:
            return arrays[value["array"]]
        return {name: put_together(part, arrays) for name, part in value["items"].items()}
    return [put_together(part, arrays) for part in value] if isinstance(value, list) else value
