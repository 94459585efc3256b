"""The options of rad-fast select: which there are, which go together, and what messages call them."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rad_fast.cli.messages import UsageError
from rad_fast.device import backends
from rad_fast.inputs import GIVE, ON_DEVICE, Share
from rad_fast.report.table import SUFFIXES


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
    sub.add_argument(
        "--student",
        metavar="FILE",
        nargs="+",
        type=Path,
        help="the student's logits of the same points, in any of these forms",
    )
    sub.add_argument("--column", metavar="NAME", help="which column, tensor or array of SHARDS, if there are several")
    sub.add_argument(
        "--student-column", metavar="NAME", help="the same for --student; without --student, a column of SHARDS"
    )
    sub.add_argument("--probabilities", action="store_true", help="SHARDS hold probabilities, such as softmax outputs")
    sub.add_argument("--student-probabilities", action="store_true", help="the same for --student")
    sub.add_argument(
        "--teacher-labels",
        action="store_true",
        help="SHARDS hold the teacher's labels, integers (-1: no answer); needs --classes",
    )
    sub.add_argument(
        "--teacher-confidence",
        metavar="FILE",
        nargs="+",
        type=Path,
        help="how likely the teacher says each label is right",
    )
    sub.add_argument("--follow-links", action="store_true", help="follow symbolic links out of a given folder")
    sub.add_argument(
        "--workdir",
        metavar="DIR",
        type=Path,
        help="keep the scores in this folder: if the command is interrupted, give it again and it continues; another "
        "--budget, --seed or --mistakes needs no scoring",
    )
    top_k = sub.add_argument_group("top k", "if SHARDS hold only the k largest logits of each row")
    top_k.add_argument(
        "--top-k",
        metavar="FILE",
        type=Path,
        nargs="+",
        help="their classes, integers of the same shape, in the same form",
    )
    top_k.add_argument("--classes", metavar="C", type=int, help="how many classes there are in all")
    top_k.add_argument(
        "--logsumexp", metavar="FILE", nargs="+", type=Path, help="log(sum(exp(logits))) of each row over all classes"
    )
    labelled = sub.add_argument_group("correctness", "by default the teacher's own confidence")
    labelled.add_argument(
        "--labelled-logits",
        metavar="FILE",
        nargs="+",
        type=Path,
        help="the teacher's logits of labelled points; with --teacher-labels its labels",
    )
    labelled.add_argument(
        "--labels", metavar="FILE", nargs="+", type=Path, help="the true classes of these points, integers"
    )
    labelled.add_argument(
        "--labelled-student", metavar="FILE", nargs="+", type=Path, help="the student's logits of these points"
    )
    labelled.add_argument(
        "--labelled-confidence", metavar="FILE", nargs="+", type=Path, help="--teacher-confidence of these points"
    )
    labelled.add_argument(
        "--agreement",
        metavar="FILE",
        nargs="+",
        type=Path,
        help="the share of each point's neighbours that have its label, as rad_fast.agreement gives it; the "
        "calibration learns from --labelled-agreement what it is worth",
    )
    labelled.add_argument(
        "--labelled-agreement", metavar="FILE", nargs="+", type=Path, help="the same for the labelled points"
    )
    labelled.add_argument(
        "--correctness",
        metavar="FILE|NUMBER",
        nargs="+",
        action=OneOrFiles,
        type=file_or_number,
        help="instead: the probability that each point's label is right, or the teacher's average accuracy",
    )
    labelled.add_argument(
        "--mistakes",
        metavar="M",
        type=count_or_percent,
        help="how many more labels may be wrong: a count, or a fraction below 1 (default: from the correctness)",
    )
    rule = sub.add_argument_group("the rule")
    rule.add_argument(
        "--gain",
        metavar="G",
        nargs="+",
        action=OneOrFiles,
        type=word_or_file("auto", "label", "margin"),
        default="auto",
        help="what the student would learn: label (1 - its probability of the teacher's label), margin, or files of "
        "numbers in [0, 1] (auto: label where the student has the teacher's classes)",
    )
    rule.add_argument(
        "--quotas",
        metavar="Q",
        nargs="+",
        action=OneOrFiles,
        type=word_or_file("auto", "equal", "proportional", "none"),
        default="auto",
        help="how the budget is shared out among the teacher's labels: equal, proportional, none, or a file of "
        "weights, one per class (auto: by how often each label occurs, as far as a sample of the labelled points' size "
        "can show; without labelled points by the square root of that)",
    )
    rule.add_argument(
        "--chosen",
        metavar="FILE",
        nargs="+",
        type=Path,
        help="points selected before, a mask or indices: quotas count them, and they are not selected again",
    )
    sub.add_argument(
        "--exclude", metavar="FILE", nargs="+", type=Path, help="points never to select: a mask or indices"
    )
    sub.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        help="where the selected points go: .npy for their indices alone, .csv or .parquet for a table (index, label, "
        "gain, correctness, probability, weight, why); the report goes beside it, .json (default: in DIR, or beside "
        "SHARDS, .selected.npy)",
    )
    sub.add_argument(
        "--seed", metavar="S", type=int, default=0, help="the same scores and seed give the same indices (0)"
    )
    sub.add_argument(
        "--backend",
        choices=backends.NAMES,
        default="auto",
        help="which kernels (auto: the fastest in host memory; triton, cuda and triton+cuda: on a GPU)",
    )
    sub.add_argument(
        "--invalid", choices=("raise", "exclude"), default="raise", help="what to do with rows of NaN or +inf"
    )


class OneOrFiles(argparse.Action):
    """A word or a number as it is, or else a list of files."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        others = [value for value in values if not isinstance(value, Path)]
        if others and len(values) > 1:
            parser.error(f"argument {option_string}: expected files, or {others[0]} alone")
        setattr(namespace, self.dest, others[0] if others else values)


