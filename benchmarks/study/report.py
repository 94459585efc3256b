"""Tables, figure and page of the study, from its results. What each table says is written in text.md."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from textwrap import fill

from benchmarks.streams.summary import SUMMARY

from . import data, held, made, plan, real
from .early import EARLY
from .figure import SHORT_NAMES, draw, main_rivals
from .losses import LOSSES, PLAIN
from .results import Run
from .runs import ROUNDS
from .scores import FEWEST, OLD, REAL, Cell, Scores, Within, hard_tfidf, interval, mean_of, of_sets, shown, table
from .subclasses import KINDS, LELP, SIZES, SOFT
from .variants import PLAIN as PLAIN_SELECT

TEXT = Path(__file__).with_name("text.md")
UNIFORM = ("uniform", PLAIN)
MINE = (plan.DEFAULT, PLAIN)
SEES_POOL = {plan.DEFAULT, plan.BEFORE, "rad-both", "rad-raw", "rad-teacher", "proportional", "balanced",
             "balanced-greedy", "balanced-top-confidence", "confident-learning", "conformal", "learnability",
             "learnability-top", "llkd"}  # fmt: skip
OTHERS: dict[str, Within] = {  # parts of the study beside hard labels and components of TF-IDF
    "soft labels": lambda c: c.labels == "soft" and c.source in REAL,
    "students on frozen embeddings": lambda c: c.student.startswith("minilm"),
}
VERSIONS = {"python": "Python", "numpy": "NumPy", "scipy": "SciPy", "torch": "torch"}
CORES = 2  # of the machine that the study is planned for
LEAST = -0.5  # of what a set may cost against uniform selection


def every_real(cell: Cell) -> bool:
    return cell.source in REAL


def by_set(s: Scores, names: list[str], sets: tuple[str, ...], chosen: Within) -> list[list[str]]:
    rows = []
    for name in names:
        of = [shown(s.differences((name, PLAIN), UNIFORM, lambda c, x=x: c.source == x and chosen(c))) for x in sets]  # type: ignore[misc]
        label = f"**{name}**" if name == plan.DEFAULT else name
        rows.append([label, shown(s.differences((name, PLAIN), UNIFORM, chosen)), *of])
    return rows


def first_table(s: Scores) -> str:
    names = [plan.DEFAULT, *main_rivals(s), plan.BEFORE, "badge", "margin"]
    names = list(dict.fromkeys(name for name in names if (name, PLAIN) in s.of))
    rows = by_set(s, names, REAL, hard_tfidf(REAL))
    for row, name in zip(rows, names, strict=True):
        row.append(shown(s.differences((name, PLAIN), UNIFORM, of_sets(OLD))))
    return table(["strategy", "real sets", *(SHORT_NAMES.get(x, x) for x in REAL), "older sets"], rows)


def all_strategies(s: Scores, sets: tuple[str, ...], chosen: Within) -> str:
    rows = []
    names = [name for name in s.strategies(chosen) if name in plan.STRATEGIES]
    for row, name in zip(by_set(s, names, sets, chosen), names, strict=True):
        seeds = len(s.differences((name, PLAIN), UNIFORM, chosen))
        measured = s.mean((name, PLAIN), chosen)
        needs = "pool" if name in SEES_POOL else ""
        rows.append([*row, f"{measured[4]:.0f}%", needs, str(seeds)])
    return table(["strategy", "mean", *(SHORT_NAMES.get(x, x) for x in sets), "labels right", "reads", "seeds"], rows)


def by_teacher(s: Scores) -> str:
    names = list(dict.fromkeys([plan.DEFAULT, *main_rivals(s), plan.BEFORE, "margin"]))
    rows = []
    for source, teacher in real.TEACHERS:
        here: Within = lambda c, at=(source, teacher): (c.source, c.teacher) == at and hard_tfidf(REAL)(c)  # type: ignore[misc]  # noqa: E731
        base = s.mean(UNIFORM, here)
        if math.isnan(base[0]):
            continue
        cells = [shown(s.differences((name, PLAIN), UNIFORM, here)) for name in names]
        rows.append(
            [f"{SHORT_NAMES.get(source, source)}: {teacher}", f"{base[6]:.0f}%", f"{base[1:4].mean():.1f}", *cells]
        )
    return table(["teacher", "right", "uniform's accuracy", *names], rows)


def against(s: Scores) -> str:
    parts = (hard_tfidf(REAL), of_sets(OLD))
    names = [n for n in s.strategies(parts[0]) if n in plan.STRATEGIES and n != plan.DEFAULT]
    rows = [[name, *(shown(s.differences(MINE, (name, PLAIN), part)) for part in parts)] for name in names]
    return table([f"{plan.DEFAULT} minus", "real sets", "older sets"], rows[::-1])


def by_budget(s: Scores) -> str:
    """Of the strategies that ran with every budget."""
    names = [name for name in s.strategies(hard_tfidf(REAL)) if name in plan.MAIN and name != "uniform"]
    rows = []
    for name in names:
        parts = [lambda c, k=k: c.size == k and hard_tfidf(REAL)(c) for k in range(3)]  # type: ignore[misc]
        rows.append([name, *(shown(s.differences((name, PLAIN), UNIFORM, part)) for part in parts)])
    return table(["strategy", *(f"{m} per class" for m in plan.MULTIPLES)], rows)


def budgets_of(s: Scores) -> str:
    """What the main strategies ran with every budget, and on how many seeds."""
    whole, seeds, teachers = with_every_budget(s, hard_tfidf(REAL))
    rest = "one budget per seed and teacher, in rotation."
    if whole == 0:
        return f"All strategies had {rest}"
    often = f"all {whole} seeds" if whole == seeds else f"{whole} of the {seeds} seeds"
    found = {name: with_every_budget(s, within) for name, within in OTHERS.items()}
    too = [name for name, (some, of, _) in found.items() if of > 0 and some == of]
    also = f", also with {' and with '.join(too)}" if too else ""
    most = f"`rad`, `rad-prior` and every rival had all three budgets with {teachers} teachers and {often}{also}."
    return fill(f"{most} All else had {rest}", 118, subsequent_indent="  ", break_on_hyphens=False)


def with_every_budget(s: Scores, chosen: Within) -> tuple[int, int, int]:
    """Seeds on which every main strategy had all budgets with every teacher and student; seeds; teachers."""
    names = [name for name in plan.MAIN if (name, PLAIN) in s.of]
    common = set.intersection(*({c for c in s.of[name, PLAIN] if chosen(c)} for name in names)) if names else set()
    cases = {(c.source, c.teacher, c.student) for c in common}
    each = Counter(c.seed for c in common)
    whole = sum(count == len(plan.MULTIPLES) * len(cases) for count in each.values())
    return whole, len(each), len({case[:2] for case in cases})


def over_uniform_in(s: Scores, within: Within, names: Iterable[str]) -> list[str]:
    return [shown(s.differences((name, PLAIN), UNIFORM, within)) for name in names]


ABOUT_MADE = """These are the texts of CLINC150 again, with intents merged into fewer classes, equal or unequal ones.
The teacher was made worse by adding noise to its logits, or better by adding a bonus for the right class, until it was
right on 43%, 60% or 78% of the points. It gives logits or labels alone; the table averages over both. `select` is
`rad_fast.select` with a `Calibrator` of both models. It knows what was chosen before, but nothing of neighbours or
labelled points."""
MADE = (plan.DEFAULT, *PLAIN_SELECT, "balanced-greedy", "margin")


def of_made(s: Scores) -> str:
    """A section of the page; nothing where nothing was measured."""
    rows = []
    for name in made.SETS:
        for right in made.RIGHT:
            here: Within = lambda c, at=(name, f"{right:.2f}"): (c.source, c.teacher.partition(",")[0]) == at  # type: ignore[misc]  # noqa: E731
            base = s.mean(UNIFORM, here)
            if not math.isnan(base[0]):
                first = [f"{name}, {right:.0%} right", f"{base[1:4].mean():.1f}"]
                rows.append([*first, *over_uniform_in(s, here, MADE)])
    if not rows:
        return ""
    every: Within = lambda c: c.source in made.SETS  # noqa: E731
    rows.append(["**mean**", "", *over_uniform_in(s, every, MADE)])
    head = ["classes, teacher", "uniform's accuracy", *MADE]
    return f"### Other shapes of problem\n\n{ABOUT_MADE}\n\n{table(head, rows)}\n\n{made_said(s)}\n\n"


def made_said(s: Scores) -> str:
    """Whether the default, or a plain call of select, loses to uniform selection anywhere."""
    low = []
    for name in MADE[:2]:
        for source, teacher in made.TEACHERS:
            here: Within = lambda c, at=(source, teacher): (c.source, c.teacher) == at  # type: ignore[misc]  # noqa: E731
            found = s.differences((name, PLAIN), UNIFORM, here)
            right, says = teacher.split(", ")
            if interval(found)[0] < LEAST:
                low.append(f"`{name}` with {source} and {says}, {float(right):.0%} right ({shown(found)})")
    seeds = len(s.differences(MINE, UNIFORM, lambda c: c.source in made.SETS))
    where = f"On {seeds} seeds. Of {len(made.TEACHERS)} teachers one by one, `rad` or `select` is over 0.5 below"
    return fill(f"{where} uniform selection with {len(low) or 'none'}" + (f": {', '.join(low)}." if low else "."), 118)


def other_students(s: Scores) -> str:
    parts: list[Within] = [
        OTHERS["soft labels"],
        lambda c: c.student == "minilm-linear",
        lambda c: c.student == "minilm-128",
    ]
    names = [name for name in s.strategies(parts[0]) if name in plan.MAIN and name != "uniform"]
    rows = [[name, *(shown(s.differences((name, PLAIN), UNIFORM, part)) for part in parts)] for name in names]
    return table(["strategy", "soft labels", "linear on MiniLM", "128 units on MiniLM"], rows)


ABOUT_HELD = """Calibration needs labelled points that the student has not learned. A strategy that does without can
have its student learn them, and one that calibrates can do so when all is chosen. Here every student that is tested has
learned the hold-out. Those that choose with `rad` and `balanced-greedy` have not. The last column compares with uniform
selection and a student that has not learned the hold-out, as in the other tables."""


def with_holdout(s: Scores) -> str:
    """A section of the page; nothing where nothing was measured."""
    base = (held.named("uniform"), PLAIN)
    of = {name: s.differences((held.named(name), PLAIN), base, every_real) for name in (*held.LAST, *held.FIRST)}
    if len(of["uniform"]) == 0:
        return ""
    rows = []
    for name in sorted(of, key=lambda name: -mean_of(of[name])):
        mine = (held.named(name), PLAIN)
        by = [shown(s.differences(mine, base, lambda c, x=x: c.source == x)) for x in REAL]  # type: ignore[misc]
        label = f"**{name}**" if name == plan.DEFAULT else name
        rows.append([label, shown(of[name]), *by, shown(s.differences(mine, UNIFORM, every_real))])
    head = ["hold-out learned", "over uniform", *(SHORT_NAMES.get(x, x) for x in REAL), "over uniform without"]
    seeds = f"On {len(of['uniform'])} seeds."
    return f"### If the hold-out is learned too\n\n{ABOUT_HELD}\n\n{table(head, rows)}\n\n{seeds}\n\n"


def worth_of_holdout(s: Scores) -> str:
    """What a student gains that learns the hold-out, and what is left of the default's lead; two rows of that table."""
    never = "The hold-out is never trained on in the other tables, whatever the strategy."
    base = (held.named("uniform"), PLAIN)
    gained = s.differences(base, UNIFORM, every_real)
    if len(gained) == 0:
        return never
    ahead = shown(s.differences((held.named(plan.DEFAULT), PLAIN), base, every_real))
    said = (
        f"{never} Its labels are people's, and worth more on average than any choice of points: with uniform "
        f"selection, a student that learns them too is {shown(gained)} better. `{plan.DEFAULT}` stays {ahead} ahead of "
        "that if its student learns them when all is chosen. So [train on the hold-out in the "
        "end](howto/torch.md#train-on-the-hold-out-in-the-end)."
    )
    return fill(said, 118, subsequent_indent="  ", break_on_hyphens=False)


