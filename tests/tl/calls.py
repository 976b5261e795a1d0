"""The verbs as functions that return what they write."""

from __future__ import annotations

import numpy as np

import scae


def embedded(adata, model, **options) -> np.ndarray:
    scae.tl.embed(adata, model, **options)
    return adata.obsm["X_scae"]


def denoised(adata, model, **options) -> np.ndarray:
    scae.tl.denoise(adata, model, **options)
    return adata.layers[options.get("key_added", "denoised")]
