"""Bad inputs: each is refused in one line that says what to do, and nothing is changed."""

from __future__ import annotations

import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faults

from scae.errors import ScaeError

from . import bad, commands
from .bits import all_bits
from .cases import Case, apart, sample, serve
from .figure import Figure

PROMISES = {
    "values": "values that are not counts: a named error that says what to do; AnnData is unchanged",
    "objects": "unfit objects: the same",
    "arrays": "sparse arrays that contradict each other: the same, and no crash",
    "options": "options and columns that are not allowed: the same",
    "commands": "command line: one line on stderr, the exit code, no file, the input's bytes",
}
PLACE = r"\bX\b|layers\['counts'\]"
IN_FILE = PLACE + r"|to_memory|dask"
ADVICE = re.compile(
    r"\b(allowed|Add|Call|Check|Choose|Create|Delete|Fill|Fit|[Gg]ive|Known|Leave|Load|lower|must|Name|Pass|Read|Rebuild|"
    r"Remove|Rename|Round|Select|Set|Store|Take|Use|Wrap)\b|did you mean"
)
LONGEST = 600  # characters of a message


def refused(call: Callable[[], Any], says: str) -> str | None:
    """What is wrong with the way in which a call refuses its input; None if nothing."""
    try:
        call()
    except ScaeError as error:
        return _unclear(str(error), says)
    except BaseException as error:
        return f"raises {type(error).__name__}: {error}"
    return "is accepted"


def _unclear(message: str, says: str) -> str | None:
    if "\n" in message or not 20 < len(message) < LONGEST:
        return f"says it in {message.count(chr(10)) + 1} lines and {len(message)} characters: {message}"
    if not re.search(says, message):
        return f"does not say {says!r}: {message}"
    return None if ADVICE.search(message) else f"does not say what to do: {message}"


def unchanged(verb: bad.Verb, adata: Any, says: str, **options: Any) -> str | None:
    """As :func:`refused`, for a verb, which must leave the object as it was."""
    before = all_bits(adata)
    fault = refused(lambda: verb(adata, **options), says)
    return fault or (None if all_bits(adata) == before else "changes the object")


def _values(fault: str, kind: str, name: str) -> str | None:
    with tempfile.TemporaryDirectory() as folder:
        how = bad.KINDS[kind]
        adata = how.make(bad.VALUES[fault](bad.counts()), Path(folder))
        says = IN_FILE if how.backed or "dask" in kind else PLACE
        said = unchanged(bad.VERBS[name], adata, says, **({"layer": "counts"} if how.layer else {}))
        if adata.isbacked:
            adata.file.close()
        return said


def _arrays(fault: str, kind: str, place: str, name: str) -> str | None:
    adata = bad.with_columns(faults.broken(kind, fault, place))
    options = {} if place == "X" else {"layer": place}
    return unchanged(bad.VERBS[name], adata, "pointer|indptr|indices|row|column", **options)


def _options(kind: str, name: str, options: dict[str, Any], says: str) -> str | None:
    adata = bad.KINDS[kind].make(bad.counts(), Path())
    return unchanged(bad.VERBS[name], adata, says, **options)


def of_values() -> Iterator[Case]:
    for fault in bad.VALUES:
        for kind, how in bad.KINDS.items():
            for name, verb in bad.VERBS.items():
                possible = fault in bad.WHOLE or how.dtype.startswith("float")
                if verb.counts and possible and (verb.layer or not how.layer):
                    yield Case("values", (name, fault, kind), lambda f=fault, k=kind, n=name: _values(f, k, n))


def of_objects() -> Iterator[Case]:
    for fault, (make, says, names) in bad.OBJECTS.items():
        for name in names:
            yield Case("objects", (name, fault), lambda n=name, m=make, s=says: unchanged(bad.VERBS[n], m(), s))


def of_arrays() -> Iterator[Case]:
    for fault in faults.FAULTS:
        for kind in faults.KINDS:
            for name, verb in bad.VERBS.items():
                for place in ("X", "other") if verb.layer else ("X",):
                    what = (name, fault, kind, "X" if place == "X" else "a layer")
                    yield Case("arrays", what, lambda f=fault, k=kind, p=place, n=name: _arrays(f, k, p, n))


def of_options() -> Iterator[Case]:
    number = 0
    for names, table in bad.OPTIONS:
        for fault, (options, says) in table.items():
            for name in names:
                kind = bad.PLAIN[number % len(bad.PLAIN)]
                number += 1
                yield Case("options", (name, fault, kind), lambda k=kind, n=name, o=options, s=says: _options(k, n, o, s))
    for fault, (call, says) in bad.ALONE.items():
        yield Case("options", (fault,), lambda c=call, s=says: refused(c, s))


def cases(*, reduced: bool) -> list[Case]:
    """All cases, or a sample."""
    every = [*of_values(), *of_objects(), *of_arrays(), *of_options(), *commands.cases(reduced=reduced)]
    return sample(every, 300) if reduced else every


def figures(*, reduced: bool) -> Iterator[Figure]:
    """One figure per promise."""
    made = {group: Figure(promise) for group, promise in PROMISES.items()}
    for group, name, fault in apart(__name__, *(["--reduced"] if reduced else [])):
        made[group].case(name, fault)
    yield from made.values()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    serve(cases(reduced="--reduced" in sys.argv))
