"""Damaged and hostile model files: refused by name, or read with the same weights."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from helpers import QUICK, real_counts
from torch import Tensor

import scae

from .children import GIB, Child, Reply
from .figure import Figure
from .mutants import loaded, write_huge, write_matching, write_mutants, write_others, write_texts


def figures(*, reduced: bool) -> Iterator[Figure]:
    figure = Figure("models are refused by ModelFileError or keep every weight, in 10 s and 1 GiB, and end no process")
    with tempfile.TemporaryDirectory() as folder:
        good = Path(folder) / "good.scae"
        scae.tl.fit(real_counts(), plan=QUICK, batch_key="batch", device="cpu").save(good)
        hostile = [*write_huge(good), *write_matching(good), *write_texts(good), *write_others(good)][:: 2 if reduced else 1]
        mutants = write_mutants(good, (100 if reduced else 1000) - len(hostile))
        child, replies = Child(_load, (good, good)), []
        for path in (*hostile, *mutants):
            replies.append(child.ask(path, good))
            figure.case(path.name, _fault(replies[-1], may_be_same=path in mutants))
        child.close()
    figure.measured.append(f"{len(hostile)} hostile models, {len(mutants)} mutated ones, of which {_same(replies)} kept every weight")
    figure.measured.append(extremes(replies))
    yield figure


@lru_cache(maxsize=1)
def _weights(good: Path) -> dict[str, Tensor]:
    return scae.load(good).state_dict()


def _load(path: Path, good: Path) -> str:
    return loaded(path, _weights(good))


def _same(replies: list[Reply]) -> int:
    return sum(reply.answer == "same" for reply in replies)


def _fault(reply: Reply, *, may_be_same: bool) -> str | None:
    if reply.fault or reply.peak > GIB:
        return reply.fault or f"took {reply.peak / GIB:.1f} GiB"
    well = reply.answer.startswith("refused") or (may_be_same and reply.answer == "same")
    return None if well else reply.answer


def extremes(replies: list[Reply]) -> str:
    """The longest time and the largest memory of some cases."""
    return f"at most {max(r.seconds for r in replies):.1f} s and {max(r.peak for r in replies) >> 20} MiB"
