"""Which files a path, a folder or a pattern stands for: all shards in natural order, and nothing else unsaid."""

from __future__ import annotations

import glob
import json
import os
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rad_fast.storage.archive import ABOUT

from .formats import SUFFIXES, by_suffix, form_of

TABLES = {
    "_delta_log": "Delta",
    ".hoodie": "Hudi",
    "metadata/*.metadata.json": "Iceberg",
    "metadata/version-hint.text": "Iceberg",
}
PASSING = ("_temporary", "_spark_metadata", "__pycache__")  # folders of what writes, never of what was written
UNFINISHED = frozenset((".gz", ".bz2", ".xz", ".zst", ".tmp", ".part", ".partial", ".crdownload", ".incomplete"))
SCORES = ("gain.npy", "correctness.npy", "label.npy")  # what tells a folder of scores


def found(given: Path, follow_links: bool) -> list[Path]:
    """The shards that a path stands for."""
    if given.is_dir() and form_of(given) is None:
        inside = sorted(below(given, follow_links), key=natural)
        return checked(given, [within(path, given, follow_links) for path in inside])
    if not given.exists() and not given.is_symlink() and glob.has_magic(str(given)):
        matched = sorted({Path(path) for path in glob.glob(str(given), recursive=True)}, key=natural)
        if not matched:
            raise FileNotFoundError(f"{given}: expected files, nothing matches this pattern")
        shards: list[Path] = []
        for path in matched:
            folder = path.is_dir() and form_of(path) is None
            if folder and "**" not in str(given):
                shards += found(path, follow_links)
            elif not folder:
                shards.append(within(path, path.parent, follow_links))
        return checked(given, shards)
    return [within(given, None, follow_links)]


def below(folder: Path, follow_links: bool) -> Iterator[Path]:
    """Files, and folders that are one matrix, in a folder and the folders in it. Hidden ones are passed over."""
    refuse_table(folder)
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in PASSING:
            continue
        if path.is_symlink():
            within(path, folder, follow_links)
        if not path.is_dir() or form_of(path) is not None:
            yield path
        elif all((path / name).is_file() for name in SCORES):
            say_passed_over(path)
        elif not (path.is_symlink() and folder.resolve().is_relative_to(path.resolve())):
            yield from below(path, follow_links)


def refuse_table(folder: Path) -> None:
    """The files of a table with a log are not all of them valid."""
    for mark, name in TABLES.items():
        if any(folder.glob(mark)):
            raise ValueError(
                f"{folder}: expected plain files, got a {name} table, in which old files stay beside the valid ones; "
                "write its rows to Parquet files first"
            )


def checked(given: Path, paths: list[Path]) -> list[Path]:
    """The shards among the files that were found."""
    paths = [path for path in paths if not (form_of(path) is not None and passed_over(path))]
    for path in paths:
        if path.suffix.lower() in UNFINISHED and by_suffix(Path(path.stem)) is not None:
            raise ValueError(f"{path}: expected a complete file, this one is compressed or unfinished; unpack it")
    known = [path for path in paths if form_of(path) is not None]
    usual = [path for path in known if is_usual(path)] or known
    kinds = {numberless(path) for path in usual}
    shards = usual + [path for path in known if not is_usual(path) and numberless(path) in kinds and path not in usual]
    if not shards:
        raise ValueError(f"{given}: expected a folder with files of logits ({SUFFIXES}), there is none in it")
    names = {form.name: path for path in shards if (form := form_of(path)) is not None}
    if len(names) > 1:
        examples = " and ".join(path.name for path in names.values())
        raise ValueError(f"{given}: expected shards of one format, got {examples}; give a pattern such as DIR/*.npy")
    refuse_gaps(given, shards)
    return shards


def is_usual(path: Path) -> bool:
    form = form_of(path)
    return form is not None and form.usual


def numberless(path: Path) -> tuple[Path, str]:
    return path.parent, re.sub(r"\d+", "#", path.name.partition(".")[0])


