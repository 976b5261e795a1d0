"""The house rules: floors, no cycles, lazy imports, sizes, docstrings whose examples run."""

from __future__ import annotations

import ast
import doctest
import graphlib
import importlib
import inspect

import pytest
from helpers import ROOT, run_python

import scae
from scae import parts

FLOORS = (
    {"errors", "fields", "parts", "keys", "kernels", "io", "signals", "threads", "version"},
    {"records", "draws", "ops", "priors", "layers"},
    {"corruptions", "transforms", "networks", "bottlenecks", "likelihoods", "source"},
    {"input", "heads", "model"},
    {
        "environment",
        "plan",
        "infer",
        "decoding",
        "weights",
        "history",
        "health",
        "molecules",
        "progress",
        "checkpoint",
        "run",
        "train",
        "evaluate",
        "store",
        "presets",
        "calibration",
        "dispersions",
        "halves",
        "posterior",
        "config",
        "schema",
    },
    {"checks", "findings", "written", "pp", "tl", "pl", "external", "datasets"},
    {"cli", "", "__main__"},
)
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}
LONG_SIGNATURES = {  # those of DCA and of scanpy; the arrays of a kernel; the steps of a workflow; all that denoising can say
    "scae.external.dca.dca",
    "scae.kernels.losses.nb_stored",
    "scae.pp._highly_variable_genes.highly_variable_genes",
    "scae.pp._recipe.recipe",
    "scae.tl._denoise.denoise",
}


def module_name(path) -> str:
    bits = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(bits[:-1] if bits[-1] == "__init__" else bits)


FILES = {module_name(path): path for path in sorted((ROOT / "scae").rglob("*.py"))}
TREES = {name: ast.parse(path.read_text("utf-8")) for name, path in FILES.items()}
each_module = pytest.mark.parametrize("name", FILES)


def top(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def imported(name: str) -> set[str]:
    """Every module that a module imports, wherever in it: ours in full, others as named."""
    package = name if FILES[name].name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            bits = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*bits, *([node.module] if node.module else [])])
            found |= {full if (full := f"{base}.{alias.name}") in FILES else base for alias in node.names}
    return found


INSIDE = {name: imported(name) & FILES.keys() for name in FILES}


def reached(name: str) -> set[str]:
    """A module, and all of ours that it imports in turn."""
    seen, todo = set(), [name]
    while todo:
        seen.add(here := todo.pop())
        todo += INSIDE[here] - seen
    return seen


@each_module
def test_every_module_has_a_floor_and_imports_from_no_higher_one(name):
    mine = FLOOR[top(name)]
    assert [other for other in INSIDE[name] if FLOOR[top(other)] > mine] == []
    assert not [other for other in INSIDE[name] if mine == 2 and FLOOR[top(other)] == 2 and top(other) != top(name)]


PARTS = ("bottlenecks", "likelihoods", "networks", "priors")
SHARED_BY_PARTS = {"base", "genome", "posterior"}


PART_FILES = [name for name in FILES if top(name) in PARTS and name.count(".") == 2 and name.split(".")[2] not in SHARED_BY_PARTS]


@pytest.mark.parametrize("name", PART_FILES)
def test_a_part_imports_no_other_part(name):
    package = f"scae.{top(name)}."
    assert {other.removeprefix(package) for other in INSIDE[name] if other.startswith(package)} <= SHARED_BY_PARTS


def test_no_cycle_and_few_storeys():
    """Sixteen files at most from one that imports nothing of ours to one that nothing imports."""
    height: dict[str, int] = {}
    for name in graphlib.TopologicalSorter(INSIDE).static_order():
        height[name] = 1 + max((height[other] for other in INSIDE[name]), default=0)
    assert max(height.values()) <= 16


@each_module
def test_outside_libraries_stay_on_their_floors(name):
    outside = {other.split(".")[0] for module in reached(name) for other in imported(module)}
    if FLOOR[top(name)] == 0 or top(name) in ("pp", "checks"):
        assert "torch" not in outside
    if FLOOR[top(name)] < 5:
        assert not outside & {"anndata", "scanpy"}


