"""Checkpoints of a fit: all that it takes to go on with the same bits."""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import CheckpointError, ModelFileError, OutputError
from .io.modelfile import read_model, write_model
from .source import CountMatrix

log = logging.getLogger("scae")
State = tuple[dict[str, NDArray], dict[str, Any]]  # arrays, and everything else as JSON
_KEPT = 2


@dataclass
class Checkpoints:
    """The checkpoints of one fit in a folder of their own; the two newest are kept.

    Attributes
    ----------
    folder
        Where they are; made at the first one.
    seconds
        Time between two checkpoints, at least.
    """

    folder: Path
    seconds: float = 60.0
    saved: float = field(default_factory=time.monotonic)

    def due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() - self.saved >= self.seconds

    def save(self, step: int, state: State) -> None:
        """Write a checkpoint, and delete the oldest.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise OutputError(f"cannot make the folder {self.folder} for checkpoints: {fault.strerror}.") from fault
        write_model(self._file(step), *state)
        self.saved = time.monotonic()
        files = self._files()
        end = files.index(self._file(step)) + 1
        for old in files[: max(end - _KEPT, 0)] + files[end:]:  # later steps are those that the fit went back from
            old.unlink(missing_ok=True)

    def load(self, fit: dict[str, Any]) -> State | None:
        """The newest checkpoint that is whole; None if there is none yet.

        Parameters
        ----------
        fit
            What this fit is (model, plan, data …); a checkpoint must be of the same.

        Raises
        ------
        CheckpointError
            If the checkpoint is of another fit, or none of those there is whole.
        """
        files = self._files()[::-1]
        for file in files:
            try:
                arrays, about = read_model(file)
            except ModelFileError as fault:
                log.warning("checkpoint passed over: %s", fault)
                continue
            for name, here in fit.items():
                there = about["fit"].get(name)
                if there != here:
                    difference = _difference(there, here)
                    raise CheckpointError(
                        f"the checkpoints in {self.folder} are of another fit: {name}{difference}. Name another folder, or "
                        "delete this one."
                    )
            log.info("going on from %s", file)
            return arrays, about
        if files:
            raise CheckpointError(f"none of the {len(files)} checkpoints in {self.folder} can be read. Delete it to begin anew.")
        return None

    def _file(self, step: int) -> Path:
        return self.folder / f"step-{step:09d}.checkpoint"

    def _files(self) -> list[Path]:
        """Oldest first."""
        return sorted(self.folder.glob("step-*.checkpoint"))


def _difference(there: Any, here: Any) -> str:
    """Where two plain values differ first: "… .epochs is 20 there, 50 here"."""
    if isinstance(there, dict) and isinstance(here, dict):
        name = next(key for key in [*here, *there] if there.get(key) != here.get(key))
        return f".{name}{_difference(there.get(name), here.get(name))}"
    short = [text if len(text := repr(value)) < 60 else f"{text[:57]}..." for value in (there, here)]
    return f" is {short[0]} there and {short[1]} here" if short[0] != short[1] else " differs"


def fingerprint(source: CountMatrix) -> str:
    """A hash of all counts, library sizes and covariates."""
    digest = hashlib.blake2b(digest_size=16)
    arrays = (source.indptr, source.gene, source.value, source.library, source.covariates, source.continuous, source.batch)
    for array in (*arrays, source.label, source.missing):
        digest.update(b"-" if array is None else f"{array.dtype}{array.shape}".encode())
        digest.update(b"" if array is None else np.ascontiguousarray(array).data)
    return digest.hexdigest()