def refuse_gaps(given: Path, shards: list[Path]) -> None:
    """Names such as part-00001-of-00005 say how many there are."""
    told = [(path, match) for path in shards if (match := re.search(r"(\d+)-of-(\d+)", path.name))]
    groups: dict[tuple[Path, str, int], list[int]] = {}
    for path, match in told:
        key = (path.parent, path.name[: match.start()], int(match[2]))
        groups.setdefault(key, []).append(int(match[1]))
    for (folder, start, count), numbers in groups.items():
        if len(set(numbers)) < count:
            raise ValueError(
                f"{given}: expected {count} shards {start}...-of-{count} in {folder}, got {len(set(numbers))}: "
                "are they all there?"
            )
    if not told:
        say_gaps(given, shards)


def say_gaps(given: Path, shards: list[Path]) -> None:
    """Of names that differ in a number alone, nearly all of which follow upon each other, one may be missing."""
    groups: dict[tuple[Path, str], list[int]] = {}
    for path in shards:
        if len(numbers := re.findall(r"\d+", path.name.partition(".")[0])) == 1:
            groups.setdefault(numberless(path), []).append(int(numbers[0]))
    for (folder, name), found_numbers in groups.items():
        numbers_there = sorted(set(found_numbers))
        missing = sorted(set(range(numbers_there[0], numbers_there[-1])) - set(numbers_there))
        if missing and 2 * len(missing) <= len(numbers_there):
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            warnings.warn(
                f"{given}: shards {name} in {folder} are numbered from {numbers_there[0]} to {numbers_there[-1]}, but "
                f"{missing[0]}{more} {'are' if more else 'is'} missing: are they all there?",
                stacklevel=2,
            )


def passed_over(path: Path) -> bool:
    """Whether a file is what rad-fast wrote: the indices of a selection, the scores of a folder."""
    if path.name in SCORES and all((path.parent / name).is_file() for name in SCORES):
        return say_passed_over(path)
    if path.suffix == ".npz" and path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if f"{ABOUT}.npy" in archive.namelist():  # of Selection.save
                return say_passed_over(path)
    beside = path.with_suffix(".json")
    if path.is_dir() or not beside.is_file():
        return False
    try:
        report = json.loads(beside.read_bytes())
    except (ValueError, RecursionError):
        return False
    ours = isinstance(report, dict) and report.get("indices") == path.name and "budget" in report
    return ours and say_passed_over(path)


def say_passed_over(path: Path) -> bool:
    warnings.warn(f"{path}: skipped: rad-fast wrote it, it is not a shard", stacklevel=2)
    return True


def within(path: Path, folder: Path | None, follow_links: bool) -> Path:
    """The path, if no link in it leads out of the folder that was given."""
    inner = list(files_of(path)) if path.is_dir() and form_of(path) is not None else []
    for candidate in [path, *inner] if folder is not None else inner:
        home = path if folder is None else folder
        if candidate.is_symlink() and not follow_links:
            target = Path(os.path.realpath(candidate))
            if not target.is_relative_to(os.path.realpath(home)):
                raise ValueError(
                    f"{candidate}: expected a file in {home}, got a symbolic link out of it; give the folder that it "
                    "leads to, or --follow-links (follow_links=True)"
                )
    return path


def files_of(folder: Path) -> list[Path]:
    """All files and links below a folder; links to folders are named and not entered."""
    result = []
    for base, folders, names in os.walk(folder):
        result += [Path(base, name) for name in names]
        result += [Path(base, name) for name in folders if os.path.islink(os.path.join(base, name))]
    return sorted(result)


def natural(path: Path) -> tuple[Any, ...]:
    """A key by which shard-2 comes before shard-10."""
    parts = re.split(r"(\d+)", str(path))
    return tuple((int(part), "") if at % 2 else (-1, part) for at, part in enumerate(parts)), str(path)
