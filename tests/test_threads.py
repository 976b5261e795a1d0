"""The number of threads respects every limit of a scheduler, and concurrent callers do not affect each other."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import run_python

from scae import threads
from scae.errors import ConfigError
from scae.kernels.linear import times

GRANTED = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"])
@pytest.mark.parametrize("value", ["1", "1,4", " 1 "])
def test_environment_lowers_the_count(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert threads.available() == 1


@pytest.mark.parametrize("value", ["4096", "", "0", "-1", "many"])
def test_environment_never_raises_the_count(monkeypatch, value):
    before = threads.available()
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert threads.available() == before <= GRANTED


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no CPU affinity here")
def test_affinity_lowers_the_count():
    one = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, {{{one}}}); from scae import threads; print(threads.available())"
    assert run_python(code) == "1"


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "200000 100000"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu.max": "nonsense"}, None),
        ({"cpu.max": "100000 0"}, None),
        ({}, None),
    ],
)
def test_cgroup_quota(tmp_path, files, quota):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert threads._cgroup_quota(tmp_path) == quota


@pytest.mark.parametrize("bad", [0, -1, 1.5, "2"])
def test_use_raises_unless_given_a_whole_number(bad):
    with pytest.raises(ConfigError, match="whole number"), threads.use(bad):
        pass


def test_use_can_be_nested_and_ends_with_its_block():
    before = threads.current()
    with threads.use(3), threads.use(2) as inner:
        assert inner == threads.current() == 2
    assert threads.current() == before


def _product(seed: int, n_threads: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a sparse × dense product, by the kernel on some threads and by SciPy."""
    rng = np.random.default_rng(seed)
    x = sp.random(2000, 200, 0.1, format="csr", random_state=rng)
    weight, out = rng.normal(size=(200, 8)), np.empty((2000, 8))
    with threads.use(n_threads):
        threads.run(times, 2000, x.indptr, x.indices, x.data, weight, out, work=x.nnz * 8)
    return out, x @ weight


def test_concurrent_callers_get_correct_results():
    with ThreadPoolExecutor(6) as pool:
        for result, expected in pool.map(_product, range(24), [1, 2, 3, 4] * 6):
            np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)


def test_an_error_in_any_range_reaches_the_caller():
    def kernel(start, stop):
        if stop == 10:
            raise ZeroDivisionError(f"{start}")

    with threads.use(2), pytest.raises(ZeroDivisionError):
        threads.run(kernel, 10, work=1 << 20)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_process_starts_new_threads():
    """A forked child process has no threads of its parent. If it used the pool of its parent, it would wait forever."""
    code = (
        "import os\nfrom test_threads import _product\n_product(0, 3)\npid = os.fork()\nout, expected = _product(1, 3)\n"
        "ok = abs(out - expected).max() < 1e-9\n"
        "os._exit(0 if ok else 1) if pid == 0 else print(ok and os.waitpid(pid, 0)[1] == 0)"
    )
    assert run_python(code, timeout=60) == "True"
