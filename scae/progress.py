"""How far a fit is: a bar on a terminal or in a notebook, lines in the log elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from importlib.util import find_spec
from types import TracebackType

from .history import Meter

log = logging.getLogger("scae")
_LEAST = 1.0  # seconds from one line to the next, so that short fits do not fill a log


class Progress:
    """A ``with`` block that is told each step.

    Parameters
    ----------
    total, start : int
        Planned steps, and those done before.
    progress : bool, optional
        True: a bar; False: nothing; None: a bar on a terminal or in a notebook, and elsewhere a line in the log of ``scae``
        (level info) after every tenth of the steps.
    """

    def __init__(self, total: int, start: int, progress: bool | None) -> None:
        from tqdm.auto import tqdm

        bar = sys.stderr.isatty() or _in_notebook() if progress is None else progress
        self.bar = tqdm(total=total, initial=start, unit="step", disable=not bar, leave=False)
        self.lines, self.total, self.start = progress is None and not bar, total, start
        self.began = self.told = time.perf_counter()
        self.tenth = 10 * start // max(total, 1)
        self.losses: dict[str, float] = {}

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.close()

    def checked(self, row: dict[str, float], total: int) -> None:
        """Take the losses of a row of the history, and the steps that are planned by now."""
        self.total = self.bar.total = total
        self.losses = {name: row[name] for name in ("loss", "held_out") if name in row}
        self.bar.set_postfix({name: f"{value:.1f}" for name, value in self.losses.items()})

    def at(self, step: int, meter: Meter) -> None:
        """Show that ``step`` steps are done; ``meter`` has the loss where there was no check yet."""
        self.bar.update(step - self.bar.n)
        tenth, now = 10 * step // max(self.total, 1), time.perf_counter()
        if not self.lines or tenth <= self.tenth or step == self.total or now - self.told < _LEAST:
            return
        self.tenth, self.told = tenth, now
        losses = self.losses or ({"loss": meter.mean("loss")} if meter.cells else {})
        found = "".join(f", {name.replace('_', '-')} {value:.1f}" for name, value in losses.items())
        left = (now - self.began) / max(step - self.start, 1) * (self.total - step)
        log.info("step %d of %d%s; about %s left", step, self.total, found, _in_words(left))


def _in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel that can show a bar: without ipywidgets, each step of one would stay on the page."""
    if find_spec("ipywidgets") is None:
        return False
    kernel = sys.modules.get("ipykernel.zmqshell")
    shell = sys.modules["IPython"].get_ipython() if kernel is not None and "IPython" in sys.modules else None
    return kernel is not None and isinstance(shell, kernel.ZMQInteractiveShell)


def _in_words(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
