"""Tables, figure and page of the study, from its results. What each table says is written in text.md."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from benchmarks.streams.summary import SUMMARY

from . import data, plan, real
from .losses import LOSSES, PLAIN
from .runs import ROUNDS
from .scores import OLD, REAL, Scores, Within, hard_tfidf, interval, of_sets, shown, table
from .subclasses import KINDS, LELP, SIZES, SOFT

TEXT = Path(__file__).with_name("text.md")
UNIFORM = ("uniform", PLAIN)
MINE = (plan.DEFAULT, PLAIN)
SHORT_NAMES = {"policy-en": "policy, English", "policy-da": "policy, Danish"}
SEES_POOL = {*plan.FIRST[2:], *plan.OWN, plan.DEFAULT, "balanced", "confident-learning", "conformal", "learnability",
             "learnability-top"} - {"rad-average"}  # fmt: skip
THREE = 3  # rivals in the table and the figure of the first page


def main_rivals(s: Scores) -> list[str]:
    """The strongest on the real sets, of those that ran everywhere."""
    ran = [
        name for name in s.strategies(hard_tfidf(REAL)) if name in plan.FIRST and name not in ("uniform", plan.BEFORE)
    ]
    return ran[:THREE]


def by_set(s: Scores, names: list[str], sets: tuple[str, ...], chosen: Within) -> list[list[str]]:
    rows = []
    for name in names:
        of = [shown(s.differences((name, PLAIN), UNIFORM, lambda c, x=x: c.source == x and chosen(c))) for x in sets]  # type: ignore[misc]
        label = f"**{name}**" if name == plan.DEFAULT else name
        rows.append([label, shown(s.differences((name, PLAIN), UNIFORM, chosen)), *of])
    return rows


def first_table(s: Scores) -> str:
    names = [plan.DEFAULT, *main_rivals(s), plan.BEFORE, "margin"]
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
    return table([f"{plan.DEFAULT} less", "real sets", "older sets"], rows[::-1])


def by_budget(s: Scores) -> str:
    names = list(dict.fromkeys([plan.DEFAULT, *main_rivals(s), plan.BEFORE, "margin"]))
    rows = []
    for name in names:
        parts = [lambda c, k=k: c.size == k and hard_tfidf(REAL)(c) for k in range(3)]  # type: ignore[misc]
        rows.append([name, *(shown(s.differences((name, PLAIN), UNIFORM, part)) for part in parts)])
    return table(["strategy", *(f"{m} a class" for m in plan.MULTIPLES)], rows)


def other_students(s: Scores) -> str:
    names = list(dict.fromkeys([plan.DEFAULT, *plan.FIRST[1:]]))
    parts: list[Within] = [
        lambda c: c.labels == "soft" and c.source in REAL,
        lambda c: c.student == "minilm-linear",
        lambda c: c.student == "minilm-128",
    ]
    rows = [[name, *(shown(s.differences((name, PLAIN), UNIFORM, part)) for part in parts)] for name in names]
    return table(["strategy", "soft labels", "linear on MiniLM", "128 units on MiniLM"], rows)


def early(s: Scores) -> str:
    chosen = hard_tfidf(REAL)
    names = [n for n in s.strategies(chosen) if n not in SEES_POOL and n not in plan.VARIANTS and "going" not in n]
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
        head.append(f'less "{less}"')
        for row, name in zip(rows, [plan.DEFAULT, *names], strict=True):
            row.append("" if name == less else shown(s.differences((name, PLAIN), (less, PLAIN), common)))
    seeds = len(s.differences((names[0], PLAIN), UNIFORM, common))
    return table(head, rows) + f"\n\nOn {seeds} seeds and eight teachers."


def losses(s: Scores) -> str:
    rows = []
    for name in ("uniform", plan.DEFAULT):
        for loss in LOSSES:
            parts = [
                s.differences((name, loss), (name, PLAIN), lambda c, kind=kind: c.labels == kind and c.source in REAL)  # type: ignore[misc]
                for kind in ("hard", "soft")
            ]
            rows.append([f"{name}, {loss}", *map(shown, parts)])
    return table(["less the plain loss", "hard labels", "soft labels"], rows)


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
    return table(["less plain soft labels", *(f"{size} points" for size in SIZES)], rows)


def verdict(s: Scores) -> str:
    """The bar of the study, and whether it is met."""
    chosen = hard_tfidf(REAL)
    lines = []

    def line(what: str, missed: list[str]) -> None:
        lines.append(f"- {what}: " + ("**met**" if not missed else "**missed**: " + ", ".join(missed)))

    rivals = [n for n in s.strategies(chosen) if n in plan.STRATEGIES and n != plan.DEFAULT]
    gaps = {n: interval(s.differences(MINE, (n, PLAIN), chosen)) for n in rivals}
    said = {n: f"{n} ({mean:+.2f} ± {half:.2f})" for n, (mean, half) in gaps.items()}
    line("over the real sets the default is ahead of every rival", [said[n] for n in rivals if not gaps[n][0] > 0])
    named = ("uniform", "margin", "balanced-greedy", "balanced-top-confidence", "llkd")
    unsure = [said[n] for n in named if n in gaps and not gaps[n][0] - gaps[n][1] > 0]
    line("with its 95% interval above zero against " + ", ".join(named), unsure)
    low = []
    for x in (*REAL, *OLD):
        mean = interval(s.differences(MINE, UNIFORM, lambda c, x=x: c.source == x and of_sets((x,))(c)))[0]  # type: ignore[misc]
        if mean < -0.5:
            low.append(f"{x} ({mean:+.2f})")
    line("on no set below uniform selection by more than 0.5", low)
    gain, older = (interval(s.differences(MINE, (plan.BEFORE, PLAIN), part)) for part in (chosen, of_sets(OLD)))
    for what, (mean, half), least in (
        (f"at least 1.5 over {plan.BEFORE} on the real sets", gain, 1.5),
        (f"not below {plan.BEFORE} by more than 0.3 on the older sets", older, -0.3),
    ):
        line(what, [] if mean >= least else [f"{mean:+.2f} ± {half:.2f}"])
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
    return (
        f"With labels that real models gave, the default is worth {over} points of student accuracy over a uniform "
        f"choice of as many labels; the best rival, `{best}`, {shown(s.differences((best, PLAIN), UNIFORM, chosen))}; "
        f"margin sampling, which asks the student alone, {shown(s.differences(('margin', PLAIN), UNIFORM, chosen))}."
    )


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
    rad, best = plan.DEFAULT, (main_rivals(s) or ["balanced-greedy"])[0]
    both = ("balanced-greedy", "balanced-top-confidence")
    return {
        "BADGE": over("badge", chosen, "rad-prior"),
        "WHY_RAD": f"{over(rad, chosen)} over uniform, {over(rad, chosen, best)} over `{best}`, the next best",
        "WHY_EVEN": f"{over(rad, even)} and {over(both[0], even)}",
        "WHY_UNEVEN": f"{over(rad, uneven)}; `{both[0]}` {over(both[0], uneven)}, `{both[1]}` {over(both[1], uneven)}",
        "WHY_SPOKEN": f"calibrated so: {over(rad, spoken)}",
        "WHY_POOR": f"right on 48% to 50%: {over(rad, poor)}",
        "WHY_EARLY": f"margin {over('margin', chosen)}; less margin: `badge` {over('badge', chosen, 'margin')}, "
        f"`rad-prior` {over('rad-prior', chosen, 'margin')}",
        "WHY_SOFT": f"with soft labels {over(rad, soft)} over uniform with soft labels",
    }


def figure(s: Scores, path: Path) -> None:
    """Points over uniform by set and teacher: the default, with intervals, against the three best rivals."""
    from matplotlib import pyplot

    places: list[tuple[str, Within]] = []
    for source, teacher in real.TEACHERS:
        here: Within = lambda c, at=(source, teacher): (c.source, c.teacher) == at and hard_tfidf(REAL)(c)  # type: ignore[misc]  # noqa: E731
        places.append((f"{SHORT_NAMES.get(source, source)}: {teacher}", here))
    places += [(x, of_sets((x,))) for x in OLD]
    places = [(name, here) for name, here in places if len(s.differences(MINE, UNIFORM, here))][::-1]
    names = [plan.DEFAULT, *main_rivals(s)]
    colours = ("#b5243c", "#1f5f8b", "#5a9bd4", "#8d99ae")
    fig, ax = pyplot.subplots(figsize=(8.5, 0.36 * len(places) + 1.4), layout="constrained")
    for name, colour, marker in zip(names, colours, "osD^", strict=False):
        parts = [interval(s.differences((name, PLAIN), UNIFORM, here)) for _, here in places]
        means = [mean for mean, _ in parts]
        if name == plan.DEFAULT:
            bars = [half for _, half in parts]
            ax.errorbar(means, range(len(places)), xerr=bars, fmt="none", ecolor=colour, alpha=0.45, lw=2.2)
        ax.plot(means, range(len(places)), marker, color=colour, label=name, ms=6 if name == plan.DEFAULT else 5)
    ax.axvline(0.0, color="black", lw=0.8)
    ax.set_yticks(range(len(places)), [name for name, _ in places])
    ax.grid(axis="x", alpha=0.25)
    ax.set_xlabel("points of student accuracy over uniform selection (mean of three rounds)")
    ax.legend(
        loc="upper center", bbox_to_anchor=(0.4, 1.0 + 0.9 / max(len(places), 4)), ncols=len(names), frameon=False
    )
    ax.spines[["top", "right"]].set_visible(False)
    fig.savefig(path, dpi=110)
    pyplot.close(fig)


def write(results: Path, *, figure: Path, page: Path) -> None:
    s = Scores(results)
    draw(s, figure)
    real_sets, old_sets = hard_tfidf(REAL), of_sets(OLD)
    noted = {**s.conditions, "seeds": len({c.seed for c in s.of[UNIFORM]})}
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
        "EARLY": early(s),
        "PARTS": variants(s, plan.PARTS, less="labels' shares, shrunk"),
        "VARIANTS": variants(s, [*(n for n in plan.VARIANTS if n not in plan.PARTS), f"{plan.DEFAULT}, going on"]),
        "LOSSES": losses(s),
        "SUBCLASSES": of_subclasses(s),
        "SETS": sets(s),
        "STREAMS": SUMMARY.read_text(encoding="utf-8").rstrip(),
        "CONDITIONS": "\n".join(f"- {name}: {value}" for name, value in noted.items()),
    }
    parts |= reasons(s)
    text = TEXT.read_text(encoding="utf-8")
    for name, value in parts.items():
        text = text.replace(f"{{{{{name}}}}}", value)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8")
    print(first_table(s), verdict(s), sep="\n\n")


draw = figure