def soft_over_hard(s: Scores, name: str, within: Within) -> str:
    """What soft labels add to hard ones, with one strategy."""
    soft: Within = lambda c: c.labels == "soft" and c.student == "tfidf" and within(c)  # noqa: E731
    return shown(s.differences((name, PLAIN), (name, PLAIN), soft, lambda c: c._replace(labels="hard")))


def soft_labels(s: Scores) -> str:
    names = ("uniform", plan.DEFAULT, "balanced-greedy", "margin")
    rows = []
    for source, teacher in real.SOFT:
        here: Within = lambda c, at=(source, teacher): (c.source, c.teacher) == at  # type: ignore[misc]  # noqa: E731
        said = f"{SHORT_NAMES.get(source, source)}: {teacher}"
        rows.append([said, *(soft_over_hard(s, name, here) for name in names)])
    rows.append(["**mean**", *(soft_over_hard(s, name, every_real) for name in names)])
    return table(["soft labels minus hard ones", *names], rows)


def early(s: Scores) -> str:
    chosen = hard_tfidf(REAL)
    names = [n for n in s.strategies(chosen) if n in EARLY or (n in plan.STRATEGIES and n not in SEES_POOL)]
    rows = []
    for name in names:
        over = [shown(s.differences((name, PLAIN), (base, PLAIN), chosen)) for base in ("uniform", "margin")]
        rows.append([name, *over, str(len(s.differences((name, PLAIN), UNIFORM, chosen)))])
    return table(["strategy", "over uniform", "over margin", "seeds"], rows)