@pytest.mark.parametrize(
    ("statement", "never"),
    [
        ("import scae", ["torch", "scanpy", "anndata", "pandas", "numba"]),
        ("import scae; dir(scae); scae.__version__", ["torch", "scanpy", "anndata"]),
        ("import scae; scae.check", ["torch", "scanpy"]),
        ("import scae; scae.errors, scae.threads, scae.parts", ["torch", "scanpy", "anndata", "numba"]),
    ],
)
def test_imports_are_lazy(statement, never):
    assert run_python(f"{statement}\nimport sys\nprint([m for m in {never!r} if m in sys.modules])") == "[]"


@each_module
def test_files_are_short(name):
    assert len(FILES[name].read_text("utf-8").splitlines()) <= 300


@each_module
def test_functions_are_short_and_take_few_parameters(name):
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.FunctionDef):
            first = node.body[0]
            prose = first.end_lineno - first.lineno + 1 if ast.get_docstring(node) else 0
            n = len(node.args.posonlyargs + node.args.args + node.args.kwonlyargs)
            assert node.end_lineno - node.lineno + 1 - prose <= 60, node.name
            assert n <= 10 or f"{name}.{node.name}" in LONG_SIGNATURES, node.name


@each_module
def test_every_module_class_and_public_function_says_what_it_is(name):
    tree = TREES[name]
    if FILES[name].stat().st_size:
        assert ast.get_docstring(tree), name
    for node in tree.body:
        shown = isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_")
        if shown and FLOOR[top(name)] < 6:  # the shell's own functions are told by the module
            assert ast.get_docstring(node), node.name


@each_module
def test_examples_run(name, monkeypatch, tmp_path):
    """Each module's examples, in an empty folder, and with the catalogue put back."""
    monkeypatch.chdir(tmp_path)
    whole = {kind: {n: parts.find(kind, n) for n in parts.names(kind)} for kind in parts.kinds()}
    monkeypatch.setattr(parts, "_catalogue", whole)
    if name.endswith("__main__"):
        pytest.skip("running it is what it is for")
    result = doctest.testmod(importlib.import_module(name), extraglobs={"scae": scae})
    assert result.failed == 0


def public(name: str) -> object:
    if name == "pp" and "scae.pp" not in FILES:
        pytest.skip("scae.pp is not in this tree")
    return getattr(scae, name)


def test_few_public_names():
    assert len(scae.__all__) == len(set(scae.__all__)) <= 20
    assert set(dir(scae)) == set(scae.__all__)


@pytest.mark.parametrize("module", ["tl", "pl", "pp", "external", "datasets"])
def test_only_what_is_public_is_listed(module):
    home = public(module)
    assert sorted(dir(home)) == sorted(home.__all__)


def test_editors_and_type_checkers_see_every_public_name():
    """They read the imports for type checkers and the plain list, since the names load lazily."""
    tree = TREES["scae"]
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = [alias.name for node in block.body for alias in node.names]
    (listed,) = [node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "__all__"]
    assert sorted(seen) == sorted(ast.literal_eval(listed)) == sorted(scae.__all__)
    assert (ROOT / "scae" / "py.typed").exists()


@pytest.mark.parametrize("name", scae.__all__)
def test_public_names_are_there_and_documented(name):
    value = public(name)
    assert isinstance(value, str) or inspect.getdoc(value)
    assert not inspect.isfunction(value) or ">>>" in inspect.getdoc(value)


@pytest.mark.parametrize("module", ["tl", "datasets", "pp", "external", "pl"])
def test_public_verbs_have_examples(module):
    home = public(module)
    verbs = [getattr(home, n) for n in getattr(home, "__all__", vars(home)) if not n.startswith("_")]
    functions = [f for f in verbs if inspect.isfunction(f)]
    assert functions
    assert [f.__name__ for f in functions if ">>>" not in inspect.getdoc(f)] == []


def test_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        scae.nothing_of_the_kind  # noqa: B018
