"""Make raw files from the real counts that come with scae: a 10x h5 file, a 10x matrix folder and an h5ad file.

usage: make_data.py FOLDER
"""

import gzip
import sys
from pathlib import Path

import h5py
import numpy as np
from anndata import AnnData
from scipy.io import mmwrite

from scae.datasets import pbmc68k_reduced


def write_10x_h5(adata: AnnData, path: Path) -> None:
    """Write the layout of Cell Ranger 3: a CSC matrix, genes × cells."""
    counts = adata.X.tocsr()
    with h5py.File(path, "w") as file:
        matrix = file.create_group("matrix")
        matrix["barcodes"] = np.array(adata.obs_names, "S")
        matrix["data"], matrix["indices"] = counts.data.astype(np.int32), counts.indices.astype(np.int64)
        matrix["indptr"], matrix["shape"] = counts.indptr.astype(np.int64), np.array(adata.shape[::-1], np.int32)
        features = matrix.create_group("features")
        features["id"] = np.array([f"ENSG{i:011d}" for i in range(adata.n_vars)], "S")
        features["name"] = np.array(adata.var_names, "S")
        for key, value in {"feature_type": "Gene Expression", "genome": "hg19"}.items():
            features[key] = np.array([value] * adata.n_vars, "S")


def write_10x_mtx(adata: AnnData, folder: Path) -> None:
    """Write the folder of Cell Ranger 3, with three gzipped files."""
    folder.mkdir(parents=True, exist_ok=True)
    with gzip.open(folder / "matrix.mtx.gz", "wb") as file:
        mmwrite(file, adata.X.T.tocoo().astype(np.int32), field="integer")
    lines = [f"ENSG{i:011d}\t{name}\tGene Expression\n" for i, name in enumerate(adata.var_names)]
    for name, text in (("features", lines), ("barcodes", [f"{b}\n" for b in adata.obs_names])):
        with gzip.open(folder / f"{name}.tsv.gz", "wt") as file:
            file.writelines(text)


def main(folder: Path) -> None:
    adata = pbmc68k_reduced()
    part = np.random.default_rng(0).permutation(adata.n_obs) % 3  # three random samples of the same cells
    bare = [AnnData(adata.X[part == i], obs=adata.obs[part == i][[]], var=adata.var[[]]) for i in range(3)]
    folder.mkdir(parents=True, exist_ok=True)
    write_10x_h5(bare[0], folder / "a.h5")
    write_10x_mtx(bare[1], folder / "b")
    bare[2].write_h5ad(folder / "c.h5ad")


main(Path(sys.argv[1]))
