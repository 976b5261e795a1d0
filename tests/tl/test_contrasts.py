"""The tests and fold changes behind differential expression."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats
from scipy.special import polygamma

from scae.tl import _replicates
from scae.tl._contrasts import contrast, normal_score, sums
from scae.tl._replicates import free, replicated_contrast
from scae.tl._shrinkage import shrink
from scae.tl._unseen import discriminated, unseen_groups

REST = np.array([1])


def drawn(rng, cells, genes, *, rate=None, alpha=0.5, size=None):
    """Negative binomial counts ``(cells, genes)``; the rate is that of each cell and gene, or of each gene."""
    rate = rng.gamma(1.0, 2.0, genes) if rate is None else rate
    mean = np.broadcast_to(rate, (cells, genes)) * (np.ones(cells) if size is None else size)[:, None]
    return rng.poisson(rng.gamma(1 / alpha, mean * alpha)).astype(float)


def compared(x, size, group, batch=None):
    batch = np.zeros(len(x), int) if batch is None else batch
    return contrast(sums(sp.csc_matrix(x), size, group, batch, (group.max() + 1, batch.max() + 1)), 0, REST)


def test_without_overdispersion_p_is_the_mid_p_of_the_binomial(rng):
    """Poisson counts of a group, given the total of both, are binomial."""
    size, group = rng.lognormal(0, 0.3, 200), (rng.random(200) > 0.3).astype(int)
    x = rng.poisson(size[:, None] * rng.gamma(1, 0.3, 800)).astype(float)
    x = x[:, x.max(0) <= 1]  # no sign of overdispersion
    total, share = x.sum(0), size[group == 0].sum() / size.sum()
    x, total = x[:, total > 8], total[total > 8]
    seen = x[group == 0].sum(0)
    low, high = stats.binom.cdf(seen - 1, total, share), stats.binom.sf(seen, total, share)
    middle = stats.binom.pmf(seen, total, share) / 2
    expected = np.minimum(2 * np.minimum(low + middle, high + middle), 1)
    assert len(expected) > 30
    np.testing.assert_allclose(compared(x, size, group).p, expected, atol=0.05)


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_p_is_uniform_where_nothing_differs(rng, share):
    size = rng.lognormal(0, 0.5, 400)
    x = drawn(rng, 400, 3000, size=size, rate=rng.gamma(2.0, 1.0, 3000))
    p = compared(x, size, (rng.random(400) > share).astype(int)).p
    assert stats.kstest(p, "uniform").statistic < 0.03
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.012)
    assert np.mean(p < 0.001) < 0.004


def test_p_is_uniform_where_the_groups_differ_in_depth(rng):
    group = np.repeat([0, 1], 200)
    size = rng.lognormal(0, 0.3, 400) * np.where(group == 0, 4, 1)
    x = drawn(rng, 400, 2000, size=size, rate=rng.gamma(1.0, 1.0, 2000))
    assert np.mean(compared(x, size, group).p < 0.05) == pytest.approx(0.05, abs=0.015)


def test_batches_are_strata(rng):
    """Rates that differ between batches, and groups that prefer a batch: uniform p; a batch of one group changes nothing."""
    batch = rng.integers(0, 2, 500)
    group = (rng.random(500) < np.where(batch == 0, 0.2, 0.7)).astype(int)
    rates = rng.gamma(2.0, 1.0, (2, 1500))
    x, size = drawn(rng, 500, 1500, rate=rates[batch]), np.ones(500)
    found = compared(x, size, group, batch)
    assert np.mean(found.p < 0.05) == pytest.approx(0.05, abs=0.015)
    assert np.mean(compared(x, size, group).p < 0.05) > 0.3
    assert np.median(np.abs(found.lfc)) < 0.1
    none = compared(x, size, np.where(batch == 0, 0, 1), batch)
    assert np.isnan(none.score).all()
    assert np.isnan(none.p).all()


def test_fold_changes_and_their_errors_against_draws(rng):
    """Counts drawn again and again: the mean is the truth, and the spread is the standard error that is reported."""
    group, lfc = np.repeat([0, 1], 150), np.linspace(-1, 1, 40)
    rate = 3 * np.exp(lfc * (group == 0)[:, None])
    found = [compared(drawn(rng, 300, 40, rate=rate), np.ones(300), group) for _ in range(200)]
    np.testing.assert_allclose(np.mean([f.lfc for f in found], 0), lfc, atol=0.03)
    np.testing.assert_allclose(np.mean([f.sd for f in found], 0), np.std([f.lfc for f in found], 0), rtol=0.2)


def test_changing_sides_changes_signs(rng):
    group, size = rng.integers(0, 2, 100), rng.lognormal(0, 0.3, 100)
    x = drawn(rng, 100, 50, size=size)
    one, other = compared(x, size, group), compared(x, size, 1 - group)
    np.testing.assert_allclose(one.score, -other.score, atol=1e-9)
    np.testing.assert_allclose(one.lfc, -other.lfc, atol=1e-9)
    np.testing.assert_allclose(one.sd, other.sd, rtol=1e-9)


# ---- replicates


@pytest.mark.parametrize("paired", [False, True])
def test_least_squares_is_scipys_t_test(rng, paired):
    side, replicate = np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.r_[0:4, 0:4] if paired else np.arange(8)
    y = rng.normal(size=(8, 30))
    _, design = _replicates._design(side, replicate, np.zeros(8, int))
    order = np.lexsort((replicate, side))
    effect, unscaled, s2 = _replicates._least_squares(y[order], np.ones((8, 30)), design)
    peer = (stats.ttest_rel if paired else stats.ttest_ind)(y[:4], y[4:])
    np.testing.assert_allclose(effect / np.sqrt(unscaled * s2), peer.statistic, rtol=1e-9)
    assert free(side, replicate, np.zeros(8, int)) == np.unique(peer.df)


def test_free_is_zero_where_nothing_can_be_told():
    one = np.array([0, 0, 1, 1])
    assert free(one, np.array([0, 0, 1, 1]), np.zeros(4, int)) == 0  # one replicate a side
    assert free(one, np.arange(4), one) == 0  # each stratum has one side
    assert free(one, np.arange(4), np.zeros(4, int)) == 2


def test_donors_that_differ_are_no_differences_between_groups(rng):
    donor = np.repeat(np.arange(8), 40)
    group, rate = donor % 2, rng.gamma(2.0, 1.0, 1500) * np.exp(rng.normal(0, 0.4, (8, 1500)))
    x = drawn(rng, 320, 1500, rate=rate[donor])
    rows = sp.csr_matrix(x)
    p = replicated_contrast(rows, np.ones(320), group, donor, np.zeros(320, int)).p
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.02)
    assert np.mean(p < 0.001) < 0.005
    assert np.mean(compared(x, np.ones(320), group).p < 0.05) > 0.3


def test_a_normal_score_keeps_p(rng):
    t = rng.normal(0, 5, 50)
    np.testing.assert_allclose(2 * stats.norm.sf(np.abs(normal_score(t, 6))), 2 * stats.t.sf(np.abs(t), 6), rtol=1e-8)
    assert np.array_equal(np.sign(normal_score(t, 6)), np.sign(t))


@pytest.mark.parametrize("x", [0.01, 0.5, 3.0, 200.0])
def test_inverse_trigamma(x):
    assert _replicates._inverse_trigamma(float(polygamma(1, x))) == pytest.approx(x, rel=1e-6)


def test_the_prior_of_variances_is_found(rng):
    variances = 0.3 * 8 / rng.chisquare(8, 20000)
    df, scale = _replicates._prior(variances * rng.chisquare(5, 20000) / 5, 5)
    assert df == pytest.approx(8, rel=0.15)
    assert scale == pytest.approx(0.3, rel=0.05)


# ---- shrinkage


def test_shrinkage_is_bayes_rule_for_the_prior_that_it_finds(rng):
    truth = np.where(rng.random(5000) < 0.7, 0, rng.normal(0, 2, 5000))
    x, se = truth + rng.normal(0, 0.5, 5000), np.full(5000, 0.5)
    found = shrink(x, se)
    slab, spike = stats.norm.pdf(x, 0, np.hypot(2, 0.5)) * 0.3, stats.norm.pdf(x, 0, 0.5) * 0.7
    expected = slab / (slab + spike) * x * 4 / 4.25
    assert np.abs(found.mean - expected).max() < 0.25
    assert np.corrcoef(found.mean, expected)[0, 1] > 0.999
    assert np.mean((found.mean - truth) ** 2) < 1.03 * np.mean((expected - truth) ** 2)


def test_lfsr_is_the_share_of_wrong_signs_and_sd_the_error(rng):
    se = rng.uniform(0.1, 1, 8000)
    truth = rng.normal(0, 1, 8000) * np.sqrt(se)
    found = shrink(truth + rng.normal(0, se), se)
    wrong = np.sign(found.mean) != np.sign(truth)
    for low, high in ((0.0, 0.05), (0.05, 0.3)):
        here = (found.lfsr >= low) & (found.lfsr < high)
        assert found.lfsr[here].mean() - 0.07 < wrong[here].mean() < found.lfsr[here].mean() + 0.01
    assert np.mean(np.abs(found.mean - truth) < 1.96 * found.sd) == pytest.approx(0.95, abs=0.015)


def test_no_effects_are_shrunk_to_nothing_and_missing_ones_stay_missing(rng):
    x, se = rng.normal(0, 0.3, 1000), np.full(1000, 0.3)
    x[3] = np.nan
    found = shrink(x, se)
    assert np.isnan([found.mean[3], found.sd[3], found.lfsr[3]]).all()
    rest = np.arange(1000) != 3
    assert np.abs(found.mean[rest]).mean() < 0.02
    assert np.median(found.lfsr[rest]) > 0.9
    assert np.isnan(shrink(np.full(4, np.nan), np.ones(4)).mean).all()


# ---- groups that were made from the counts


def test_discriminants_find_separate_groups_and_leave_a_cells_own_label_out(rng):
    group = np.repeat([0, 1, 2], [60, 30, 3])
    z = rng.normal(size=(93, 4)) + 6 * np.eye(4)[group]
    assert np.mean(discriminated(z, group) == group) > 0.98
    wrong = group.copy()
    wrong[[0, 92]] = 2, 0
    assert discriminated(z, wrong)[[0, 92]].tolist() == [0, 2]
    lone = np.r_[1, np.zeros(92, int)]  # nothing but its own label puts a cell into a group of one
    assert discriminated(z, lone)[0] == 0


def test_genes_tested_between_clusters_of_nothing_have_a_uniform_p(rng):
    """Cells of one kind, split along the first principal component."""
    x = drawn(rng, 400, 600, rate=rng.gamma(4.0, 1.0, 600), alpha=0.3)
    logged = np.log1p(x / x.sum(1, keepdims=True) * 1e4)
    u = np.linalg.svd(logged - logged.mean(0), full_matrices=False)[0]
    group, size = (u[:, 0] > 0).astype(int), x.sum(1) / x.sum(1).mean()
    assert np.mean(compared(x, size, group).p < 0.05) > 0.12
    p = np.full(600, np.nan)
    for genes, new in unseen_groups(sp.csr_matrix(x), group, 0):
        p[genes] = compared(x[:, genes], size, new).p
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.03)
    assert stats.kstest(p, "uniform").pvalue > 0.01
