"""``normalize_total`` gives the results of scanpy."""

from __future__ import annotations

import scanpy as sc
from peers import adata_of, assert_twins, dtypes, grid, kinds

from scae import pp


@kinds
@dtypes
def test_results_are_those_of_scanpy(kind, dtype):
    options = grid(
        target_sum=[None, 1e4], exclude_highly_expressed=[True, False], inplace=[True, False], copy=[True, False],
        key_added=[None, "factor"], max_fraction=[0.1],
    )  # fmt: skip
    for chosen in [*options, {"max_fraction": 1.5}, {"layer": "absent"}]:
        assert_twins(pp.normalize_total, sc.pp.normalize_total, adata_of(kind, dtype), **chosen)
