"""Changes lines of a module one at a time and counts which of these mutants its tests let pass: ``make mutants``.

    python tests/mutants.py [--sample N] [--seed S] [MODULE ...]

cosmic-ray makes the mutants, in place, and each line is put back. What was found is kept in build/mutants: a run that
was stopped goes on from there, and so does one with a larger sample. Survivors are printed with the line that was
changed. The tests of a mutant run in a fork of this process, which has the heavy libraries imported already: only those
that come to the line, and first those that have noticed a mutant before, then the quickest ones. What is no Python,
what Python warns of, and what means the same (``tests/equal_mutants.py``) is not drawn.
"""

from __future__ import annotations

import argparse
import ast
import compileall
import contextlib
import functools
import gc
import importlib
import os
import pickle
import random
import resource
import shlex
import signal
import sys
import tempfile
import threading
import time
import warnings
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Any, NamedTuple

from cosmic_ray.commands import init
from cosmic_ray.modules import find_modules
from cosmic_ray.mutating import use_mutation
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, WorkItem
from equal_mutants import EQUAL
from scipy.stats import binomtest

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "mutants"
LIBRARIES = (
    "numpy", "scipy.optimize", "scipy.special", "scipy.stats", "pytest", "hypothesis", "torch", "torch.utils.data",
    "torch._dynamo", "tqdm.auto", "pandas", "pyarrow.parquet", "sklearn.linear_model", "sklearn.isotonic", "h5py",
    "zarr", "numba", "datasets", "polars", "safetensors.numpy",
)  # fmt: skip
OPTIONS = ["-x", "-q", "-p", "no:cacheprovider", "--assert=plain"]  # nothing is rewritten: nobody reads it
WAIT = 120, 0.2  # who has had so little processor time in so many seconds waits for ever
CPU = 4, 10.0  # so many times the processor time of a test without any mutant, and seconds: a loop that does not end
MEMORY = 8 << 30  # bytes
LONGEST = 2.0  # CPU seconds of a test at most, without any mutant: a longer one is left out
# Comparisons that say the same of a number that is never below 0 and of 0, in this order and in the other.
SAME_OF_LENGTH = ("Eq_LtE", "LtE_Eq", "NotEq_Gt", "Gt_NotEq")
SAME_OF_NUMBER = ("Eq_GtE", "GtE_Eq", "NotEq_Lt", "Lt_NotEq")
LOOKS = ("stacklevel", "indent")  # arguments that change where a message points, or how a text looks
# A module's lines are held by these tests, few and quick: none that compiles first or starts another interpreter, and
# none that plays hundreds of games one after the other.
SLOW = (
    "numba", "v2", "v3", "command", "process", "worlds", "killed_at_twenty", "full_disk", "a_second_run_does_not",
    "a_rank_that_ends", "a_stream_s_labelled", "any_byte_changed", "box_that_misses", "depend_on_the_sample",
    "the_larger_of_threshold", "linear_programs", "million_points", "large_game", "every_case_of_the_solver",
    "no_bit_of_the_answer", "is_worth_something_as_long", "neither_summed_nor_taken", "takes_points_with_just",
    "maximum_likelihood", "report_page_and_json", "promise_more",
)  # fmt: skip
# Nothing here can run these: tests/cuda and tests/gpu do, with a compiler or a device.
ELSEWHERE = ("rad_fast/game/on_device.py",)
QUICK = "not (" + " or ".join(SLOW) + ")"
TESTS = {
    "rad_fast/calibration": "tests/calibration tests/inputs/test_teacher_labels.py "
    "tests/cases/test_lines_that_matter.py tests/cases/test_certificates.py",
    "rad_fast/distill/journal.py": "tests/distill/test_journal.py tests/cases/test_journals_and_identity.py "
    "tests/distill/test_resumed_settings.py",
    "rad_fast/distill/ledger.py": "tests/distill/test_ledger.py tests/distill/test_resume.py",
    "rad_fast/distill/fit_inputs.py": "tests/distill/test_training.py",
    "rad_fast/distill/loss_inputs.py": "tests/distill/losses/test_refused.py tests/distill/test_losses.py",
    "rad_fast/distill/overlap.py": "tests/distill/test_overlap.py",
    "rad_fast/distill/round_inputs.py": "tests/distill/test_rounds.py tests/distill/test_distiller.py",
    "rad_fast/distill/querying.py": "tests/distill/test_querying.py",
    "rad_fast/distill/rows.py": "tests/cases/test_rows_by_position.py",
    "rad_fast/distill/identity.py": "tests/cases/test_digests.py tests/distill/test_resumed_settings.py",
    "rad_fast/distill/data.py": "tests/distill/test_data.py tests/cases/test_training_and_sampling.py",
    "rad_fast/game": "tests/game tests/cases/test_certificates.py tests/cases/test_threads_and_forks.py",
    "rad_fast/storage/workdir.py": "tests/storage/test_score_files.py tests/storage/test_workdir.py "
    "tests/cases/test_score_folders.py",
    "rad_fast/storage/readers": "tests/cases/test_stored_files.py tests/cases/test_numbers_in_files.py "
    "tests/storage/test_readers.py tests/storage/test_reader_parts.py tests/storage/test_reader_names.py "
    "tests/cases/test_paired_shards.py "
    "tests/cases/test_tables_and_unwritten_rows.py "
    "tests/cases/test_score_folders.py",
    "rad_fast/inputs": "tests/inputs tests/cases/test_masks.py tests/cases/test_ragged_top_k.py "
    "tests/cases/test_probabilities_for_logits.py tests/cases/test_what_is_no_array.py "
    "tests/cases/test_arrays_of_other_libraries.py tests/cases/test_tables_and_unwritten_rows.py "
    "tests/cases/test_percentages_columns_and_flags.py tests/cases/test_agreement_that_cannot_be_meant.py",
}


