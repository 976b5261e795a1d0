"""Damaged and hostile model files: refused by name, soon and in little memory, or the same weights."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from helpers import QUICK, real_counts
from test_hostile import GIB, HUGE, forge, mutants, probe

import scae
from scae.io.modelfile import read_model

from .figure import Figure

_SECONDS = 10


def figures(*, reduced: bool) -> Iterator[Figure]:
    """One figure; a process that ends by a signal, or needs too much memory, is a failure of it."""
    figure = Figure("refused as ModelFileError, or loaded with the same weights")
    with tempfile.TemporaryDirectory() as folder:
        good = Path(folder) / "good.scae"
        scae.tl.fit(real_counts(), plan=QUICK).save(good)
        paths = mutants(good, 100 if reduced else 1000) + _huge(good)
        said, peak = probe(good, paths, seconds=60 + _SECONDS * len(paths))
    for path, (text, seconds) in said.items():
        late = f"took {seconds:.0f} s" if seconds > _SECONDS else None
        figure.case(Path(path).name, late if text.startswith(("refused", "same")) else text)
    same = sum(text == "same" for text, _ in said.values())
    slowest = max(seconds for _, seconds in said.values())
    figure.case("peak memory", None if peak <= GIB else f"{peak >> 20} MiB; allowed: 1024 MiB")
    figure.measured.append(f"{same} had the same weights; slowest {slowest:.2f} s; peak memory {peak >> 20} MiB")
    yield figure


def _huge(good: Path) -> list[Path]:
    """Files that describe models far larger than the weights in them."""
    arrays, about = read_model(good)
    paths = []
    for name, change in HUGE.items():
        paths.append(good.with_name(f"{name}.scae"))
        forge(paths[-1], arrays, change(about))
    return paths