def variants(s: Scores, wanted: Iterable[str], less: str | None = None) -> str:
    """Variants over uniform, on the cells that they have in common, with what they have over one of them."""
    chosen = hard_tfidf(REAL)
    names = [n for n in s.strategies(chosen) if n in wanted]
    if not names:
        return ""
    common: Within = lambda c: chosen(c) and all(c in s.of[n, PLAIN] for n in names)  # noqa: E731
    rows = by_set(s, [plan.DEFAULT, *names], REAL, common)
    head = ["variant", "mean", *(SHORT_NAMES.get(x, x) for x in REAL)]
    if less is not None:
        head.append(f'minus "{less}"')
        for row, name in zip(rows, [plan.DEFAULT, *names], strict=True):
            row.append("" if name == less else shown(s.differences((name, PLAIN), (less, PLAIN), common)))
    seeds = len(s.differences((names[0], PLAIN), UNIFORM, common))
    return table(head, rows) + f"\n\nOn {seeds} {'seed' if seeds == 1 else 'seeds'} and eight teachers."


def losses(s: Scores) -> str:
    rows = []
    for name in ("uniform", plan.DEFAULT):
        for loss in LOSSES:
            parts = [
                s.differences((name, loss), (name, PLAIN), lambda c, kind=kind: c.labels == kind and c.source in REAL)  # type: ignore[misc]
                for kind in ("hard", "soft")
            ]
            if any(map(len, parts)):
                rows.append([f"{name}, {loss}", *map(shown, parts)])
    return table(["minus the plain loss", "hard labels", "soft labels"], rows) + f"\n\n{seeds_of_losses(s)}"


