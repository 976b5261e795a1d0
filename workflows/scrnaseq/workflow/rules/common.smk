# Checks the configuration before anything runs; helper functions for the rules.
import csv
import difflib
import json
from pathlib import Path
from shlex import quote

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from snakemake.exceptions import WorkflowError

SCHEMAS = Path(workflow.basedir) / "schemas"
TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}


def validate_against(name, value, where):
    """Stop at the first value that the named schema does not allow, and report its path."""
    schema = yaml.safe_load((SCHEMAS / f"{name}.schema.yaml").read_text())
    model = json.loads((SCHEMAS / "model.schema.json").read_text())
    registry = Registry().with_resource(
        "model.schema.json", Resource.from_contents(model)
    )
    faults = Draft202012Validator(schema, registry=registry).iter_errors(value)
    for fault in sorted(
        faults, key=lambda f: (list(map(str, f.absolute_path)), f.validator)
    ):
        raise WorkflowError(f"{where}: {explanation(fault)}")


def explanation(fault):
    """One line: the path, the value found, and the values allowed."""
    keys = fault.absolute_path
    path = "".join(f"[{k}]" if isinstance(k, int) else f".{k}" for k in keys).lstrip(
        "."
    )
    dotted = f"{path}." if path else ""
    known, value = list(fault.schema.get("properties", ())), fault.validator_value
    if fault.validator == "additionalProperties":
        extra = next(key for key in fault.instance if key not in known)
        close = difflib.get_close_matches(str(extra), known, n=1)
        meant = f"did you mean {close[0]}? " if close else ""
        return f"{dotted}{extra} is not known; {meant}Known here: {', '.join(known)}"
    if fault.validator == "required":
        missing = next(key for key in value if key not in fault.instance)
        return f"{dotted}{missing} is missing"
    allowed = {
        "minimum": lambda: f"at least {value}",
        "exclusiveMinimum": lambda: f"above {value}",
        "maximum": lambda: f"at most {value}",
        "minItems": lambda: f"a list of at least {value}",
        "enum": lambda: ", ".join(map(str, value)),
        "type": lambda: " or ".join(
            TYPES[t] for t in ([value] if isinstance(value, str) else value)
        ),
        "pattern": lambda: fault.schema.get("description", value),
    }
    if fault.validator not in allowed:
        return f"{path}: {fault.message}"
    return f"{path} is {fault.instance!r}; allowed: {allowed[fault.validator]()}"


def read_samples(path):
    """The sample sheet as a dict of rows by sample name; every row is checked."""
    if not Path(path).is_file():
        raise WorkflowError(f"config: samples is {path!r}, and there is no such file")
    with open(path, newline="") as sheet:
        lines = (line for line in sheet if line.strip() and not line.startswith("#"))
        rows = list(
            csv.DictReader(
                lines, delimiter="\t", restval="", restkey="too many columns"
            )
        )
    found = {}
    for number, row in enumerate(rows, start=1):
        validate_against("samples", row, f"{path}, row {number}")
        if row["sample"] in found:
            raise WorkflowError(
                f"{path}, row {number}: sample {row['sample']!r} is there twice"
            )
        found[row["sample"]] = row
    if not found:
        raise WorkflowError(
            f"{path}: there is no sample; columns are sample, path, format (tab-separated)"
        )
    return found


def covariates():
    """The columns of the sample sheet that are copied to the cells."""
    return [
        key for key in next(iter(samples.values())) if key not in ("path", "format")
    ]


def batch_option():
    return f"--batch-key {quote(config['batch_key'])}" if config["batch_key"] else ""


def denoise_options():
    genes = config["denoise"]["genes"]
    return f"--kind {config['denoise']['kind']}" + (
        f" --genes {' '.join(genes)}" if genes else ""
    )


def model_file(wildcards):
    """The configured model, or the one chosen by cross-validation."""
    return (
        "results/select/model.json"
        if config["select"]["enabled"]
        else "results/model.json"
    )


def sweep_points():
    sweep = config["sweep"]
    return expand(
        "results/sweep/{preset}.{dim}/score.tsv",
        preset=sweep["presets"],
        dim=sweep["dims"],
    )


def memory(factor):
    """Memory in megabytes: ``factor`` times the size of the input, at least 4000."""
    return lambda wildcards, input: max(4000, int(factor * input.size_mb))


def targets():
    files = [
        "results/adata.h5ad",
        "results/umap.png",
        "results/markers.tsv",
        "results/markers.png",
    ]
    return files + (
        ["results/sweep.tsv", "results/sweep.png"] if sweep_points() else []
    )


validate_against("config", config, "config")
samples = read_samples(config["samples"])
if config["batch_key"] not in (None, *covariates()):
    raise WorkflowError(
        f"config: batch_key is {config['batch_key']!r}; allowed: a column of {config['samples']} "
        f"({', '.join(covariates())}), or null"
    )


wildcard_constraints:
    sample="|".join(map(re.escape, samples)),
    preset=r"[\w-]+",
    dim=r"\d+",