Lines = frozenset[tuple[str, int]]


class Ran(NamedTuple):
    """What the tests of a mutant said: whether they passed, the test that failed, and what is known of each test: its
    seconds, the lines it comes to. CPU seconds of all."""

    passed: bool
    failed: str
    seconds: dict[str, float]
    lines: dict[str, Lines]
    cpu: float


class Quickest:
    """A plugin of pytest: tests that failed before come first, then the quickest. Only ``wanted`` ones, unless None.

    ``paths``: watch which lines of these files each test comes to.
    """

    def __init__(
        self, seconds: dict[str, float], killers: Counter[str], wanted: set[str] | None, paths: list[str]
    ) -> None:
        self.known, self.killers, self.wanted = seconds, killers, wanted
        self.failed, self.seconds, self.begun, self.paths = "", dict[str, float](), 0.0, set(paths)
        self.lines: dict[str, set[tuple[str, int]]] = defaultdict(set)

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if self.wanted is not None:
            items[:] = [item for item in items if item.nodeid in self.wanted]
        items.sort(key=lambda item: (-self.killers[item.nodeid], self.known.get(item.nodeid, 0.0)))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.begun = time.process_time()
        if self.wanted is not None:
            signal.setitimer(signal.ITIMER_PROF, CPU[1] + CPU[0] * self.known.get(nodeid, 0.0))
        if self.paths:
            seen, paths = self.lines[nodeid], self.paths

            def line(frame: Any, event: str, _: object) -> Any:
                if event == "line":
                    seen.add((frame.f_code.co_filename, frame.f_lineno))
                return line

            def call(frame: Any, *_: object) -> Any:
                return line if frame.f_code.co_filename in paths else None

            threading.settrace(call)
            sys.settrace(call)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        sys.settrace(None)
        self.seconds[nodeid] = time.process_time() - self.begun

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed = report.nodeid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("modules", nargs="*", default=[], metavar="MODULE", help="all that are named in TESTS")
    parser.add_argument("--sample", type=int, metavar="N", help="so many mutants of each module, drawn at random")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the sample; 0 unless given")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    # Compiled once, and told by its content: a mutant has the size of its original, and may have its time.
    sys.dont_write_bytecode = True
    for folder in ("rad_fast", "kernels", "tests"):
        compileall.compile_dir(folder, quiet=1, force=True, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # a line that is changed is put back first
    for library in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(library)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # half of what a fork would do
    gc.freeze()  # what is here already is no garbage of the forks
    for module in arguments.modules or TESTS:
        found(module, arguments.sample, arguments.seed)


class Tried(NamedTuple):
    """A mutant that was tried: what was changed, whether it survived, and the test that noticed it."""

    changed: list[tuple[str, str]]
    survived: bool
    said: str


def found(module: str, sample: int | None, seed: int) -> None:
    """Try the mutants of a module that were not tried yet, and report."""
    paths = [path for path in find_modules([Path(module)]) if str(path) not in ELSEWHERE]
    tests = [Path(word.partition("::")[0]) for word in shlex.split(TESTS[module])]
    tests = [path for test in tests for path in (sorted(test.rglob("*.py")) if test.is_dir() else [test])]
    FOLDER.mkdir(parents=True, exist_ok=True)
    session = FOLDER / f"{module.replace('/', '-')}-{digest_of(paths)}.sqlite"  # to make them takes long: they are kept
    with use_db(str(session), WorkDB.Mode.create) as db:
        if db.num_work_items == 0:
            init(paths, db, {})
        left_out = {str(path): spans_left_out(path) for path in paths}
        drawn = [item for item in shuffled(db.work_items, seed) if not inside(item.mutations[0], left_out)]
    same = (of_length, of_flags, of_marker)
    drawn = [item for item in drawn if not any(kind(item.mutations[0]) for kind in same)]
    kept = session.with_name(f"{session.stem}-{digest_of(tests)}.tried")  # with other tests all is tried anew
    known: dict[str, Tried | None] = pickle.loads(kept.read_bytes()) if kept.exists() else {}
    usual = without_mutant(module, paths, kept.with_suffix(".usual"))
    sys.stdout.write(slowest(module, usual))
    sys.stdout.flush()
    killers: Counter[str] = Counter()
    results: list[tuple[WorkItem, Tried]] = []
    for item in drawn:
        if len(results) == sample:
            break
        if item.job_id not in known:
            known[item.job_id] = tried(item, module, usual, killers)
            kept.write_bytes(pickle.dumps(known))
        result = known[item.job_id]
        if result is not None and not is_equal(str(item.mutations[0].module_path), result.changed):
            results.append((item, result))
    report(module, seed, results, len(drawn))


def digest_of(paths: list[Path]) -> str:
    return f"{zlib.crc32(b''.join(path.read_bytes() for path in paths)):08x}"


def without_mutant(module: str, paths: list[Path], kept: Path) -> Ran:
    """What the tests say of the module as it is: to watch them takes long, so it is kept."""
    if kept.exists():
        return Ran(*pickle.loads(kept.read_bytes()))
    usual = outcome(module, Ran(True, "", {}, {}, 0.0), Counter(), None, [str(ROOT / path) for path in paths])
    if not usual.passed:
        sys.exit(f"{module}: the tests fail without any mutant: {usual.failed or TESTS[module]}")
    kept.write_bytes(pickle.dumps(tuple(usual)))
    return usual


def slowest(module: str, usual: Ran) -> str:
    """The tests that a mutant waits for which none notices: the first to be left out, or made quicker."""
    tests = sorted(usual.seconds, key=usual.seconds.__getitem__)[:-6:-1]
    longest = ", ".join(f"{test.rpartition('::')[2]} {usual.seconds[test]:.1f} s" for test in tests)
    return f"{module}: {usual.cpu:.0f} CPU seconds without any mutant; {longest}\n"


def shuffled(items: Iterator[WorkItem], seed: int) -> list[WorkItem]:
    """In an order that is the same every time: a larger sample contains a smaller one."""

    def key(item: WorkItem) -> tuple[str, str, int, str]:
        mutation = item.mutations[0]
        return str(mutation.module_path), mutation.operator_name, mutation.occurrence, str(mutation.operator_args)

    ordered = sorted(items, key=key)
    random.Random(seed).shuffle(ordered)
    return ordered


def spans_left_out(path: Path) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where mutants mean the same: in types, which nobody evaluates, and in what only changes how a text looks."""
    parts: list[ast.expr | None] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            parts.append(node.returns)
            parts += [each for each in node.decorator_list if isinstance(each, ast.Name) and each.id == "overload"]
        elif isinstance(node, (ast.arg, ast.AnnAssign)):
            parts.append(node.annotation)
        elif isinstance(node, ast.keyword) and node.arg in LOOKS:
            parts.append(node.value)
    return [((p.lineno, p.col_offset), (p.end_lineno or 0, p.end_col_offset or 0)) for p in parts if p is not None]


def inside(mutation: MutationSpec, spans: dict[str, list[tuple[tuple[int, int], tuple[int, int]]]]) -> bool:
    return any(begin <= tuple(mutation.start_pos) < end for begin, end in spans[str(mutation.module_path)])


@functools.cache
def lengths(path: Path) -> tuple[tuple[ast.expr, bool], ...]:
    """Comparisons of a length with 0; whether the length is on the left."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            for length, number in ((node.left, node.comparators[0]), (node.comparators[0], node.left)):
                called = length.func if isinstance(length, ast.Call) else None
                zero = isinstance(number, ast.Constant) and number.value == 0
                if zero and isinstance(called, ast.Name) and called.id == "len":
                    found.append((node, length is node.left))
    return tuple(found)


def of_length(mutation: MutationSpec) -> bool:
    """Whether a comparison of a length with 0 becomes one that says the same, as no length is below 0."""
    operator = mutation.operator_name.rpartition("Operator_")[2]
    for node, left in lengths(mutation.module_path):
        begin, end = (node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0)
        if begin <= tuple(mutation.start_pos) < end:
            return operator in (SAME_OF_LENGTH if left else SAME_OF_NUMBER)
    return False


def is_flag(node: ast.expr) -> bool:
    """Whether this is one of a system's flags, or several: os.O_RDWR, say."""
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.BitOr) and is_flag(node.left) and is_flag(node.right)
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "getattr"
    return isinstance(node, ast.Attribute) and node.attr.isupper()