def seeds_of_losses(s: Scores) -> str:
    said = []
    for kind in ("hard", "soft"):
        here: Within = lambda c, kind=kind: c.labels == kind and c.source in REAL  # type: ignore[misc]  # noqa: E731
        seeds = len(s.differences(("uniform", LOSSES[0]), UNIFORM, here))
        teachers = {(c.source, c.teacher) for c in s.of.get(("uniform", LOSSES[0]), {}) if here(c)}
        said.append(f"{len(teachers)} teachers on {seeds} seeds with {kind} labels")
    return f"{said[0]}, {said[1]}."


def of_subclasses(s: Scores) -> str:
    rows = []
    for kind in KINDS:
        here: Within = lambda c, kind=kind: c.teacher == kind  # type: ignore[misc]  # noqa: E731
        for loss in LELP.values():
            by_size = [s.after(("uniform", loss), ("uniform", SOFT), here, n) for n in range(1, ROUNDS + 1)]
            if len(by_size[0]):
                rows.append([f"{kind}, {loss}", *map(shown, by_size)])
        base = s.mean(("uniform", SOFT), here)
        if rows:
            rows.append([f"{kind}: accuracy with soft labels", *(f"{value:.1f}" for value in base[1:4])])
    return table(["minus plain soft labels", *(f"{size} points" for size in SIZES)], rows)


