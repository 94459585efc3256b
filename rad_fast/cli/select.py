"""rad-fast select: choose points from the logits in files."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import rad_fast
from rad_fast import inputs
from rad_fast.device import backends
from rad_fast.device.upload import upload_for
from rad_fast.storage.npy import check_writable, open_npy, write_npy, write_text, write_together
from rad_fast.storage.readers import Shards, open_shards
from rad_fast.storage.workdir import Workdir

from .messages import UsageError
from .scoring import TopKFiles, job_of, score

CHUNK_BYTES = 64 << 20  # of logits scored at a time: enough for all threads, and a progress bar that moves


def add_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "logits",
        metavar="SHARDS",
        nargs="+",
        type=Path,
        help="the teacher's logits, (points, classes): .npy, .safetensors, .parquet, .arrow or .zarr, or a saved "
        "Hugging Face dataset; files in the order given, or a folder or a quoted pattern of them in natural order",
    )
    sub.add_argument(
        "--budget",
        metavar="B",
        type=number,
        required=True,
        help="how many points to select: 500, or 0.05 or 5%% of them",
    )
    sub.add_argument("--student", metavar="FILE", type=Path, help="the student's logits of the same points, likewise")
    sub.add_argument(
        "--column", metavar="NAME", help="which column, tensor or array of SHARDS, where there are several"
    )
    sub.add_argument("--student-column", metavar="NAME", help="the same of --student")
    sub.add_argument("--follow-links", action="store_true", help="follow symbolic links out of a given folder")
    sub.add_argument(
        "--workdir",
        metavar="DIR",
        type=Path,
        help="keep the scores in this folder: the same command goes on there after it was killed, and with another "
        "--budget, --seed or --mistakes it does not score again",
    )
    top_k = sub.add_argument_group("top k", "where SHARDS hold the k largest logits of each row alone")
    top_k.add_argument("--top-k", metavar="FILE", type=Path, help="their classes, integers of the same shape, .npy")
    top_k.add_argument("--classes", metavar="C", type=int, help="how many classes there are in all")
    top_k.add_argument(
        "--logsumexp", metavar="FILE", type=Path, help="log(sum(exp(logits))) of each row over all classes, .npy"
    )
    labelled = sub.add_argument_group("correctness", "the teacher's own confidence where nothing is given")
    labelled.add_argument(
        "--labelled-logits", metavar="FILE", type=Path, help="the teacher's logits of labelled points"
    )
    labelled.add_argument(
        "--labels", metavar="FILE", type=Path, help="the true classes of these points, integers, .npy"
    )
    labelled.add_argument("--labelled-student", metavar="FILE", type=Path, help="the student's logits of these points")
    labelled.add_argument(
        "--correctness",
        metavar="FILE|NUMBER",
        type=file_or_number,
        help="instead: the probability that each point's label is right, .npy, or the teacher's average accuracy",
    )
    labelled.add_argument(
        "--mistakes",
        metavar="M",
        type=number,
        help="how many more labels may be wrong: a count, or a fraction below 1 (default: from the correctness)",
    )
    sub.add_argument("--exclude", metavar="FILE", type=Path, help="points never to select: a mask or indices, .npy")
    sub.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        help="where the indices go, .npy, and the report beside it, .json (default: in DIR, or beside SHARDS, "
        ".selected.npy)",
    )
    sub.add_argument("--seed", metavar="S", type=int, default=0, help="the same scores and seed: the same indices (0)")
    sub.add_argument(
        "--backend",
        choices=backends.NAMES,
        default="auto",
        help="which kernels (auto: the fastest in host memory; triton and cuda: on a GPU)",
    )
    sub.add_argument(
        "--invalid", choices=("raise", "exclude"), default="raise", help="what to do with rows of NaN or +inf"
    )


def number(text: str) -> int | float:
    """500 is a count, 0.05 and 5% are fractions."""
    bare = text.strip()
    try:
        if bare.endswith("%"):
            percent = float(bare[:-1])
            if not 0.0 <= percent <= 100.0:
                raise argparse.ArgumentTypeError(f"expected 0% to 100%, got {text!r}")
            return percent / 100.0
        return int(bare)
    except ValueError:
        pass
    try:
        return float(bare)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected a number such as 500, 0.05 or 5%, got {text!r}") from error


def file_or_number(text: str) -> Path | float:
    try:
        return float(number(text))
    except argparse.ArgumentTypeError:
        return Path(text)


def run(arguments: argparse.Namespace) -> None:
    """rad-fast select: score the file in chunks, select, write the indices and the report."""
    check_combinations(arguments)
    out = output(arguments)
    report_path = out.with_suffix(".json")
    check_outputs((out, report_path), arguments)

    with said_of(options(arguments)):
        selection, about = selected(arguments)
    report = {
        **selection.report(),
        **about,
        "indices": out.name,
        "arguments": plain(arguments),
        "versions": {"rad_fast": rad_fast.__version__, "numpy": np.__version__, "python": platform.python_version()},
    }
    text = json.dumps(report, indent=2, allow_nan=False).removesuffix("\n}")
    # What rad-fast report draws, on a line of its own: thousands of counts.
    text += f',\n  "figures": {json.dumps(selection._figures, allow_nan=False)}\n}}\n'
    write_together({report_path: write_text(text), out: write_npy(selection.on_host()[0])})
    print(selection.summary())
    print(f"indices in {out}, the report in {report_path}")


def selected(arguments: argparse.Namespace) -> tuple[rad_fast.Selection, dict[str, Any]]:
    """The selection from the files, and what the report says about them."""
    selector = rad_fast.Selector(
        arguments.budget,
        mistakes=arguments.mistakes,
        seed=arguments.seed,
        invalid=arguments.invalid,
        backend=arguments.backend,
    )
    upload = upload_for(arguments.backend)
    links = arguments.follow_links
    teacher: Shards = open_shards(arguments.logits, column=arguments.column, follow_links=links)
    student = None
    if arguments.student is not None:
        student = open_shards([arguments.student], column=arguments.student_column, follow_links=links)
    # All that can be said without reading the logits is said before hours may be spent on reading them.
    rows = teacher.rows
    if rows == 0:
        raise ValueError(f"logits: expected at least one row, got shape (0, {teacher.classes})")
    if student is not None and student.rows != rows:
        raise ValueError(f"student_logits: expected a row for every row of logits, {rows}, got {student.rows}")
    mask = None if arguments.exclude is None else inputs.exclude_mask(open_npy(arguments.exclude), rows)
    inputs.budget(arguments.budget, rows, 0 if mask is None else int(np.count_nonzero(mask)))
    correctness = given_correctness(arguments, rows, mask)
    top_k = given_top_k(arguments, teacher)
    files = dict(zip(("logits", "--student"), (teacher.paths, student.paths if student else ()), strict=True))
    for name in ("exclude", "top_k", "logsumexp", "correctness", "labels", "labelled_logits", "labelled_student"):
        value = getattr(arguments, name)
        files["--" + name.replace("_", "-")] = (value,) if isinstance(value, Path) else ()

    def job() -> dict[str, Any]:
        number = None if isinstance(arguments.correctness, Path) else arguments.correctness
        settings = {"--invalid": arguments.invalid, "--column": arguments.column, "--correctness": number}
        settings |= {} if top_k is None else {"--classes": top_k.n_classes}
        return job_of(selector, teacher, files, {**settings, "--student-column": arguments.student_column})

    workdir = None if arguments.workdir is None else Workdir(arguments.workdir, job())
    with progress(rows, workdir.done["rows"] if workdir else 0) as advance:
        given = (selector, teacher, student, correctness, mask, workdir)
        score(*given, CHUNK_BYTES, advance, top_k=top_k, upload=upload)
    if workdir is not None:
        workdir.unchanged(job())
    return selector.finalize(), {
        "classes": teacher.classes if top_k is None else top_k.n_classes,
        "dtype": teacher.dtype,
        "correctness_from": source(correctness),
        **({"shards": teacher.described()} if len(teacher.paths) > 1 else {}),
    }


def given_top_k(arguments: argparse.Namespace, teacher: Shards) -> TopKFiles | None:
    if arguments.top_k is None:
        return None
    indices = open_npy(arguments.top_k)
    sums = None if arguments.logsumexp is None else open_npy(arguments.logsumexp)
    shape = (teacher.rows, teacher.classes)
    if indices.shape != shape:
        raise ValueError(f"{arguments.top_k}: expected a class for every value, shape {shape}, got {indices.shape}")
    if sums is not None and sums.shape != shape[:1]:
        raise ValueError(f"{arguments.logsumexp}: expected one number a row, shape {shape[:1]}, got {sums.shape}")
    return TopKFiles(indices, arguments.classes, sums)


def output(arguments: argparse.Namespace) -> Path:
    """Where the indices go."""
    if arguments.out is not None:
        return Path(arguments.out)
    if arguments.workdir is not None:
        return Path(arguments.workdir, "selected.npy")
    given: list[Path] = arguments.logits
    if len(given) > 1 or not (given[0].exists() or given[0].suffix):
        raise UsageError("--out: expected with several SHARDS (or --workdir): there is no one place beside them")
    return given[0].with_name(given[0].stem + ".selected.npy")


def check_combinations(arguments: argparse.Namespace) -> None:
    if (arguments.labelled_logits is None) != (arguments.labels is None):
        raise UsageError("--labelled-logits and --labels: expected both or neither")
    if (arguments.top_k is None) != (arguments.classes is None):
        raise UsageError("--top-k and --classes: expected both or neither")
    if arguments.logsumexp is not None and arguments.top_k is None:
        raise UsageError("--logsumexp: expected --top-k and --classes with it")
    if arguments.top_k is not None and arguments.backend in backends.DEVICE:
        raise UsageError("--top-k: expected a --backend in host memory")
    if arguments.labelled_student is not None and (arguments.labels is None or arguments.student is None):
        raise UsageError("--labelled-student: expected --labelled-logits, --labels and --student with it")
    if arguments.correctness is not None and arguments.labels is not None:
        raise UsageError("--correctness and --labels: expected one of them, given or calibrated")
    if arguments.out is not None and arguments.out.suffix != ".npy":
        raise UsageError(f"--out: expected a name that ends in .npy, got {arguments.out}")


def check_outputs(outputs: Sequence[Path], arguments: argparse.Namespace) -> None:
    """Refuse what could not be written, or would overwrite an input."""
    given = [
        path for name, path in vars(arguments).items() if isinstance(path, Path) and name not in ("out", "workdir")
    ]
    for output in outputs:
        for path in [*arguments.logits, *given]:
            if path.is_dir() and Path(os.path.realpath(output)).is_relative_to(os.path.realpath(path)):
                raise ValueError(f"{output}: expected a place outside of {path}, choose one with --out or --workdir")
            if os.path.realpath(path) == os.path.realpath(output) or (
                path.exists() and output.exists() and path.samefile(output)
            ):
                raise ValueError(f"{output}: expected a place other than the inputs', choose one with --out")
        if arguments.workdir is None or arguments.workdir.is_dir() or output.parent != arguments.workdir:
            check_writable(output)


def given_correctness(arguments: argparse.Namespace, rows: int, mask: npt.NDArray[np.bool_] | None) -> Any:
    """None, a number, a checked array, or a Calibrator fitted on the labelled points."""
    if arguments.labelled_logits is not None:
        calibrator = rad_fast.Calibrator(backend=arguments.backend)
        teacher, labels = open_npy(arguments.labelled_logits), open_npy(arguments.labels)
        student = None if arguments.labelled_student is None else open_npy(arguments.labelled_student)
        names = ("labelled_logits", "labels", "labelled_student")
        said = dict(zip(("teacher_logits", "labels", "student_logits"), names, strict=True))
        with said_of({name: option(arguments, value) for name, value in said.items()}):
            return calibrator.fit(teacher, labels, student)
    if isinstance(arguments.correctness, Path):
        return inputs.correctness_array(open_npy(arguments.correctness), rows, mask)
    return arguments.correctness


def source(correctness: Any) -> str:
    """Where the correctness came from, for the report."""
    if correctness is None:
        return "the teacher's confidence"
    if isinstance(correctness, rad_fast.Calibrator):
        models = "both models" if correctness.needs_student_ else "the teacher alone"
        labelled, error = correctness.n_labelled_, correctness.error_
        return f"calibration on {models}, {labelled} labelled points, the teacher's error on them {error:.4g}"
    return "a file" if isinstance(correctness, np.ndarray) else f"the teacher's average accuracy, {correctness:g}"


def options(arguments: argparse.Namespace) -> dict[str, str]:
    """What the arguments that messages name are called on this command line."""
    names = {"logits": "logits", "student_logits": "student"}
    names |= {name: name for name in ("budget", "mistakes", "correctness", "exclude", "seed", "backend", "invalid")}
    return {name: option(arguments, given) for name, given in names.items()}


def option(arguments: argparse.Namespace, name: str) -> str:
    value = getattr(arguments, name)
    if name == "logits":
        return str(value[0]) if len(value) == 1 else f"{value[0]} to {value[-1]}"
    flag = "--" + name.replace("_", "-")
    return f"{flag} {value}" if isinstance(value, Path) else flag


@contextlib.contextmanager
def said_of(names: dict[str, str]) -> Iterator[None]:
    """Errors about arguments of the library as errors about options and files."""
    try:
        yield
    except (TypeError, ValueError) as error:
        name, colon, rest = str(error).partition(":")
        rest = rest.replace('invalid="exclude"', "--invalid exclude")
        if colon and name in names:
            raise ValueError(f"{names[name]}:{rest}") from error
        raise


def plain(arguments: argparse.Namespace) -> dict[str, Any]:
    """The arguments as JSON holds them; of files the names alone, so that a report says nothing about the machine."""
    kept = {name: value for name, value in vars(arguments).items() if name not in ("run", "parser")}
    kept["logits"] = kept["logits"][0] if len(kept["logits"]) == 1 else [path.name for path in kept["logits"]]
    return {name: value.name if isinstance(value, Path) else value for name, value in kept.items()}


@contextlib.contextmanager
def progress(rows: int, done: int = 0) -> Iterator[Callable[[int], object]]:
    """A bar with rows a second and the time left, where tqdm is installed and someone looks at a terminal."""
    try:
        from tqdm import tqdm
    except ImportError:
        tqdm = None
    if tqdm is None or not sys.stderr.isatty():
        yield lambda count: None
        return
    with tqdm(total=rows, initial=done, desc="scoring", unit=" rows", unit_scale=True, leave=False) as bar:
        yield bar.update
