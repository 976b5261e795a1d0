"""Commands that a signal ends: one line, the exit code that shells use, nothing half-written, and a fit that can go on."""

from __future__ import annotations

import os
import pkgutil
import signal
import subprocess
import sys
from itertools import count

import anndata
import numpy as np
import pytest
from helpers import ROOT, same_weights

import scae
from scae.cli import main

from .test_files import contents, copied

pytestmark = pytest.mark.usefixtures("python_handlers")
ENDS = {signal.SIGHUP: 129, signal.SIGINT: 130, signal.SIGTERM: 143}
STEPS = ["--min-steps", "12", "--max-steps", "12", "--batch-size", "32", "--device", "cpu"]


def send_at(patched: pytest.MonkeyPatch, place: str, number: int, call: int = 1) -> None:
    """Send this process a signal in a call of a function, before what it does."""
    home, _, name = place.rpartition(".")
    owner = pkgutil.resolve_name(home)
    real, calls = getattr(owner, name), count(1)

    def function(*given, **named):
        if next(calls) == call:
            os.kill(os.getpid(), number)
        return real(*given, **named)

    patched.setattr(owner, name, function)


# where a signal may come: the options are put together, the file is read, a fit is under way, the result is written
STAGES = {
    "options": "scae.cli._parser",
    "reading": "scae.cli.applying.read",
    "fit": "scae.run:Run._step",
    "writing": "scae.cli.files._compare",
}


@pytest.mark.parametrize("number", ENDS, ids=lambda number: number.name)
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("ending", [".h5ad", ".zarr"])
def test_a_signal_at_any_stage_is_one_line_and_changes_nothing(ending, stage, number, h5ad, tmp_path, capsys, monkeypatch):
    file = copied(h5ad, tmp_path, ending)
    before = contents(tmp_path)
    send_at(monkeypatch, STAGES[stage], number)
    assert main(["embed", str(file), str(file), "--quiet", *STEPS]) == ENDS[number]
    said = [line for line in capsys.readouterr().err.splitlines() if "zarr v2" not in line]
    assert said == [f"scae embed: interrupted by {number.name}"]
    assert contents(tmp_path) == before
    assert signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)


@pytest.mark.parametrize("number", ENDS, ids=lambda number: number.name)
def test_the_same_command_goes_on_to_the_same_weights(number, h5ad, tmp_path, capsys):
    whole, resumed, folder = (str(tmp_path / name) for name in ("whole.scae", "resumed.scae", "steps"))
    assert main(["fit", str(h5ad), whole, *STEPS]) == 0
    command = ["fit", str(h5ad), resumed, "--checkpoint", folder, "--quiet", *STEPS]
    for step in (1, 5):  # of what is left
        capsys.readouterr()
        with pytest.MonkeyPatch.context() as patched:
            send_at(patched, STAGES["fit"], number, step)
            assert main(command) == ENDS[number]
        said = f"scae fit: interrupted by {number.name}; the same command goes on from {folder}\n"
        assert capsys.readouterr().err == said
        assert sorted(os.listdir(tmp_path)) == ["steps", "whole.scae"]
    assert sorted(os.listdir(folder)) == ["step-000000001.checkpoint", "step-000000006.checkpoint"]
    assert main(command) == 0
    assert same_weights(scae.load(resumed), scae.load(whole))


@pytest.mark.parametrize(("verb", "slot", "key"), [("embed", "obsm", "X_scae"), ("denoise", "layers", "denoised")])
def test_verbs_that_fit_go_on_as_well(verb, slot, key, h5ad, tmp_path):
    whole, resumed = tmp_path / "whole.h5ad", tmp_path / "resumed.h5ad"
    assert main([verb, str(h5ad), str(whole), *STEPS]) == 0
    command = [verb, str(h5ad), str(resumed), "--checkpoint", str(tmp_path / "steps"), *STEPS]
    with pytest.MonkeyPatch.context() as patched:
        send_at(patched, STAGES["fit"], signal.SIGTERM, 7)
        assert main(command) == 143
    assert not resumed.exists()
    assert main(command) == 0
    written = [getattr(anndata.read_h5ad(path), slot)[key] for path in (whole, resumed)]
    np.testing.assert_array_equal(*written)


def test_a_checkpoint_of_another_fit_is_refused(h5ad, tmp_path, capsys):
    command = ["fit", str(h5ad), str(tmp_path / "m.scae"), "--checkpoint", str(tmp_path / "steps"), *STEPS]
    assert main(command) == 0
    before = contents(tmp_path)
    capsys.readouterr()
    assert main([*command, "--random-state", "1"]) == 5
    assert "are of another fit: random_state is 0 there and 1 here" in capsys.readouterr().err
    assert contents(tmp_path) == before


SLOW = """
import sys, time
from scae.cli import main
from scae.run import Run
step = Run._step
def slow(self):
    print("step", flush=True)
    step(self)
    time.sleep(0.05)
Run._step = slow
sys.exit(main(sys.argv[1:]))
"""


def terminated(words: list[str]) -> tuple[int, str]:
    """Exit code and stderr of a process that gets SIGTERM in its fit."""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, *words], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "step\n"
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


def test_a_process_that_is_terminated(h5ad, tmp_path):
    """From outside, as a scheduler does it: without checkpoints nothing is left; with them, the fit goes on."""
    words = ["fit", str(h5ad), str(tmp_path / "m.scae"), "--min-steps", "400", "--max-steps", "400", "--device", "cpu"]
    assert terminated(words) == (143, "scae fit: interrupted by SIGTERM\n")
    assert not list(tmp_path.iterdir())
    folder = tmp_path / "steps"
    said = f"scae fit: interrupted by SIGTERM; the same command goes on from {folder}\n"
    assert terminated([*words, "--checkpoint", str(folder)]) == (143, said)
    assert [path.name for path in tmp_path.iterdir()] == ["steps"]
    assert list(folder.glob("step-*.checkpoint"))
