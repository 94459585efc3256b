"""Changes lines of a module one at a time and counts which of these mutants its tests let pass: ``make mutants``.

cosmic-ray makes the mutants, in place, and puts each line back. What it found is kept in build/mutants: a run that was
stopped goes on from there. Survivors are printed with the line that was changed.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "mutants"
TESTS = {  # the tests that a module's lines are held by; few and quick
    "rad_fast/calibration.py": "tests/test_calibration.py tests/cases/test_lines_that_matter.py",
    "rad_fast/distill/journal.py": "tests/cases/test_journals_and_identity.py",
    "rad_fast/distill/ledger.py": "tests/cases/test_journals_and_identity.py tests/distill/test_resume.py",
    "rad_fast/distill/querying.py": "tests/cases/test_training_and_sampling.py tests/distill/test_resume.py",
    "rad_fast/distill/rows.py": "tests/cases/test_rows_by_position.py",
    "rad_fast/distill/identity.py": "tests/cases/test_journals_and_identity.py -k 'digest or augmented'",
    "rad_fast/distill/data.py": "tests/distill/test_data.py tests/cases/test_training_and_sampling.py",
    "rad_fast/game/certificate.py": "tests/cases/test_certificates.py -k 'limit or lost or more or stages'",
    "rad_fast/game/solver.py": "tests/game/test_solver.py",
    "rad_fast/storage/workdir.py": "tests/storage/test_workdir.py",
    "rad_fast/storage/readers": "tests/storage/test_readers.py tests/cases",
    "rad_fast/inputs": "tests/inputs tests/cases",
}
SETTINGS = """[cosmic-ray]
module-path = "{module}"
timeout = 300.0
excluded-modules = []
test-command = "{python} -m pytest -x -q -p no:cacheprovider {tests}"

[cosmic-ray.distributor]
name = "local"
"""


def main(modules: list[str]) -> None:
    for module in modules or TESTS:
        session = FOLDER / (module.replace("/", "-") + ".sqlite")
        settings = session.with_suffix(".toml")
        FOLDER.mkdir(parents=True, exist_ok=True)
        settings.write_text(SETTINGS.format(module=module, tests=TESTS[module], python=sys.executable))
        command = [sys.executable, "-c", "from cosmic_ray.cli import main; main()"]
        if not session.exists():
            subprocess.run([*command, "init", str(settings), str(session)], cwd=ROOT, check=True)
        with suppress(KeyboardInterrupt):
            subprocess.run([*command, "exec", str(settings), str(session)], cwd=ROOT, check=True)
        report(module, session)


def report(module: str, session: Path) -> None:
    """How many were killed, and where the others are."""
    with use_db(str(session), WorkDB.Mode.open) as found:
        results = list(found.completed_work_items)
        made = found.num_work_items
    outcomes = Counter(result.test_outcome for _, result in results)
    for item, result in results:
        if result.test_outcome == TestOutcome.SURVIVED:
            for mutation in item.mutations:
                sys.stdout.write(
                    f"{module}:{mutation.start_pos[0]} survived: {mutation.operator_name}\n{result.diff}\n"
                )
    killed, tried = outcomes[TestOutcome.KILLED], sum(outcomes.values())
    sys.stdout.write(f"{module}: {killed} of {tried} mutants killed ({made} in all)\n")


if __name__ == "__main__":
    main(sys.argv[1:])
