"""The tool that counts kept promises counts broken ones as broken."""

from __future__ import annotations

import numpy as np
import pytest

from scae.errors import ConfigError
from tests.trust import bad, inputs, storage
from tests.trust.cases import Case, apart, sample


def _refuse(message: str, *, change: bool = False):
    def call(adata):
        if change:
            adata.X.data[3] += 1
        raise ConfigError(message)

    return bad.Verb(call, {})


GOOD = "X is 3; allowed: 4. Give another number."


@pytest.mark.parametrize(
    ("verb", "fault"),
    [
        (_refuse(GOOD), None),
        (_refuse(GOOD, change=True), "changes the object"),
        (_refuse(GOOD + "\nand more"), "in 2 lines"),
        (_refuse("X is 3, which is a pity, isn't it"), "does not say what to do"),
        (_refuse("it is 3, and that is that; allowed: 4."), "does not say"),
        (bad.Verb(lambda _: None, {}), "is accepted"),
        (bad.Verb(lambda _: 1 / 0, {}), "raises ZeroDivisionError"),
    ],
)
def test_a_refusal_must_be_clear_and_change_nothing(verb, fault):
    said = inputs.unchanged(verb, bad.KINDS["CSR"].make(bad.counts(), None), r"\bX\b")
    assert said == fault or (fault and fault in said)


def test_a_sample_meets_every_trait():
    cases = [Case("g", (f"a{i % 7}", f"b{i % 5}"), lambda: None) for i in range(70)]
    some = sample(cases)
    assert len(some) < 25
    assert {trait for case in some for trait in case.traits} == {trait for case in cases for trait in case.traits}
    assert some == sample(cases)


def test_a_crash_is_a_failure_of_one_case(tmp_path, monkeypatch):
    (tmp_path / "crashing.py").write_text(
        "import os\nfrom tests.trust.cases import Case, serve\n"
        "runs = [lambda: None, os.abort, lambda: 'wrong', lambda: os._exit(0), lambda: None]\n"
        "serve([Case('g', (str(i),), run) for i, run in enumerate(runs)])\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    said = [(name, fault) for _, name, fault in apart("crashing")]
    assert said == [
        ("0", None),
        ("1", "ended the process with -6"),
        ("2", "wrong"),
        ("3", "ended the process with 0"),
        ("4", None),
    ]


def test_differences_are_seen():
    one = {"X": np.array([1.0, np.nan]), "obs": np.array(["a", "b"])}
    assert storage.difference(one, one)[0] == 0
    assert storage.difference(one | {"X": np.array([1.0, 2.0])}, one)[0] == np.inf
    assert storage.difference(one | {"X": np.array([1.5, np.nan])}, one) == (0.5, "X")
    assert storage.difference(one | {"obs": np.array(["a", "c"])}, one)[0] == np.inf
    assert storage.difference({}, one)[0] == np.inf
