"""Changes lines of a module one at a time and counts which of these mutants its tests let pass: ``make mutants``.

    python tests/mutants.py [--sample N] [MODULE ...]

cosmic-ray makes the mutants, in place, and each line is put back. What was found is kept in build/mutants: a run that
was stopped goes on from there, and so does one with a larger sample. Survivors are printed with the line that was
changed. The tests of a mutant run in a fork of this process, which has the heavy libraries imported already.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import os
import random
import shlex
import signal
import sys
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from cosmic_ray.commands import init
from cosmic_ray.modules import find_modules
from cosmic_ray.mutating import use_mutation
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkItem, WorkResult

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "mutants"
LIBRARIES = ("numpy", "scipy.optimize", "scipy.special", "pytest", "torch", "torch.utils.data", "pandas")
LIMIT = 900  # seconds that the tests of a mutant may take: a loop that does not end is found out
TESTS = {  # the tests that a module's lines are held by; few and quick
    "rad_fast/calibration/calibrator.py": "tests/calibration/test_calibrator.py tests/inputs/test_teacher_labels.py "
    "tests/cases/test_lines_that_matter.py",
    "rad_fast/distill/journal.py": "tests/cases/test_journals_and_identity.py",
    "rad_fast/distill/ledger.py": "tests/distill/test_resume.py tests/cases/test_lines_that_matter.py "
    "tests/cases/test_journals_and_identity.py",
    "rad_fast/distill/querying.py": "tests/distill/test_resume.py",
    "rad_fast/distill/rows.py": "tests/cases/test_rows_by_position.py",
    "rad_fast/distill/identity.py": "tests/cases/test_digests.py",
    "rad_fast/distill/data.py": "tests/distill/test_data.py tests/cases/test_training_and_sampling.py",
    "rad_fast/game": "tests/cases/test_certificates.py tests/game -k 'not numba and not v2 and not v3'",
    "rad_fast/storage/workdir.py": "tests/storage/test_workdir.py tests/cases/test_score_folders.py",
    "rad_fast/storage/readers": "tests/cases/test_stored_files.py tests/cases/test_numbers_in_files.py "
    "tests/storage/test_readers.py tests/cases/test_paired_shards.py tests/storage/test_broken_headers.py "
    "tests/cases/test_score_folders.py -k 'not journal and not disk'",
    "rad_fast/inputs": "tests/inputs tests/cases/test_masks.py tests/cases/test_ragged_top_k.py "
    "tests/cases/test_probabilities_for_logits.py tests/cases/test_what_is_no_array.py",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("modules", nargs="*", default=[], metavar="MODULE", help="all that are named in TESTS")
    parser.add_argument("--sample", type=int, metavar="N", help="so many mutants of each module, drawn by a fixed seed")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    sys.dont_write_bytecode = True  # a mutant has the size of its original, and may have its time
    for library in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(library)
    for module in arguments.modules or TESTS:
        found(module, arguments.sample)


def found(module: str, sample: int | None) -> None:
    """Try the mutants of a module that were not tried yet, and report."""
    paths = list(find_modules([Path(module)]))
    content = zlib.crc32(b"".join(path.read_bytes() for path in paths))
    FOLDER.mkdir(parents=True, exist_ok=True)
    session = FOLDER / f"{module.replace('/', '-')}-{content:08x}.sqlite"
    with use_db(str(session), WorkDB.Mode.create) as db:
        if db.num_work_items == 0:
            init(paths, db, {})
        drawn = [item for item in shuffled(db.work_items) if not in_annotation(item.mutations[0])]
        known = dict(db.results)
        if outcome(module) == TestOutcome.KILLED:
            sys.exit(f"{module}: the tests fail without any mutant: {TESTS[module]}")
        for item in drawn[:sample]:
            if item.job_id not in known:
                known[item.job_id] = tried(item, module)
                db.set_result(item.job_id, known[item.job_id])
        report(module, [(item, known[item.job_id]) for item in drawn[:sample]], len(drawn))


def shuffled(items: Iterator[WorkItem]) -> list[WorkItem]:
    """In an order that is the same every time: a larger sample contains a smaller one."""

    def key(item: WorkItem) -> tuple[str, str, int, str]:
        mutation = item.mutations[0]
        return str(mutation.module_path), mutation.operator_name, mutation.occurrence, str(mutation.operator_args)

    ordered = sorted(items, key=key)
    random.Random(0).shuffle(ordered)
    return ordered


def in_annotation(mutation: MutationSpec) -> bool:
    """Whether a mutant is of a type: nobody evaluates these, so that it is its original."""
    tree = ast.parse(mutation.module_path.read_text(encoding="utf-8"))
    types: list[ast.expr | None] = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            types.append(node.returns)
        elif isinstance(node, (ast.arg, ast.AnnAssign)):
            types.append(node.annotation)
    spans = [((t.lineno, t.col_offset), (t.end_lineno or 0, t.end_col_offset or 0)) for t in types if t is not None]
    return any(begin <= tuple(mutation.start_pos) < end for begin, end in spans)


def tried(item: WorkItem, module: str) -> WorkResult:
    (mutation,) = item.mutations
    operator = get_operator(mutation.operator_name)(**mutation.operator_args)
    with use_mutation(mutation.module_path, operator, mutation.occurrence) as (before, after):
        if after is None or after == before:
            return WorkResult(WorkerOutcome.NO_TEST)
        pairs = zip(before.splitlines(), after.splitlines(), strict=False)
        diff = "\n".join(f"- {old.strip()}\n+ {new.strip()}" for old, new in pairs if old != new)
        return WorkResult(WorkerOutcome.NORMAL, diff=diff, test_outcome=outcome(module))


def outcome(module: str) -> TestOutcome:
    """Whether the module's tests pass, run in a fork."""
    child = os.fork()
    if child == 0:
        signal.alarm(LIMIT)  # ends the process, whatever it is in
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        code = 3
        try:
            import pytest

            warnings.resetwarnings()
            code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *shlex.split(TESTS[module])]))
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return TestOutcome.SURVIVED if status == 0 else TestOutcome.KILLED


def report(module: str, results: list[tuple[WorkItem, WorkResult]], made: int) -> None:
    """How many were killed, and where the others are."""
    outcomes = Counter(result.test_outcome for _, result in results)
    for item, result in results:
        if result.test_outcome == TestOutcome.SURVIVED:
            mutation = item.mutations[0]
            place = f"{mutation.module_path}:{mutation.start_pos[0]}"
            sys.stdout.write(f"{place} survived: {mutation.operator_name}\n{result.diff}\n")
    killed = outcomes[TestOutcome.KILLED]
    tried_in_all = killed + outcomes[TestOutcome.SURVIVED]
    sys.stdout.write(f"{module}: {killed} of {tried_in_all} mutants killed ({made} in all)\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