def verdict(s: Scores) -> str:
    """The bar of the study, and whether it is met."""
    chosen = hard_tfidf(REAL)
    lines = []

    def line(what: str, missed: list[str]) -> None:
        lines.append(f"- {what}: " + ("**met**" if not missed else "**missed**: " + ", ".join(missed)))

    rivals = [n for n in s.strategies(chosen) if n in plan.STRATEGIES and n != plan.DEFAULT]
    gaps = {n: interval(s.differences(MINE, (n, PLAIN), chosen)) for n in rivals}
    said = {n: f"{n} ({mean:+.2f} ± {half:.2f})" for n, (mean, half) in gaps.items()}
    line("on the real sets, the default is ahead of every rival", [said[n] for n in rivals if not gaps[n][0] > 0])
    named = ("uniform", "margin", "balanced-greedy", "balanced-top-confidence", "llkd")
    unsure = [said[n] for n in named if n in gaps and not gaps[n][0] - gaps[n][1] > 0]
    line("its 95% interval is above zero against " + ", ".join(named), unsure)
    low = []
    for x in (*REAL, *OLD):
        mean = interval(s.differences(MINE, UNIFORM, lambda c, x=x: c.source == x and of_sets((x,))(c)))[0]  # type: ignore[misc]
        if mean < LEAST:
            low.append(f"{x} ({mean:+.2f})")
    line("on no set is it more than 0.5 below uniform selection", low)
    gain, older = (interval(s.differences(MINE, (plan.BEFORE, PLAIN), part)) for part in (chosen, of_sets(OLD)))
    for what, (mean, half), least in (
        (f"on the real sets, it is at least 1.5 ahead of {plan.BEFORE}", gain, 1.5),
        (f"on the older sets, it is not more than 0.3 below {plan.BEFORE}", older, -0.3),
    ):
        line(f"{what} ({mean:+.2f} ± {half:.2f})", [] if mean >= least else [f"{mean:+.2f}"])
    return "\n".join(lines)


def sets(s: Scores) -> str:
    rows = []
    for x in OLD:
        setup = data.SETUPS[x]
        right = [
            f"{s.mean(UNIFORM, lambda c, x=x, q=q: (c.source, c.teacher) == (x, q))[6]:.0f}%" for q in data.QUALITIES
        ]  # type: ignore[misc]
        sizes = [str(size) for size in (setup.labelled, setup.holdout, setup.pool, setup.test)]
        budgets = ", ".join(map(str, setup.budgets))
        rows.append([x, *sizes, f"{setup.hidden} / {setup.teacher_hidden}", ", ".join(right), budgets])
    return table(
        ["set", "labelled", "hold-out", "pool", "test", "hidden units, student / teacher", "teachers", "budgets"], rows
    )