def number(text: str) -> int | float:
    """500 is a count, 0.05 and 5% are fractions, 100% among them."""
    bare = text.strip()
    try:
        if bare.endswith("%"):
            percent = float(bare[:-1])
            if not 0.0 <= percent <= 100.0:
                raise argparse.ArgumentTypeError(f"expected 0% to 100%, got {text!r}")
            return Share(percent / 100.0)
        return int(bare)
    except ValueError:
        pass
    try:
        return float(bare)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected a number such as 500, 0.05 or 5%, got {text!r}") from error


def count_or_percent(text: str) -> int | float | str:
    """As ``number``; 100% stays what it says, as 1.0 is a count of mistakes."""
    value = number(text)
    return text.strip() if text.strip().endswith("%") else value


def file_or_number(text: str) -> Path | float:
    try:
        return float(number(text))
    except argparse.ArgumentTypeError:
        return Path(text)


def word_or_file(*words: str) -> Callable[[str], str | Path]:
    """One of the words, or else a file; a file of such a name is given as ./auto."""

    def word_or_path(text: str) -> str | Path:
        if text.isalpha() and text not in words and not Path(text).exists():
            raise argparse.ArgumentTypeError(f"expected {', '.join(words)} or a file; there is no file {text!r}")
        return text if text in words else Path(text)

    return word_or_path


