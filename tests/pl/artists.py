"""What the tests read back from a plot, and a table to draw."""

from __future__ import annotations

import numpy as np
import pandas as pd


def points(panel, i=0):
    return np.asarray(panel.collections[i].get_offsets())


def table():
    gaps = {"below_best": [0.2, 0.0, 0.03, 0.3], "below_best_se": [0.01, 0, 0.05, 0.01], "above_baseline": [0, 0.2, 0.17, -0.1]}
    names = {"model": ["PCA", "large", "small", "bad"], "kind": ["baseline", *["model"] * 3]}
    scores = {"deviance_explained": [0.1, 0.3, 0.27, 0.0], "se": 0.01, "above_baseline_se": 0.01}
    return pd.DataFrame(names | scores | gaps | {"n_parameters": [5, 300, 20, 100], "n_latent": 3, "seconds": 1.0})
