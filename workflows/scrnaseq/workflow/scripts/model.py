"""Write the model configuration for scae. Rules that a schema cannot state (low ≤ high) are checked here, before any long job."""

import json
import sys

from snakemake.script import snakemake

from scae.config import read_config
from scae.errors import ScaeError

sys.stderr = sys.stdout = open(snakemake.log[0], "w", buffering=1)

try:
    read_config(snakemake.params.model, where="config: model.")
except ScaeError as fault:
    raise SystemExit(str(fault)) from None
with open(snakemake.output[0], "w") as file:
    json.dump(snakemake.params.model, file, indent=2)