def check_combinations(arguments: argparse.Namespace) -> None:
    if (arguments.labelled_logits is None) != (arguments.labels is None):
        raise UsageError("--labelled-logits and --labels: expected both or neither")
    if arguments.classes is None and (arguments.top_k is not None or arguments.teacher_labels):
        needs = "--teacher-labels" if arguments.teacher_labels else "--top-k"
        raise UsageError(f"--classes: expected with {needs}: how many classes there are in all")
    if arguments.classes is not None and arguments.top_k is None and not arguments.teacher_labels:
        raise UsageError("--classes: expected only together with --top-k or --teacher-labels")
    if arguments.student_column is not None and arguments.student is None:
        arguments.student = arguments.logits  # another column of the same files
    if arguments.teacher_labels:
        check_labels(arguments)
    elif arguments.teacher_confidence is not None or arguments.labelled_confidence is not None:
        given = "teacher" if arguments.teacher_confidence is not None else "labelled"
        raise UsageError(f"--{given}-confidence: expected together with --teacher-labels")
    if arguments.probabilities and (arguments.top_k is not None or arguments.backend in ON_DEVICE):
        raise UsageError("--probabilities: expected without --top-k, and with a --backend in host memory")
    if arguments.student_probabilities and arguments.student is None:
        raise UsageError("--student-probabilities: expected together with --student")
    if arguments.logsumexp is not None and arguments.top_k is None:
        raise UsageError("--logsumexp: expected together with --top-k and --classes")
    if arguments.top_k is not None and arguments.backend in ON_DEVICE:
        raise UsageError("--top-k: expected with a --backend in host memory")
    if arguments.labelled_student is not None and (arguments.labels is None or arguments.student is None):
        raise UsageError("--labelled-student: expected together with --labelled-logits, --labels and --student")
    if (arguments.agreement is None) != (arguments.labelled_agreement is None) or (
        arguments.agreement is not None and arguments.labels is None
    ):
        raise UsageError(
            "--agreement and --labelled-agreement: expected both, with --labelled-logits and --labels, or neither"
        )
    if arguments.correctness is not None and arguments.labels is not None:
        raise UsageError("--correctness and --labels: expected only one of them")
    if arguments.out is not None and arguments.out.suffix not in SUFFIXES:
        raise UsageError(f"--out: expected a name that ends in {', '.join(SUFFIXES)}, got {arguments.out}")


def check_labels(arguments: argparse.Namespace) -> None:
    if arguments.top_k is not None or arguments.probabilities or arguments.backend in ON_DEVICE:
        raise UsageError(
            "--teacher-labels: expected without --top-k and --probabilities, and with a --backend in host memory"
        )
    if arguments.labels is None and arguments.labelled_confidence is not None:
        raise UsageError("--labelled-confidence: expected together with --labelled-logits and --labels")
    one_alone = (arguments.teacher_confidence is None) != (arguments.labelled_confidence is None)
    if arguments.labels is not None and one_alone:
        raise UsageError(
            "--teacher-confidence and --labelled-confidence: expected both, or neither, as the calibration learns from "
            "the one what the other is worth"
        )


def options(arguments: argparse.Namespace) -> dict[str, str]:
    """What the arguments that messages name are called on this command line."""
    names = {"logits": "logits", "student_logits": "student"}
    own = (
        "budget",
        "mistakes",
        "correctness",
        "exclude",
        "seed",
        "backend",
        "invalid",
        "gain",
        "quotas",
        "chosen",
        "agreement",
    )
    names |= {name: name for name in own}
    return {name: option(arguments, given) for name, given in names.items()}


def option(arguments: argparse.Namespace, name: str) -> str:
    value = getattr(arguments, name)
    if name == "logits":
        return str(value[0]) if len(value) == 1 else f"{value[0]} to {value[-1]}"
    flag = "--" + name.replace("_", "-")
    if isinstance(value, list) and value:
        value = value[0] if len(value) == 1 else f"{value[0]} to {value[-1]}"
    return f"{flag} {value}" if isinstance(value, (Path, str)) else flag


IN_PYTHON = {  # arguments that messages tell to give, and what they are here
    "confidence= with TeacherLabels": "--teacher-confidence",
    "student_logits=": "--student",
    "gain=": "--gain",
    "rad_fast.TeacherLabels(labels, n_classes=...)": "--teacher-labels --classes C",
    "budget=": "--budget",
    "rate=": "--rate",
    " of=": " --of",
}


@contextlib.contextmanager
def said_of(names: dict[str, str]) -> Iterator[None]:
    """Errors about arguments of the library as errors about options and files."""
    try:
        yield
    except (TypeError, ValueError) as error:
        name, colon, rest = str(error).partition(":")
        rest = rest.replace('invalid="exclude"', "--invalid exclude")
        prefix = {"student_logits": "--student-"}.get(name, "--")
        rest = rest.replace(GIVE, f"{prefix}probabilities" if name in ("logits", "student_logits") else "logits")
        for argument, flag in IN_PYTHON.items():
            rest = rest.replace(argument, flag)
        if colon and (name in names or f"{name}:{rest}" != str(error)):
            raise ValueError(f"{names.get(name, name)}:{rest}") from error
        raise