def answer(s: Scores) -> str:
    """The page's first sentences."""
    chosen = hard_tfidf(REAL)
    over = shown(s.differences(MINE, UNIFORM, chosen))
    best = main_rivals(s)[0]
    of = {name: shown(s.differences((name, PLAIN), UNIFORM, chosen)) for name in (best, "margin")}
    return (
        f"With labels from real models, the default is worth {over} points of student accuracy over picking the same\n"
        f"number of points at random. The best rival, `{best}`, is worth {of[best]}. Margin sampling, which\n"
        f"asks the student alone, is worth {of['margin']}."
    )


def right_of(s: Scores, teachers: Iterable[tuple[str, str]]) -> tuple[float, float]:
    """How often the poorest and the best of some teachers are right, in percent."""
    found = [
        s.mean(UNIFORM, lambda c, at=at: (c.source, c.teacher) == at and hard_tfidf(REAL)(c))[6]  # type: ignore[misc]
        for at in teachers
    ]
    found = [value for value in found if not math.isnan(value)]
    return (min(found), max(found)) if found else (float("nan"),) * 2


def half(s: Scores) -> str:
    """What half the adversary is worth."""
    chosen = hard_tfidf(REAL)
    found = s.differences(("half the adversary", PLAIN), (plan.BASE, PLAIN), chosen)
    mean, width = interval(found)
    if len(found) < FEWEST:
        return ""
    said = f"With half the mistakes, the choice is worth {shown(found)} more ({len(found)} seeds)"
    return said + (",\n  which is no reason to change the default." if not mean - width > 0 else ".")


def reasons(s: Scores) -> dict[str, str]:
    """Why to do what with which teacher: the figures behind the page's advice."""
    chosen = hard_tfidf(REAL)

    def over(name: str, within: Within, base: str = "uniform") -> str:
        return shown(s.differences((name, PLAIN), (base, PLAIN), within)) or "not measured"

    even: Within = lambda c: c.source in ("banking77", "clinc150") and chosen(c)  # noqa: E731
    uneven: Within = lambda c: c.source.startswith("policy") and chosen(c)  # noqa: E731
    spoken: Within = lambda c: c.teacher in ("qwen3-8b", "gemma3-4b", "mistral-7b") and chosen(c)  # noqa: E731
    poor: Within = lambda c: c.teacher == "gemma3-12b" and chosen(c)  # noqa: E731
    soft: Within = lambda c: c.labels == "soft" and c.source in REAL and c.student == "tfidf"  # noqa: E731
    alone: Within = lambda c: c.source in made.SETS and c.teacher.endswith("labels")  # noqa: E731
    rad, best = plan.DEFAULT, (main_rivals(s) or ["balanced-greedy"])[0]
    all_real = over(rad, chosen)
    greedy, confident = "balanced-greedy", "balanced-top-confidence"
    low, high = right_of(s, real.TEACHERS)
    poorest = right_of(s, [pair for pair in real.TEACHERS if pair[1] == "gemma3-12b"])
    return {
        "RIGHT": f"{low:.0f}% to {high:.0f}%",
        "BADGE": over("badge", chosen, "rad-prior"),
        "BADGE_OLD": over("badge", of_sets(OLD), "rad-prior"),
        "WHY_RAD": f"{all_real} over uniform selection, {over(rad, chosen, best)} over `{best}`, the best rival",
        "WHY_EVEN": f"{over(rad, even)}; `{greedy}` {over(greedy, even)}",
        "WHY_UNEVEN": f"{over(rad, uneven)}; `{greedy}` {over(greedy, uneven)}, "
        f"`{confident}` {over(confident, uneven)}",
        "WHY_SPOKEN": f"{over(rad, spoken)} this way",
        "WHY_LABELS": f"{over(rad, alone)}; `select` without neighbours {over('select', alone)} (merged classes)",
        "WHY_POOR": f"{over(rad, poor)} for teachers right on {poorest[0]:.0f}% and {poorest[1]:.0f}%; "
        f"`badge` {over('badge', poor)}, margin sampling {over('margin', poor)}",
        "WHY_EARLY": f"margin sampling {over('margin', chosen)}; on top of that, `badge` "
        f"{over('badge', chosen, 'margin')} and `rad-prior` {over('rad-prior', chosen, 'margin')}",
        "WHY_SOFT": f"soft labels instead of hard ones: `{rad}` {soft_over_hard(s, rad, every_real)}, uniform "
        f"selection {soft_over_hard(s, 'uniform', every_real)}; with soft labels, `{rad}` is {over(rad, soft)} over "
        "uniform selection",
    }


