"""The writer: old or new, never half; nothing but what it wrote is ever replaced."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import time

import pytest
from helpers import ROOT, run_python

from scae.errors import OutputError
from scae.io.writer import check_output, replacing


def write(path, text="new", **options) -> None:
    with replacing(path, **options) as temporary:
        temporary.write_text(text)


def write_store(path, mark="zarr.json") -> None:
    with replacing(path, folder=True) as temporary:
        temporary.mkdir()
        (temporary / mark).write_text("{}")
        (temporary / "data").write_text("new")


def names(folder) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_mode_of_the_old_file_is_kept_and_that_of_a_new_one_is_ordinary(tmp_path):
    (tmp_path / "old").write_text("old")
    (tmp_path / "old").chmod(0o600)
    (tmp_path / "plain").touch()
    write(tmp_path / "old")
    write(tmp_path / "new")
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o600
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert names(tmp_path) == ["new", "old", "plain"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "file").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "far" / "file")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "far" / "file").read_text() == "new"


def special(path, kind) -> None:
    if kind == "folder":
        path.mkdir()
        (path / "mine").write_text("mine")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/null")


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_what_is_not_an_ordinary_file_is_refused(tmp_path, kind):
    special(tmp_path / "there", kind)
    before = os.lstat(tmp_path / "there")
    with pytest.raises(OutputError, match="nothing was changed"):
        write(tmp_path / "there")
    assert os.lstat(tmp_path / "there").st_mode == before.st_mode
    assert names(tmp_path) == ["there"]


@pytest.mark.parametrize("mark", ["zarr.json", ".zgroup"])
def test_only_a_zarr_store_is_replaced_by_one(tmp_path, mark):
    write_store(tmp_path / "a.zarr", mark)
    (tmp_path / "a.zarr" / "data").write_text("old")
    write_store(tmp_path / "a.zarr", mark)
    assert (tmp_path / "a.zarr" / "data").read_text() == "new"
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "only copy").write_text("mine")
    (tmp_path / "file.zarr").write_text("mine")
    for other in ("photos", "file.zarr"):
        with pytest.raises(OutputError, match="is not a zarr store"):
            write_store(tmp_path / other)
    assert (tmp_path / "photos" / "only copy").read_text() == "mine"
    assert names(tmp_path) == ["a.zarr", "file.zarr", "photos"]


def test_a_missing_folder_is_refused_before_anything(tmp_path):
    with pytest.raises(OutputError, match=r"there is no folder .*absent\. Create it first"):
        check_output(tmp_path / "absent" / "file")
    assert names(tmp_path) == []


@pytest.mark.parametrize("fault", [ValueError, OSError, KeyboardInterrupt])
def test_after_an_error_the_old_file_is_there_and_nothing_else(tmp_path, fault):
    (tmp_path / "file").write_text("old")
    with pytest.raises(fault), replacing(tmp_path / "file") as temporary:  # noqa: PT012 (what fails is the block)
        temporary.write_text("half")
        raise fault
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_store_into_which_threads_still_write_is_deleted_as_well(tmp_path, monkeypatch):
    def slow(path, **_):  # another file comes while the folder is being emptied
        (path / "late").touch()
        with contextlib.suppress(OSError):
            path.rmdir()
        monkeypatch.undo()

    monkeypatch.setattr("scae.io.writer.shutil.rmtree", slow)
    with pytest.raises(ValueError), replacing(tmp_path / "a.zarr", folder=True) as temporary:  # noqa: PT011, PT012 (any)
        temporary.mkdir()
        raise ValueError
    assert names(tmp_path) == []


def test_the_fault_of_the_disk_is_named(tmp_path):
    (tmp_path / "file").write_text("old")
    said = r"cannot write .*file: No space left on device\. What was there before is unchanged"
    with pytest.raises(OutputError, match=said), replacing(tmp_path / "file"):
        raise OSError(28, "No space left on device")


KILLED = """
import sys, time
from pathlib import Path
from scae.io.writer import replacing
path, folder = Path(sys.argv[1]), sys.argv[2] == "folder"
with replacing(path, folder=folder) as temporary:
    if folder:
        temporary.mkdir()
        (temporary / "zarr.json").write_text("{}")
    else:
        temporary.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path, kind):
    target = tmp_path / "a.zarr"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(target), kind], cwd=ROOT, stdout=subprocess.PIPE)
    process.stdout.readline()
    assert len(names(tmp_path)) == 1
    write(tmp_path / "other")  # leaves the temporary of a living process, and of another target
    assert len(names(tmp_path)) == 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    (write_store if kind == "folder" else write)(target)
    assert names(tmp_path) == ["a.zarr", "other"]


def test_an_old_store_that_was_moved_away_by_a_killed_process_comes_back(tmp_path):
    write_store(tmp_path / "a.zarr")
    code = """
import os, sys
from pathlib import Path
from scae.io import writer
rename = os.rename
def killed(a, b):
    rename(a, b)
    os.kill(os.getpid(), 9)
writer.os.rename = killed
with writer.replacing(Path(sys.argv[1]), folder=True) as temporary:
    temporary.mkdir()
    (temporary / "zarr.json").write_text("{}")
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.zarr")], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "a.zarr").exists()
    with pytest.raises(ValueError), replacing(tmp_path / "a.zarr", folder=True):  # noqa: PT011 (any)
        raise ValueError
    assert (tmp_path / "a.zarr" / "data").read_text() == "new"
    assert names(tmp_path) == ["a.zarr"]


def test_a_reader_never_sees_half(tmp_path):
    """While one process writes again and again, another reads whole files only."""
    path = tmp_path / "file"
    write(path, "0" * 10_000)
    code = f"""
from pathlib import Path
from scae.io.writer import replacing
for i in range(200):
    with replacing(Path({str(path)!r})) as temporary:
        temporary.write_text(str(i % 10) * 10_000)
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    while process.poll() is None:
        text = path.read_text()
        assert len(text) == 10_000
        assert len(set(text)) == 1
        time.sleep(0.001)
    assert process.returncode == 0


FULL = """
import resource, sys
from pathlib import Path
import numpy as np
from scae.errors import OutputError
from scae.io import hdf5
from scae.io.writer import replacing
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    with replacing(Path(sys.argv[1])) as temporary, hdf5.writing(temporary) as (file, check):
        for i in range(40):
            check()
            group = file.create_group(f"group {i}")
            group.attrs["about"] = "x" * 500
            group.create_dataset("values", data=np.arange(5000), chunks=(1000,), compression="gzip" if i % 2 else None)
except OutputError as fault:
    print("refused", fault)
else:
    print("written")
"""


@pytest.mark.parametrize("limit", [0, 1, 96, 2048, 40_000, 100_000, 333_333, 600_000, 900_000, 10**8])
def test_a_full_disk_is_an_error_and_no_crash(tmp_path, limit):
    path = tmp_path / "a.h5"
    path.write_text("old")
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path), str(limit)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    if limit < 10**8:
        assert done.stdout.startswith(f"refused cannot write {path}: File too large")
        assert path.read_text() == "old"
    else:
        assert done.stdout == "written\n"
        assert run_python(f"import h5py; print(h5py.File({str(path)!r})['group 39/values'][-1])") == "4999"
    assert names(tmp_path) == ["a.h5"]
