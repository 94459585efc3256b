"""rad-fast select: choose points from the logits in files."""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

import rad_fast
from rad_fast import inputs
from rad_fast.device.upload import upload_for
from rad_fast.report import table
from rad_fast.storage.npy import write_npy, write_text, write_together
from rad_fast.storage.readers import Shards, open_shards
from rad_fast.storage.readers.pairing import check_classes, check_paired, in_order
from rad_fast.storage.workdir import Workdir

from .given import LabelFile, Labelled, OfRows, given_agreement, given_correctness, given_quotas, given_top_k, source
from .options import add_arguments, check_combinations, options, said_of
from .outcome import check_outputs, command, output, plain, progress, refuse_inputs
from .scoring import OfPoints, job_of, score

__all__ = ["add_arguments", "run"]


CHUNK_BYTES = 64 << 20  # of logits scored at a time: enough for all threads, and a progress bar that moves


def run(arguments: argparse.Namespace) -> None:
    """rad-fast select: score the file in chunks, select, write the indices and the report."""
    check_combinations(arguments)
    out = output(arguments)
    report_path = out.with_suffix(".json")
    check_outputs((out, report_path), arguments)
    if out.suffix == ".parquet":
        table.check_parquet()

    # A folder is locked until its results are in place: who came sooner would take them for leftovers. Or until a run
    # fails, whoever holds the error.
    with contextlib.ExitStack() as held:
        with said_of(options(arguments)):
            selection, about = selected(arguments, (out, report_path), held)
        report = {
            **selection.report(),
            **about,
            "indices": out.name,
            "made": time.strftime("%Y-%m-%d", time.gmtime()),
            "command": command(arguments),
            "arguments": plain(arguments),
            "versions": versions(),
        }
        text = json.dumps(report, indent=2, allow_nan=False).removesuffix("\n}")
        # What rad-fast report draws, on a line of its own: thousands of counts.
        text += f',\n  "figures": {json.dumps(selection._figures, allow_nan=False)}\n}}\n'
        bare = out.suffix == ".npy"
        write = write_npy(selection.on_host()[0]) if bare else table.writer(out, selection._columns)
        write_together({report_path: write_text(text), out: write})
    print(selection.summary())
    print(f"{'indices' if bare else 'the selected points'} in {out}, the report in {report_path}")


def versions() -> dict[str, str]:
    return {"rad_fast": rad_fast.__version__, "numpy": np.__version__, "python": platform.python_version()}


def selected(
    arguments: argparse.Namespace, outputs: tuple[Path, Path], held: contextlib.ExitStack
) -> tuple[rad_fast.Selection, dict[str, Any]]:
    """The selection from the files, and what the report says about them; the folder of scores is ``held``."""
    selector = rad_fast.Selector(
        arguments.budget,
        mistakes=arguments.mistakes,
        quotas=given_quotas(arguments),
        seed=arguments.seed,
        invalid=arguments.invalid,
        backend=arguments.backend,
    )
    upload = upload_for(arguments.backend)
    links = arguments.follow_links
    of_rows = OfRows(arguments)
    teacher: Shards | LabelFile
    if arguments.teacher_labels:
        teacher = LabelFile(arguments, of_rows)
    else:
        teacher = open_shards(in_order(arguments.logits), column=arguments.column, follow_links=links)
    student = None
    if arguments.student is not None:
        student = open_shards(in_order(arguments.student), column=arguments.student_column, follow_links=links)
    # All that can be said without reading the logits is said before hours may be spent on reading them.
    rows = teacher.rows
    if rows == 0:
        raise ValueError(f"logits: expected at least one row, got shape (0, {teacher.classes})")
    if student is not None and student.rows != rows:
        raise ValueError(f"student_logits: expected a row for every row of logits, {rows}, got {student.rows}")
    if student is not None and isinstance(teacher, Shards):
        check_paired(teacher, student, "student_logits")
    shards = teacher if isinstance(teacher, Shards) else teacher.shards
    mask = inputs.exclude_mask(of_rows("exclude", shards), rows)
    chosen = inputs.exclude_mask(of_rows("chosen", shards), rows, "chosen")
    both = mask if chosen is None else chosen if mask is None else mask | chosen
    inputs.budget(arguments.budget, rows, 0 if both is None else int(np.count_nonzero(both)))
    gains = of_rows("gain", shards)
    gain = arguments.gain if gains is None else inputs.gain_array(gains, rows, both)
    labelled = None if arguments.labelled_logits is None else Labelled(arguments, of_rows)
    if labelled is not None and isinstance(teacher, Shards):
        check_classes(teacher, labelled.teacher, "--labelled-logits")
    correctness = given_correctness(arguments, teacher, both, of_rows, labelled)
    agreement = given_agreement(rows, both, of_rows("agreement", shards))
    top_k = None if isinstance(teacher, LabelFile) else given_top_k(arguments, teacher, of_rows)
    probabilities = (arguments.probabilities, arguments.student_probabilities)
    files = {"logits": teacher.paths, "--student": () if student is None else student.paths, **of_rows.paths}
    files |= {} if labelled is None else labelled.paths
    files["--top-k"] = () if top_k is None else top_k.paths

    for place in outputs:
        refuse_inputs(place, (path for paths in files.values() for path in paths))

    def job() -> dict[str, Any]:
        number = arguments.correctness if inputs.is_number(arguments.correctness) else None
        settings = {"--column": arguments.column, "--correctness": number}
        settings |= {} if top_k is None else {"--classes": top_k.n_classes}
        settings |= {"--gain": gain if isinstance(gain, str) else "a file"}
        settings |= {} if not any(probabilities) else {"--probabilities": probabilities}
        scored_from = {name: paths for name, paths in files.items() if name not in ("--exclude", "--chosen")}
        return job_of(selector, teacher, scored_from, {**settings, "--student-column": arguments.student_column})

    workdir = None if arguments.workdir is None else Workdir(arguments.workdir, job())
    if workdir is not None:
        held.callback(workdir.unlock)
    with progress(rows, workdir.rows if workdir else 0) as advance:
        of_points = OfPoints(gain, correctness, chosen, mask, agreement)
        given = (selector, teacher, student, of_points, workdir, CHUNK_BYTES, advance)
        score(*given, top_k=top_k, probabilities=probabilities, upload=upload)
    if workdir is not None:
        workdir.unchanged(job())
    if isinstance(teacher, LabelFile):
        selector._state.unanswered = int(np.count_nonzero(teacher.unanswered))  # of an earlier run in the folder, too
    about = {
        "classes": teacher.classes if top_k is None else top_k.n_classes,
        "dtype": teacher.dtype,
        "correctness_from": source(correctness),
        **({"shards": teacher.described()} if len(teacher.paths) > 1 else {}),
    }
    return selector.finalize(), about
