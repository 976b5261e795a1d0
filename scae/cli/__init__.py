"""The command line: each command calls the Python function of the same name."""

from __future__ import annotations

import argparse
import difflib
import importlib
import json
import logging
import signal
import sys
import warnings
from collections.abc import Iterable
from typing import Any, NoReturn

from ..errors import (
    CheckpointError,
    ConfigError,
    CountsError,
    DivergenceError,
    Interrupted,
    MissingKeyError,
    ModelFileError,
    ScaeError,
)
from ..signals import interrupting
from ..version import __version__

# name: (module with add_arguments and run, one line of help)
COMMANDS = {
    "check": (".check", "check that a file holds raw counts"),
    "fit": (".fit", "fit a model to counts"),
    "select": (".select", "choose a model by its prediction of held-out molecules"),
    "embed": (".embed", "write each cell's latent to obsm"),
    "cluster": (".cluster", "cluster cells by the consensus of several fits"),
    "classify": (".classify", "label cells by labelled cells"),
    "pseudotime": (".pseudotime", "write each cell's distance from a start cell along the latent"),
    "denoise": (".denoise", "write expected counts to a layer"),
    "decode": (".decode", "write the counts that a model predicts at latents"),
    "generate": (".generate", "draw the counts of new cells"),
    "interpolate": (".interpolate", "write expected counts along a path from one cell or group to another"),
    "shift": (".shift", "predict cells in another condition"),
    "correlation": (".correlation", "correlate genes, and test the pairs against permuted genes"),
    "differential-expression": (".differential_expression", "rank the genes whose rates differ between groups of cells"),
    "demo": (".demo", "embed, denoise and cluster 700 real cells, without a download"),
    "preprocess": (".preprocess", "quality metrics, filters, normalisation and variable genes, in bounded memory"),
    "parts": (".parts", "list the presets, and the parts that models are made of"),
}

EXIT_CODES = """\
exit codes: 0 success; 1 other errors of scae; 2 invalid option; 3 unsuitable data;
4 training diverged; 5 a file cannot be read or written;
129, 130, 143 ended by SIGHUP, SIGINT (Ctrl-C), SIGTERM"""


def main(argv: list[str] | None = None) -> int:
    """Run one command and return the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    args = argparse.Namespace(command=_command(argv))
    try:
        with interrupting(), warnings.catch_warnings():
            args = _parse(argv)  # may take seconds, because it may import torch
            logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
            logging.getLogger("scae").setLevel(logging.WARNING if args.quiet else logging.INFO)
            warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
            summary = args.run(args)
    except KeyboardInterrupt as fault:
        number = fault.signal if isinstance(fault, Interrupted) else signal.SIGINT
        saved = f"; the same command goes on from {args.checkpoint}" if "checkpoint" in args else ""
        print(f"scae {args.command or ''}".rstrip() + f": interrupted by {signal.Signals(number).name}{saved}", file=sys.stderr)
        return 128 + number
    except (ScaeError, OSError) as fault:
        from ..io.advice import for_shell

        source = getattr(args, "input", getattr(args, "source", None))
        print(f"scae {args.command}: {for_shell(str(fault), source)}", file=sys.stderr)
        return _exit_code(fault)
    except ModuleNotFoundError as fault:
        from ..io.advice import install

        print(f"scae {args.command}: {install(fault)}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(summary))
    return 0 if summary.get("ok", True) else 3


def _command(argv: list[str]) -> str | None:
    return next((word for word in argv if not word.startswith("-")), None)


def _exit_code(fault: Exception) -> int:
    if isinstance(fault, ConfigError | MissingKeyError):
        return 2
    if isinstance(fault, DivergenceError):
        return 4
    if isinstance(fault, CheckpointError | ModelFileError | OSError):
        return 5
    return 3 if isinstance(fault, CountsError | ValueError) else 1


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, without the usage, and with the closest names."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; {self.prog} --help lists what is allowed\n")

    def refuse(self, words: list[str]) -> NoReturn:
        """End because of words that are no options of this command."""
        named = [word.partition("=")[0] for word in words if word.startswith("-")]
        if not named:
            self.error(f"unexpected {' '.join(words)}")
        self.error(f"there is no option {named[0]}" + _meant(named[0], self._option_string_actions))


def _meant(word: str, known: Iterable[str]) -> str:
    """The names that a word may have been meant to be, as words of a message."""
    close = [name for name in known if name.startswith(word) and len(word) > 2]
    close = close or difflib.get_close_matches(word, list(known), 3)
    return f" (did you mean {' or '.join(close[:3])}?)" if close else ""


def _parse(argv: list[str]) -> argparse.Namespace:
    """Read the words; end the program where they are not understood."""
    name = _command(argv)
    parser, command = _parser(argv)
    if name is not None and name not in COMMANDS:
        parser.error(f"there is no command {name}" + (_meant(name, COMMANDS) or f"; allowed: {', '.join(COMMANDS)}"))
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        (command or parser).refuse(unknown)
    return args


def _parser(argv: list[str]) -> tuple[_Parser, _Parser | None]:
    """The parser, and that of the command named in ``argv``, the only one that has its options."""
    parser = _Parser(prog="scae", description="AnnData-native count autoencoders.", epilog=EXIT_CODES)
    parser.add_argument("--version", action="version", version=f"scae {__version__}")
    commands, chosen = parser.add_subparsers(dest="command", required=True, metavar="COMMAND"), None
    for name, (module, line) in COMMANDS.items():
        sub = commands.add_parser(name, help=line, description=line[0].upper() + line[1:] + ".")
        sub.add_argument("--json", action="store_true", help="print a summary as JSON to stdout")
        sub.add_argument("--quiet", action="store_true", help="no progress messages on stderr")
        sub.add_argument(
            "--import", dest="_files", action="append", metavar="FILE", help="Python file that defines parts of your own"
        )
        if name == _command(argv):  # add the options of this command only, because that may import torch
            _import_files(argv)
            command = importlib.import_module(module, __name__)
            command.add_arguments(sub)
            sub.set_defaults(run=command.run)
            _shorten(sub, everything="--help-all" in argv)
            chosen = sub
    return parser, chosen


def _shorten(sub: _Parser, *, everything: bool) -> None:
    """Give a command a short help, without the options of parts and training unless they are asked for."""
    names = " ".join(action.dest for action in sub._positionals._group_actions)
    sub.usage = f"{sub.prog} {names} [OPTIONS]".replace("  ", " ")
    expert = [action for action in sub._actions if getattr(action, "expert", False)]
    if expert:
        sub.add_argument("--help-all", action="help", help="show every option of the parts and of the training, too, and exit")
    for action in expert if not everything else ():
        action.help = argparse.SUPPRESS


def _import_files(argv: list[str]) -> None:
    """Run the Python files named with ``--import``, which enter parts in the catalogue, before its options are made."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--import", dest="files", action="append", default=[])
    for path in first.parse_known_args(argv)[0].files:
        from ..parts import load_file

        load_file(path)
