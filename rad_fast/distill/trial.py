"""A first try of the student on every data set: what fails here fails before the teacher is paid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch.utils.data import default_collate

from . import errors, inputs
from .pairs import Rows
from .rows import first_of
from .training import predict


def classes_of(
    student: Any,
    given: Mapping[str, Any],
    call: Callable[[Any, Any], Any],
    features: Callable[[Any, Any], Any] | None,
    collate: Callable[[list[Any]], Any],
) -> int:
    """How many classes the student has, from one input of each of the data sets "labelled", "holdout" and "pool"."""
    places = np.zeros(1, np.int64)
    first = {name: Rows(data, places) for name, data in given.items()}
    if collate is default_collate and not inputs.alike({name: first_of(row[0]) for name, row in first.items()}):
        for data in given.values():
            data.make_tensors()
    classes, shapes = {}, []

    def asked(student: Any, batch: Any) -> Any:
        answer = call(student, batch)
        shapes.append(tuple(inputs.host_array("student", answer).shape))
        return answer

    for name, rows in first.items():
        try:
            classes[name] = predict(student, rows, call=asked, collate=collate).shape[1]
            if features is not None:
                predict(student, rows, call=features, collate=collate)
        except Exception as error:
            raise errors.not_taken(name, error) from error
        if len(shapes[-1]) != 2 or shapes[-1][1] < 2:
            raise errors.student_classes(shapes[-1])
    return int(classes["labelled"])
