"""Bad inputs of the command line: one line on stderr, the documented exit code, and no file but the input."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import faults
from helpers import ROOT

import scae.cli

from . import bad
from .cases import Case

OPTION, DATA, FILE = 2, 3, 5  # exit codes of `scae --help`
_QUICK = ("--epochs", "1", "--min-steps", "2", "--max-steps", "2", "--device", "cpu")
COMMANDS: dict[str, tuple[str, ...]] = {
    "check": ("check", "{input}"),
    "preprocess": ("preprocess", "{input}", "{out}.h5ad", "--min-genes", "1", "--min-cells", "1", "--n-top-genes", "5"),
    "fit": ("fit", "{input}", "{out}.scae", *_QUICK),
    "embed": ("embed", "{input}", "{out}.h5ad", *_QUICK),
    "denoise": ("denoise", "{input}", "{out}.zarr", *_QUICK),
    "embed --model": ("embed", "{input}", "{input}", "--model", "{model}"),
    "denoise --model": ("denoise", "{input}", "{out}.h5ad", "--model", "{model}"),
    "select": ("select", "{input}", "--presets", "vae", "--splits", "1", "--out", "{out}.csv", *_QUICK),
}
FITTING = ("fit", "embed", "denoise", "select")
KINDS = ("CSR", "CSC", "C", "CSR float64", "CSR int32", "layer, CSR")
Make = Callable[[Path], object]


def _sound(path: Path) -> None:
    bad.KINDS["CSR"].make(bad.counts(), path.parent).write_h5ad(path)


def _values(fault: str, kind: str) -> Make:
    return lambda path: bad.KINDS[kind].make(bad.VALUES[fault](bad.counts()), path.parent).write_h5ad(path)


def _arrays(fault: str, kind: str) -> Make:
    return lambda path: faults.broken_file(path, bad.with_columns(faults.broken(kind, fault)))


def _object(name: str) -> Make:
    return lambda path: bad.OBJECTS[name][0]().write_h5ad(path)


def _half(path: Path) -> None:
    _sound(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


FILES: dict[str, Make] = {
    "no file": lambda _: None,
    "a text": lambda path: path.write_text("cells and genes"),
    "an empty file": lambda path: path.touch(),
    "a folder": lambda path: path.mkdir(),
    "half a file": _half,
}
# fault: (commands, words added, exit code, part of stderr)
_KEY_OPTIONS = {
    "layer with a close match": (("--layer", "takn"), OPTION, "did you mean 'taken'"),
    "layer of fractions": (("--layer", "taken", "--batch-key", "batc"), OPTION, "did you mean 'batch'"),
    "no such covariate": (("--continuous-covariates", "agee"), OPTION, "did you mean 'age'"),
    "batch with missing values": (("--batch-key", "holes"), DATA, "missing values"),
    "covariate of texts": (("--continuous-covariates", "donor"), DATA, "must be numeric"),
    "infinite covariate": (("--continuous-covariates", "endless"), DATA, "infinite"),
    "size factor of zero": (("--size-factor", "zeros"), DATA, "above zero"),
    "mask of texts": (("--mask-var", "words"), OPTION, "mask_var has dtype"),
}
_FIT_OPTIONS = {
    "lr of text": (("--lr", "fast"), OPTION, "'fast' is not a number"),
    "lr=-1": (("--lr", "-1"), OPTION, "lr is -1"),
    "epochs=0": (("--epochs", "0"), OPTION, "epochs is 0"),
    "no such likelihood": (("--likelihood", "poison"), OPTION, "did you mean 'poisson'"),
    "no such option": (("--bottleneck-dmi", "3"), OPTION, "--bottleneck-dmi"),
    "no such device": (("--device", "tpu"), OPTION, "tpu"),
    "negative seed": (("--random-state", "-1"), OPTION, "random_state is -1"),
}
OPTIONS: list[tuple[tuple[str, ...], dict[str, tuple[tuple[str, ...], int, str]]]] = [
    (FITTING, _KEY_OPTIONS | _FIT_OPTIONS),
    (("fit", "embed", "denoise"), {"no such preset": (("--preset", "vea"), OPTION, "did you mean 'vae'")}),
    (
        ("embed", "denoise", "embed --model", "denoise --model"),
        {
            "slot with a slash": (("--key-added", "a/b"), OPTION, "'a/b'"),
            "taken slot": (("--key-added", "taken"), OPTION, "['taken'] is there already"),
        },
    ),
    (("embed --model", "denoise --model"), {"key of a fitted model": (("--batch-key", "batch"), OPTION, "--batch-key")}),
    (
        ("denoise", "denoise --model"),
        {
            "no such kind": (("--kind", "men"), OPTION, "--kind"),
            "negative draws": (("--n-samples", "-1"), OPTION, "n_samples -1"),
            "draws of text": (("--n-samples", "many"), OPTION, "--n-samples"),
            "no such gene": (("--genes", "1000"), OPTION, "unknown gene '1000'"),
        },
    ),
    (
        ("select",),
        {
            "no splits": (("--splits", "0"), OPTION, "n_splits is 0"),
            "no such candidate": (("--presets", "vea"), OPTION, "did you mean 'vae'"),
            "grid without values": (("--grid", "lr"), OPTION, "--grid has 'lr'"),
            "no such order": (("--order", "beauty"), OPTION, "--order is beauty"),
        },
    ),
    (
        ("preprocess",),
        {
            "n_top_genes=-5": (("--n-top-genes", "-5"), OPTION, "n_top_genes is -5"),
            "n_top_genes of text": (("--n-top-genes", "many"), OPTION, "--n-top-genes"),
            "target_sum=-1": (("--target-sum", "-1"), OPTION, "target_sum is -1"),
            "no such batch": (("--batch-key", "batc"), OPTION, "did you mean 'batch'"),
            "batch with missing values": (("--batch-key", "holes"), DATA, "missing values"),
            "no such set of genes": (("--qc-vars", "wrods"), OPTION, "did you mean 'words'"),
            "slot with a slash": (("--key-counts", "a/b"), OPTION, "key_counts is 'a/b'"),
            "memory of text": (("--max-memory", "lots"), OPTION, "'lots' is not an amount"),
            "no cell passes": (("--min-genes", "41"), DATA, "lower min_genes"),
        },
    ),
]


@lru_cache
def model_file() -> Path:
    """The model of :func:`bad.with_batches`, in a file."""
    path = Path(tempfile.mkdtemp()) / "model.scae"
    bad.with_batches().save(path)
    return path


def inside(words: list[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = scae.cli.main(words)
        except SystemExit as end:
            code = end.code
    return code, out.getvalue(), err.getvalue()


def outside(words: list[str]) -> tuple[int, str, str]:
    """The same of a process."""
    command = [sys.executable, "-m", "scae", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def _listing(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


def _tried(name: str, make: Make, more: tuple[str, ...], codes: tuple[int, ...], says: str, run: Callable) -> str | None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make(folder / "in.h5ad")
        before = _listing(folder)
        places = {"input": folder / "in.h5ad", "out": folder / "out"} | ({"model": model_file()} if "--model" in name else {})
        code, out, err = run([word.format(**places) for word in COMMANDS[name]] + [*more, "--quiet"])
        errors = [line for line in err.splitlines() if not line.startswith("warning: ")]
        if name == "check" and not errors:  # a report, not an error
            errors = [line for line in out.splitlines() if line.startswith("error: ")][:1]
        if code not in codes or len(errors) != 1 or "Traceback" in err:
            return f"ends with {code} and says {err or out!r}"
        if says not in errors[0]:
            return f"does not say {says!r}: {errors[0]}"
        return None if _listing(folder) == before else "changes or leaves files"


def _case(name: str, fault: str, kind: str, *how: object, run: Callable = inside) -> Case:
    return Case("commands", (name, fault, kind), lambda: _tried(name, *how, run))


def of_files() -> Iterator[Case]:
    for name in COMMANDS:
        for kind in KINDS:
            for fault in bad.VALUES:
                layer = bad.KINDS[kind].layer
                possible = fault in bad.WHOLE or bad.KINDS[kind].dtype.startswith("float")
                if possible and not (layer and name == "preprocess"):
                    more = ("--layer", "counts") if layer else ()
                    says = "layers['counts']" if layer else "X"
                    yield _case(name, fault, kind, _values(fault, kind), more, (DATA,), says)
        for fault in faults.FAULTS:
            for kind in faults.KINDS:
                yield _case(name, fault, kind.upper(), _arrays(fault, kind), (), (DATA, FILE), "")
        for fault in ("X is None", "texts", "gene names twice")[: 2 if name == "preprocess" else 3]:
            yield _case(name, fault, "", _object(fault), (), (DATA, FILE), "")
        for fault, make in FILES.items():
            yield _case(name, fault, "", make, (), (FILE,), "in.h5ad")


def of_options() -> Iterator[Case]:
    for names, table in OPTIONS:
        for fault, (more, code, says) in table.items():
            for name in names:
                yield _case(name, fault, "CSR", _sound, more, (code,), says)
    for name in COMMANDS:
        yield _case(name, "a word too many", "CSR", _sound, ("more",), (OPTION,), "more")


def of_processes() -> Iterator[Case]:
    for name, fault, make, more, codes, says in (
        ("check", "negative", _values("negative", "CSR"), (), (DATA,), "negative"),
        ("preprocess", "index too large", _arrays("index too large", "csc"), (), (DATA, FILE), ""),
        ("fit", "half a file", _half, (), (FILE,), "in.h5ad"),
        ("embed", "lr of text", _sound, ("--lr", "fast"), (OPTION,), "'fast'"),
        ("denoise", "NaN", _values("NaN", "C"), (), (DATA,), "NaN"),
        ("select", "no file", FILES["no file"], (), (FILE,), "in.h5ad"),
    ):
        yield _case(name, fault, "own process", make, more, codes, says, run=outside)


def cases(*, reduced: bool) -> list[Case]:
    """All cases; with ``reduced``, only two of those that start a process."""
    return [*of_files(), *of_options(), *list(of_processes())[: 2 if reduced else None]]