def of_flags(mutation: MutationSpec) -> bool:
    """Whether flags, which have no bit in common, become their sum or their exclusive or: the same number."""
    if not mutation.operator_name.endswith(("BitOr_Add", "BitOr_BitXor")):
        return False
    for node in ast.walk(ast.parse(mutation.module_path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.BinOp) and is_flag(node):
            begin, end = (node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0)
            if begin <= tuple(mutation.start_pos) < end:
                return True
    return False


def of_marker(mutation: MutationSpec) -> bool:
    """Whether "*," before arguments that are given by name becomes "/,": whoever names them notices nothing."""
    if not mutation.operator_name.endswith("Mul_Div"):
        return False
    row, column = mutation.start_pos
    return mutation.module_path.read_text(encoding="utf-8").splitlines()[row - 1][column:].startswith("*,")


def statement(path: Path, line: int) -> range | None:
    """The lines of the statement that a line is of, without those within it; None: it runs when a file is imported."""
    found: range | None = None

    def visit(node: ast.AST, within: bool) -> None:
        nonlocal found
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.stmt, ast.excepthandler, ast.match_case)):
                body = getattr(child, "body", None)
                end = body[0].lineno - 1 if body else child.end_lineno  # type: ignore[attr-defined]
                begin = getattr(child, "lineno", 0)
                if begin <= line <= max(end or 0, begin):
                    found = range(begin, max(end or 0, begin) + 1) if within else None
            visit(child, within or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)))

    visit(ast.parse(path.read_text(encoding="utf-8")), False)
    return found


