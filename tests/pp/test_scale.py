"""``scale`` gives the results of scanpy."""

from __future__ import annotations

import numpy as np
import scanpy as sc
from peers import adata_of, assert_twins, dtypes, grid, kinds

from scae import pp


@kinds
@dtypes
def test_results_are_those_of_scanpy(kind, dtype):
    mask = np.random.default_rng(2).random(120) < 0.4
    options = grid(zero_center=[True, False], max_value=[None, 1.0], mask_obs=[None, "mask", mask], copy=[True, False])
    for chosen in [*options, {"mask_obs": "absent"}, {"mask_obs": mask[:5]}, {"mask_obs": "batch"}]:
        assert_twins(pp.scale, sc.pp.scale, adata_of(kind, dtype), **chosen)
