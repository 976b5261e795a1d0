"""One promise, and how often it was kept."""

from __future__ import annotations

from dataclasses import dataclass, field

_SHOWN = 5  # failures printed per figure


@dataclass
class Figure:
    """How many of the cases that were tried ended as promised.

    Attributes
    ----------
    promise
        What every case must do, in a few words.
    tried
        Number of cases.
    failures
        One line per case that did otherwise: which, and what it did.
    measured
        Other figures worth reading, e.g. "peak memory 412 MiB".
    """

    promise: str
    tried: int = 0
    failures: list[str] = field(default_factory=list)
    measured: list[str] = field(default_factory=list)

    def case(self, name: str, fault: str | None) -> None:
        """Count a case; ``fault`` says what went wrong, None if nothing did."""
        self.tried += 1
        if fault is not None:
            self.failures.append(f"{name}: {fault}")

    @property
    def kept(self) -> bool:
        """Whether there were cases, and all ended as promised."""
        return self.tried > 0 and not self.failures

    def __str__(self) -> str:
        more = len(self.failures) - _SHOWN
        lines = [f"{self.tried - len(self.failures):>6} of {self.tried:<6} {self.promise}"]
        lines += [f"{'':17}{text}" for text in self.measured]
        lines += [f"{'':7}FAILED    {text}" for text in self.failures[:_SHOWN]]
        return "\n".join(lines + ([f"{'':17}… and {more} more"] if more > 0 else []))
