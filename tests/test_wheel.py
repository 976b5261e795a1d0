"""A built wheel holds the package, installs beside nothing of the checkout, and runs."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    built = subprocess.run(
        [*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, ROOT], capture_output=True, text=True
    )
    if "No module named 'hatchling'" in built.stderr:
        pytest.skip("hatchling is not installed")
    assert built.returncode == 0, built.stderr
    wheel = next(folder.glob("*.whl"))
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--target", folder / "site", wheel], check=True)
    return wheel, folder / "site"


def test_holds_every_module_and_no_test(installed):
    names = zipfile.ZipFile(installed[0]).namelist()
    modules = {str(p.relative_to(ROOT)) for p in (ROOT / "scae").rglob("*.py")}
    assert modules | {"scae/py.typed"} <= set(names)
    assert not any(name.startswith("tests/") for name in names)


def test_runs_outside_the_checkout(installed, tmp_path):
    code = "import scae; print(scae.__file__); from scae.cli import main; main(['parts'])"
    env = {"PYTHONPATH": str(installed[1]), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(installed[1]))
    assert "thinning" in done.stdout
