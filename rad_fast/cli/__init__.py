"""The command line: rad-fast select, stream, report, bench, info, demo.

A subcommand is an entry of COMMANDS: a name, a function that adds its arguments, and one that runs it.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import rad_fast

from . import bench, demo, info, report, select, stream
from .messages import UsageError, one_line, tell, tell_warning


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 for a bad input, 2 for bad usage (as SystemExit)."""
    reopen_streams()
    arguments = parser().parse_args(argv)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = tell_warning  # type: ignore[assignment]
            arguments.run(arguments)
            sys.stdout.flush()  # here, where a closed pipe can still be told from success
    except UsageError as error:
        arguments.parser.error(str(error))
    except KeyboardInterrupt:
        tell("interrupted")
        return 130
    except BrokenPipeError:  # `rad-fast info | head -1`: whoever read has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MemoryError as error:
        tell(f"out of memory ({error})" if str(error) else "out of memory")
        return 1
    except (TypeError, ValueError, OSError, ImportError) as error:
        tell(one_line(error))
        return 1
    return 0


def reopen_streams() -> None:
    """Streams that whoever started this process has closed lead nowhere, and files that are opened are not in their
    place."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            place = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            if place != number:
                os.dup2(place, number)
                os.close(place)
        if getattr(sys, name) is None:  # its number may belong to a file that a library has opened since
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - for as long as the process lives


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    top = Parser(
        prog="rad-fast",
        description="Robust active distillation: from the logits of a teacher, the points a student should learn.",
        allow_abbrev=False,
    )
    top.add_argument("--version", action=Version, nargs=0, default=argparse.SUPPRESS, help="print the version and exit")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        sub = commands.add_parser(command.name, help=command.help, description=command.help, allow_abbrev=False)
        command.add_arguments(sub)
        sub.set_defaults(run=command.run, parser=sub)
    return top


class Parser(argparse.ArgumentParser):
    """One that says in two lines what is wrong with a command, where argparse puts all options before it."""

    def error(self, message: str) -> NoReturn:
        every = "rad-fast COMMAND" if self.prog == "rad-fast" else self.prog
        self.exit(2, f"{self.prog}: error: {message}\nusage: {every} ...; {every} --help lists the options\n")


class Version(argparse.Action):
    """--version; the package's metadata is only read when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(f"rad-fast {rad_fast.__version__}")
        parser.exit()


class Command(NamedTuple):
    """A subcommand."""

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


COMMANDS = (
    Command("select", "choose points from the logits in a file", select.add_arguments, select.run),
    Command("stream", "decide on rows of logits as they arrive through a pipe", stream.add_arguments, stream.run),
    Command("report", "show a selection on one page, with figures", report.add_arguments, report.run),
    Command(
        "bench", "measure rad_fast on this machine, compared with memory and PyTorch", bench.add_arguments, bench.run
    ),
    Command("info", "show what is installed and what this machine offers", info.add_arguments, info.run),
    Command("demo", "show the main job on handwritten digits", demo.add_arguments, demo.run),
)