def tried(item: WorkItem, module: str, usual: Ran, killers: Counter[str]) -> Tried | None:
    """None: it is no mutant that a test would be needed for."""
    (mutation,) = item.mutations
    path = mutation.module_path
    lines = statement(path, mutation.start_pos[0])
    operator = get_operator(mutation.operator_name)(**mutation.operator_args)
    with use_mutation(path, operator, mutation.occurrence) as (before, after):
        if after is None or after == before or not is_python(after):
            return None
        pairs = zip(before.splitlines(), after.splitlines(), strict=False)
        changed = [(old.strip(), new.strip()) for old, new in pairs if old != new]
        if is_equal(str(path), changed):
            return None
        wanted = {test for test, seconds in usual.seconds.items() if seconds <= LONGEST}
        if lines is not None:
            wanted = {test for test in wanted if any((str(ROOT / path), line) in usual.lines[test] for line in lines)}
        ran = outcome(module, usual, killers, wanted, []) if wanted else usual
    if ran.failed:
        killers[ran.failed] += 1
    return Tried(changed, ran.passed, ran.failed if wanted else "no test comes to this line")


def is_python(text: str) -> bool:
    """Whether Python reads it without a word: "is 1" and "4(x)" it warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            compile(text, "mutant", "exec")
        except (SyntaxError, SyntaxWarning):
            return False
    return True


def is_equal(path: str, changed: list[tuple[str, str]]) -> bool:
    """Whether a mutant is one of those that are listed; spaces do not count."""
    known = {(squeezed(old), squeezed(new)) for old, new in EQUAL.get(path, {})}
    lines = [(squeezed(old), squeezed(new)) for old, new in changed]
    return any((old, new) in known or (old, "") in known for old, new in lines)


def squeezed(line: str) -> str:
    return "".join(line.split())


def outcome(module: str, usual: Ran, killers: Counter[str], wanted: set[str] | None, watched: list[str]) -> Ran:
    """What the module's tests say, run in a fork: it ends where it takes too long, or too much."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if child == 0:
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 1)
            os.dup2(silent, 2)
            code = 3
            try:
                import pytest

                warnings.resetwarnings()
                order = Quickest(usual.seconds, killers, wanted, watched)
                files = shlex.split(TESTS[module])
                if wanted is not None:
                    files = sorted({test.partition("::")[0] for test in wanted})
                code = int(pytest.main([*OPTIONS, "-k", QUICK, *files], plugins=[order]))
                pickle.dump(
                    (order.failed, dict(order.seconds), {t: frozenset(s) for t, s in order.lines.items()}), said
                )
                said.flush()
            finally:
                os._exit(code)
        status = waited_for(child)
        said.seek(0)
        content = said.read()
    failed, took, lines = pickle.loads(content) if content else ("", {}, {})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Ran(status == 0, failed, took, lines, cpu_seconds)


def waited_for(child: int) -> int:
    """The status of a fork that has ended, or that is ended because it waits for ever."""
    looked, had = time.monotonic(), 0.0
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.05)
        if time.monotonic() - looked > WAIT[0]:
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            has = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            if has - had < WAIT[1]:
                os.kill(child, signal.SIGKILL)
            looked, had = time.monotonic(), has


def report(module: str, seed: int, results: list[tuple[WorkItem, Tried]], made: int) -> None:
    """How many were killed, and where the others are."""
    for item, result in results:
        if result.survived:
            mutation = item.mutations[0]
            lines = "".join(f"- {old}\n+ {new}\n" for old, new in result.changed)
            place = f"{mutation.module_path}:{mutation.start_pos[0]}"
            sys.stdout.write(f"{place} survived: {mutation.operator_name} {result.said}\n{lines}")
    killed = sum(not result.survived for _, result in results)
    if results:
        low, high = binomtest(killed, len(results)).proportion_ci(0.95)
        sys.stdout.write(
            f"{module}: {killed} of {len(results)} mutants killed (95% interval {low:.0%} to {high:.0%}), "
            f"seed {seed}, {made} mutants in all\n"
        )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
