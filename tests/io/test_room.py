"""How much memory there is: what the kernel says, or the limit of a job if that is less."""

from __future__ import annotations

import pytest

from scae.io.room import disk_free, memory_available

UNLIMITED = 9223372036854771712  # what version 1 writes where there is no limit


@pytest.fixture
def machine(tmp_path):
    """A machine with 1 MiB available, and a function that gives a control group a limit."""
    (tmp_path / "meminfo").write_text("MemTotal: 4096 kB\nMemAvailable:    1024 kB\n")
    (tmp_path / "own").write_text("")

    def limited(group: str, name: str, limit: object) -> None:
        (tmp_path / "cgroup" / group).mkdir(parents=True, exist_ok=True)
        (tmp_path / "cgroup" / group / name).write_text(f"{limit}\n")

    return tmp_path, limited


def available(folder):
    return memory_available(folder / "meminfo", folder / "cgroup", folder / "own")


def test_without_groups_it_is_what_the_kernel_says(machine):
    assert available(machine[0]) == 1 << 20


@pytest.mark.parametrize("absent", ["meminfo", "line"])
def test_elsewhere_it_is_not_known(machine, absent):
    if absent == "meminfo":
        (machine[0] / "meminfo").unlink()
    else:
        (machine[0] / "meminfo").write_text("MemTotal: 4096 kB\n")
    assert available(machine[0]) is None


@pytest.mark.parametrize(
    ("own", "within", "name"), [("0::", "", "memory.max"), ("4:memory:", "memory/", "memory.limit_in_bytes")]
)
def test_the_smallest_limit_of_the_groups_around_counts(machine, own, within, name):
    folder, limited = machine
    (folder / "own").write_text(f"3:cpu:/other\n{own}/slurm/job/step\n")
    for group, limit in (("slurm", 9000), ("slurm/job", 5000), ("slurm/job/step", "max"), ("", UNLIMITED), ("other", 10)):
        limited(f"{within}{group}", name, limit)
    assert available(folder) == 5000


def test_a_group_that_cannot_be_seen_from_a_container_has_the_limit_of_the_root(machine):
    folder, limited = machine
    (folder / "own").write_text("0::/docker/abc\n")
    limited("", "memory.max", 7000)
    assert available(folder) == 7000


def test_a_limit_above_what_is_there_changes_nothing(machine):
    folder, limited = machine
    (folder / "own").write_text("0::/job\n")
    limited("job", "memory.max", 1 << 40)
    assert available(folder) == 1 << 20


def test_a_folder_that_is_not_there_has_no_known_room(tmp_path):
    assert disk_free(tmp_path / "absent") is None
    assert disk_free(tmp_path) > 0
