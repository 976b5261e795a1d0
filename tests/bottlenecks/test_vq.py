"""Vector quantisation: nearest codes, running k-means, restarts, and what embed writes."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
import torch
from helpers import QUICK, SHARED, data_of, real_counts, same_bits, same_weights
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from toys import latent_of, normal, sample_of

import scae
from scae.bottlenecks import VQ
from scae.bottlenecks.vq import Codebooks, kmeans
from scae.errors import ConfigError
from scae.infer import latent
from scae.model import ModelSpec
from scae.tl._inputs import query

KINDS = [("plain", 1), ("product", 3), ("residual", 3)]
each_kind = pytest.mark.parametrize(("quantization", "n_books"), KINDS)


def built(bottleneck: VQ) -> Codebooks:
    weights = bottleneck.build(data_of(3), torch.Generator().manual_seed(0)).double()
    bottleneck.start(weights, sample_of(normal(60, bottleneck.dim, seed=5)), torch.Generator().manual_seed(1))
    return weights


@each_kind
def test_each_book_gives_the_nearest_of_its_codes(quantization, n_books):
    bottleneck, y = VQ(dim=6, n_codes=5, quantization=quantization, n_books=n_books), normal(20, 6)
    weights = built(bottleneck)
    out = latent_of(bottleneck, weights, y)
    left, made, books = y.numpy(), np.zeros((20, 6)), weights.codebook.numpy()
    for b in range(n_books):
        mine = np.split(left, n_books, 1)[b] if quantization == "product" else left - made
        code = cdist(mine, books[b]).argmin(1)
        np.testing.assert_array_equal(out.codes[:, b], code)
        place = slice(2 * b, 2 * b + 2) if quantization == "product" else slice(None)
        made[:, place] += books[b][code]
    np.testing.assert_allclose(out.z, made)
    np.testing.assert_allclose(out.penalty, 0.25 * ((y.numpy() - made) ** 2).sum(1))
    assert torch.equal(out.point, y)
    assert not out.kl.any()
    assert out.sd is None


def test_the_encoder_gets_the_decoders_gradient_and_the_commitments():
    bottleneck, y = VQ(dim=4, n_codes=3, commitment=0.5), normal(7, 4).requires_grad_()
    slope = normal(7, 4, seed=2)
    out = latent_of(bottleneck, built(bottleneck), y)
    ((out.z * slope).sum() + out.penalty.sum()).backward()
    torch.testing.assert_close(y.grad, slope + (y - out.z).detach())
    assert torch.equal(bottleneck.bound(torch.zeros(7), out, 0.0), out.penalty)  # a warm-up does not silence it


@each_kind
def test_without_memory_a_step_leaves_the_means_of_the_cells(quantization, n_books):
    bottleneck = VQ(dim=6, n_codes=4, quantization=quantization, n_books=n_books, decay=0.0, restart=0.0)
    weights = built(bottleneck)
    before = weights.codebook.clone()
    out = latent_of(bottleneck, weights, normal(12, 6))
    assert torch.equal(weights.codebook, before)
    bottleneck.after_step(weights, out, torch.Generator())
    for b in range(n_books):
        for c in range(4):
            mine = out.codes[:, b] == c
            want = out.state[mine, b].mean(0) if mine.any() else before[b, c]
            torch.testing.assert_close(weights.codebook[b, c], want)
            torch.testing.assert_close(weights.share[b, c], mine.double().mean())


def test_with_memory_a_code_is_the_mean_of_all_its_cells_each_fading():
    """Running sums of cells and of their number, by the definition of van den Oord 2017."""
    bottleneck = VQ(dim=2, n_codes=3, decay=0.8, restart=0.0)
    weights = built(bottleneck)
    number, total = weights.share[0].clone(), weights.share[0][:, None] * weights.codebook[0]
    for step in range(6):
        y = normal(9, 2, seed=step)
        out = latent_of(bottleneck, weights, y)
        hot = torch.nn.functional.one_hot(out.codes[:, 0], 3).double()
        number = 0.8 * number + 0.2 * hot.mean(0)
        total = 0.8 * total + 0.2 * hot.T @ y / 9
        bottleneck.after_step(weights, out, torch.Generator())
        torch.testing.assert_close(weights.codebook[0], total / number[:, None])


def test_a_dead_code_moves_to_a_cell_of_the_minibatch():
    bottleneck = VQ(dim=2, n_codes=4, decay=0.5, restart=0.4)
    weights = built(bottleneck)
    weights.codebook[0, 3] = 100.0
    weights.share.fill_(0.25)
    y = normal(30, 2)
    for share in (0.125, 0.25):  # ½ · ¼ is above .4 · ¼; ½ · ½ · ¼ is not
        assert (weights.codebook[0, 3] == 100.0).all()
        out = latent_of(bottleneck, weights, y)
        assert 3 not in out.codes
        bottleneck.after_step(weights, out, torch.Generator().manual_seed(0))
        assert weights.share[0, 3] == share
    assert (cdist(weights.codebook[0, 3:], y) == 0).any()


def test_kmeans_finds_clusters_that_are_there():
    truth = torch.arange(200) % 4
    points = 10 * normal(4, 3, seed=9)[truth] + 0.1 * normal(200, 3)
    found = [kmeans(points, 4, torch.Generator().manual_seed(s), steps=20) for s in range(5)]
    inertia = [float(torch.cdist(points, c).min(1).values.square().sum()) for c, _ in found]
    assert min(inertia) == pytest.approx(KMeans(4, n_init=10, random_state=0).fit(points.numpy()).inertia_)
    assert all(float(share.sum()) == pytest.approx(1) for _, share in found)


def test_fewer_cells_than_codes_will_do():
    centers, share = kmeans(normal(3, 2), 8, torch.Generator().manual_seed(0))
    assert centers.isfinite().all()
    assert float(share.sum()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"n_books": 2}, "'plain' has one"), ({"dim": 5, "n_books": 2, "quantization": "product"}, "equal pieces")],
)
def test_books_that_do_not_fit_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        VQ(**options)


def test_embed_writes_the_code_and_reload_gives_the_same(pbmc, tmp_path):
    model = scae.tl.embed(pbmc, ModelSpec(bottleneck=VQ(dim=4, n_codes=8)), plan=QUICK)
    written = pbmc.obs["X_scae_code"]
    assert "obs['X_scae_code']" in pbmc.uns["scae"]["written"]
    code = latent(model, query(pbmc, pbmc.X, model.data))[2]
    np.testing.assert_array_equal(written.astype(int), code[:, 0])
    assert list(written.cat.categories) == [str(c) for c in sorted(set(code[:, 0]))]
    assert 1 <= model.fitted["history"]["rows"][-1]["perplexity"] <= 8
    model.save(tmp_path / "model.scae")
    back = scae.load(tmp_path / "model.scae")
    assert same_weights(model, back)
    scae.tl.embed(pbmc, back, key_added="again")
    assert (pbmc.obs["again_code"] == written).all()
    pbmc.write_h5ad(tmp_path / "cells.h5ad")
    assert (anndata.read_h5ad(tmp_path / "cells.h5ad").obs["X_scae_code"] == written).all()


def test_several_books_are_written_as_numbers(pbmc, tmp_path):
    bottleneck = VQ(dim=4, n_codes=8, quantization="residual", n_books=3)
    scae.tl.embed(pbmc, ModelSpec(bottleneck=bottleneck), plan=QUICK, key_added="z")
    assert pbmc.obsm["z_codes"].shape == (200, 3)
    assert pbmc.obsm["z_codes"].dtype == np.int64
    assert "z_code" not in pbmc.obs
    assert "obsm['z_codes']" in pbmc.uns["scae"]["written"]
    pbmc.write_h5ad(tmp_path / "cells.h5ad")


def test_refit_is_the_same_fit():
    one, two = (scae.tl.fit(real_counts(), ModelSpec(bottleneck=VQ(dim=4, n_codes=8)), plan=QUICK) for _ in range(2))
    assert same_bits(one.bottleneck.codebook, two.bottleneck.codebook)
    assert same_weights(one, two)


@pytest.mark.shared
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_codes_do_not_collapse_on_real_cells(seed):
    """Of 64 codes more than half are in use, and they keep cell types apart."""
    adata = anndata.read_h5ad(SHARED / "pbmc3k.h5ad")
    totals = np.asarray(adata.X.sum(0)).ravel()
    adata = adata[:, np.argsort(totals)[-800:]].copy()
    plan = scae.TrainPlan(epochs=1, min_steps=250)
    scae.tl.embed(adata, "vqvae", plan=plan, random_state=seed)
    code = adata.obs["X_scae_code"]
    share = code.value_counts(normalize=True).to_numpy()
    assert np.exp(-(share * np.log(share)).sum()) > 32
    labelled = adata.obs["cell_type"].notna()
    table = adata.obs[labelled].groupby([code[labelled], "cell_type"], observed=True).size().unstack(fill_value=0)
    assert table.max(1).sum() / labelled.sum() > 1.3 * adata.obs["cell_type"].value_counts(normalize=True).max()