def conditions(s: Scores) -> str:
    """When, on what, and how long: by the clock only if one run measured it all, without interruption."""
    seeds, runs = len({c.seed for c in s.of[UNIFORM]}), s.runs
    machines = " and ".join(dict.fromkeys(run["machine"] for run in runs))
    took = f"It took {s.cpu_minutes:.0f} CPU minutes on {machines}"
    if len(runs) == 1 and runs[0]["minutes"] is not None:
        took += f", {runs[0]['minutes']:.0f} minutes by the clock with {processes(runs[0])}."
    else:
        share, often = math.ceil(s.cpu_minutes / CORES), "one run" if len(runs) == 1 else f"{len(runs)} runs"
        took += f" in {often}: {share} minutes for each of {CORES} cores that do nothing else."
    used = (", ".join(f"{what} {run[key]}" for key, what in VERSIONS.items()) for run in runs)
    last = max(run["began"] for run in runs).partition(" ")[0]
    lines = [f"{last}: {seeds} seeds. {took}", *(f"With {versions}." for versions in dict.fromkeys(used))]
    return "\n".join(f"- {line}" for line in lines)


def processes(run: Run) -> str:
    return "one process" if run["processes"] == 1 else f"{run['processes']} processes"


def write(results: Path, *, figure: Path, page: Path) -> None:
    s = Scores(results)
    draw(s, figure)
    real_sets, old_sets = hard_tfidf(REAL), of_sets(OLD)
    parts = {
        "ANSWER": answer(s) if s.differences(MINE, UNIFORM, real_sets).size else "",
        "FIRST": first_table(s),
        "VERDICT": verdict(s),
        "TEACHERS": by_teacher(s),
        "REAL": all_strategies(s, REAL, real_sets),
        "OLD": all_strategies(s, OLD, old_sets),
        "AGAINST": against(s),
        "BUDGETS": by_budget(s),
        "STUDENTS": other_students(s),
        "SOFT": soft_labels(s),
        "HELD": with_holdout(s),
        "WHY_HELD": worth_of_holdout(s),
        "EARLY": early(s),
        "BUDGETS_OF": budgets_of(s),
        "MADE": of_made(s),
        "HALF": half(s),
        "PARTS": variants(s, plan.PARTS, less=plan.BASE),
        "VARIANTS": variants(s, [*(n for n in plan.VARIANTS if n not in plan.PARTS), f"{plan.DEFAULT}, going on"]),
        "LOSSES": losses(s),
        "SUBCLASSES": of_subclasses(s),
        "SETS": sets(s),
        "STREAMS": SUMMARY.read_text(encoding="utf-8").rstrip(),
        "CONDITIONS": conditions(s),
    }
    parts |= reasons(s)
    text = TEXT.read_text(encoding="utf-8")
    for name, value in parts.items():
        text = text.replace(f"{{{{{name}}}}}", value)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8")
    print(first_table(s), verdict(s), sep="\n\n")
