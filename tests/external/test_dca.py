"""``scae.external.dca`` takes what ``sc.external.pp.dca`` takes and writes what it wrote."""

from __future__ import annotations

import inspect
import sys
import warnings
from dataclasses import replace

import anndata
import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData
from helpers import real_counts, same_weights

import scae
from scae.bottlenecks import Deterministic
from scae.corruptions import Masking
from scae.errors import ConfigError, CountsError, GenesError, MissingKeyError, ScaeError
from scae.external import _preset, dca
from scae.external._names import NETWORK_FIXED, TRAINING_FIXED, settle
from scae.tl._inputs import query

SHORT = {"epochs": 2, "hidden_size": (16, 4, 16), "batch_size": 64}
COMMAND = [  # the command's options, and the call that they stand for
    ({"type": "nb"}, {"ae_type": "nb"}),
    ({"hiddensize": "16,3,16"}, {"hidden_size": (16, 3, 16)}),
    ({"dropoutrate": "0.2"}, {"hidden_dropout": 0.2}),
    ({"dropoutrate": "0.2,0.0,0.2"}, {"hidden_dropout": (0.2, 0.0, 0.2)}),
    ({"nosizefactors": True}, {"normalize_per_cell": False}),
    ({"sizefactors": True}, {"normalize_per_cell": True}),
    ({"nonorminput": True, "nologinput": True}, {"scale": False, "log1p": False}),
    ({"nobatchnorm": True}, {"batchnorm": False}),
    ({"batchsize": 16, "learningrate": 1e-2}, {"batch_size": 16, "learning_rate": 1e-2}),
    ({"earlystop": 3, "reducelr": 2}, {"early_stop": 3, "reduce_lr": 2}),
    ({"inputdropout": 0.1, "debug": True}, {"network_kwds": {"input_dropout": 0.1, "debug": True}}),
    ({"gradclip": 1.0}, {"training_kwds": {"clip_grad": 1.0}}),
]


@pytest.fixture
def cells() -> AnnData:
    """80 real cells × 200 genes, some of them in no cell."""
    return real_counts()[:80, :200].copy()


def defaults() -> dict:
    return {name: p.default for name, p in inspect.signature(dca).parameters.items()}


def preset(**given):
    """What a call would fit, as a value."""
    command = {k: v for k, v in given.items() if k not in defaults()}
    named = {k: given.get(k, v) for k, v in defaults().items() if k not in ("adata", "command_options")}
    o = settle(named, command, defaults())
    return sys.modules["scae.external.dca"]._as_preset(o, 200)


def test_every_parameter_and_default_of_scanpys_is_accepted():
    import scanpy as sc

    theirs, mine = inspect.signature(sc.external.pp.dca).parameters, inspect.signature(dca).parameters
    assert list(mine)[: len(theirs)] == list(theirs)  # the order too: the dca package took them by position
    assert {n: p.default for n, p in theirs.items()} == {n: mine[n].default for n in theirs}


def test_an_old_call_changes_one_import(cells):
    assert dca(cells, "latent", "nb", epochs=1) is None
    assert cells.obsm["X_dca"].shape == (80, 32)


def test_a_call_without_options_is_the_preset():
    made, base = preset(), scae.presets.find("dca")
    network = replace(base.spec.network, decoder_hidden=(64,))  # the encoder's mirrored, spelled out
    assert made.spec == replace(base.spec, network=network)
    assert made.plan == replace(base.plan, clip=1000.0, eps=made.plan.eps)
    assert made.plan.eps == pytest.approx(base.plan.eps / 10, rel=0.01)  # of 200 genes, not of 2,000


@pytest.mark.parametrize("ae_type", _preset.AE_TYPES)
def test_outputs_of_each_type(cells, ae_type):
    counts, given = cells.X.copy(), cells.copy()
    model = dca(cells, ae_type=ae_type, return_info=True, return_model=True, **SHORT)
    assert isinstance(model, scae.Autoencoder)
    assert isinstance(cells.X, np.ndarray)
    assert (cells.X.dtype, cells.X.shape) == (np.float32, given.shape)
    assert np.isfinite(cells.X).all()
    assert (counts != cells.raw.X).nnz == 0
    assert "X_dca" not in cells.obsm
    home = "obsm" if "conddisp" in ae_type else "var"
    expected = {"X_dca_dropout": "obsm"} if ae_type.startswith("zinb") else {}
    expected |= {"X_dca_dispersion": home} if "nb" in ae_type else {}
    assert (set(cells.obsm) | set(cells.var)) - (set(given.obsm) | set(given.var)) == set(expected)
    for key, place in expected.items():
        values = np.asarray(getattr(cells, place)[key])
        assert values.dtype == np.float32
        assert values.shape == (given.shape if place == "obsm" else (given.n_vars,))
        assert (values > 0).all()
        assert (values < 1).all() or key == "X_dca_dispersion"
    scae.tl.denoise(given, model)  # the same model by scae's own verbs, on the counts
    whole = cells.X * (1 - cells.obsm["X_dca_dropout"]) if "X_dca_dropout" in expected else cells.X
    np.testing.assert_allclose(whole, given.layers["denoised"], rtol=1e-5, atol=1e-6)
    if "X_dca_dispersion" in expected:
        scae.tl.dispersion(given, model, key_added="theta")
        assert np.array_equal(getattr(cells, home)["X_dca_dispersion"], getattr(given, home)["theta"])


def test_loss_history_is_keras(cells):
    model = dca(cells, return_info=True, return_model=True, **SHORT | {"epochs": 4})
    history = cells.uns["dca_loss_history"]
    assert list(history) == ["val_loss", "loss", "lr"]
    assert all(len(values) == 4 and isinstance(values[0], float) for values in history.values())
    per_cell = [row["held_out"] for row in model.fitted["history"]["rows"]]
    np.testing.assert_allclose(history["val_loss"], np.array(per_cell) / cells.n_vars)


@pytest.mark.parametrize("sparse", [sp.csr_matrix, sp.csc_matrix, np.asarray], ids=["csr", "csc", "dense"])
def test_latent_leaves_x_alone(cells, sparse):
    dense = cells.X.toarray()
    cells.X = sparse(dense.astype(np.int64))
    before = cells.X
    dca(cells, mode="latent", **SHORT)
    assert cells.X is before
    assert np.array_equal(before if sparse is np.asarray else before.toarray(), dense)
    assert cells.obsm["X_dca"].shape == (cells.n_obs, 4)
    assert cells.obsm["X_dca"].dtype == np.float32
    assert "dca_loss_history" not in cells.uns
    (before if sparse is np.asarray else before.data)[:] = 77  # raw is a copy
    assert np.array_equal(cells.raw.X if sparse is np.asarray else cells.raw.X.toarray(), dense)


def test_latent_is_that_of_embed(cells):
    given = cells.copy()
    model = dca(cells, mode="latent", return_model=True, **SHORT)
    scae.tl.embed(given, model)
    assert cells.obsm["X_dca"].tobytes() == given.obsm["X_scae"].tobytes()


def test_copy_and_model_come_in_that_order(cells):
    before = cells.copy()
    out, model = dca(cells, copy=True, return_model=True, **SHORT)
    assert (cells.X != before.X).nnz == 0
    assert cells.raw is None
    assert list(cells.obs) == list(before.obs)
    assert isinstance(out, AnnData)
    again = dca(cells, copy=True, **SHORT)
    assert np.array_equal(again.X, out.X)
    assert same_weights(dca(cells, return_model=True, **SHORT), model)
    other = dca(before, random_state=1, return_model=True, **SHORT)
    assert not same_weights(other, model)


def test_a_view_becomes_a_copy_and_its_parent_stays(cells):
    parent, before = cells, cells.copy()
    view = parent[:60]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata says that the view is a copy now
        dca(view, **SHORT)
    assert (parent.X != before.X).nnz == 0
    assert view.X.shape == (60, parent.n_vars)
    assert list(parent.obs) == list(before.obs)


def test_obs_is_what_scanpys_normalisation_said(cells):
    totals = np.asarray(cells.X.sum(1)).ravel()
    scaled, plain = dca(cells, copy=True, **SHORT), dca(cells, copy=True, normalize_per_cell=False, **SHORT)
    np.testing.assert_allclose(scaled.obs["n_counts"], totals)
    np.testing.assert_allclose(scaled.obs["size_factors"], totals / np.median(totals), rtol=1e-6)
    assert (plain.obs["size_factors"] == 1).all()
    assert (plain.obs["dca_split"] == "train").all()
    assert np.array_equal(plain.obs["n_counts"], cells.obs["n_counts"])  # untouched


def test_without_normalisation_the_mean_knows_no_depth(cells):
    """Two cells with the same latent have the same mean, whatever their totals; with size factors the means are in that ratio."""
    twice = anndata.concat([cells, cells], index_unique="-")
    twice.X = sp.vstack([cells.X, 2 * cells.X]).tocsr()
    blind = {"normalize_per_cell": False, "log1p": False, "scale": False, "batchnorm": False}
    for given, ratio in (({}, 2.0), (blind, 1.0)):
        model = dca(twice.copy(), return_model=True, **SHORT, **given)
        for p in (model.encoder.first.weight, model.encoder.first.bias):
            p.data.zero_()  # now every cell has one latent
        twice.obs["size_factors"] = 1.0
        scae.tl.denoise(twice, model)
        layer = twice.layers["denoised"]
        np.testing.assert_allclose(layer[80:], ratio * layer[:80], rtol=1e-4)


@pytest.mark.parametrize("normalize_per_cell", [True, False])
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("log1p", [True, False])
def test_the_encoder_sees_what_scanpy_would_make(cells, normalize_per_cell, scale, log1p):
    import scanpy as sc

    switches = {"normalize_per_cell": normalize_per_cell, "scale": scale, "log1p": log1p}
    cells = cells[:, np.asarray((cells.X > 0).sum(0)).ravel() > 2].copy()
    model = dca(cells.copy(), return_model=True, training_kwds={"validation_split": 0.0}, **switches, **SHORT)
    if normalize_per_cell:
        sc.pp.normalize_total(cells)
    if log1p:
        sc.pp.log1p(cells)
    expected = cells.X.toarray()
    if scale:
        expected = (expected - expected.mean(0)) / expected.std(0)
    counts = cells.copy()
    counts.X, counts.obs["size_factors"] = real_counts()[:80, cells.var_names].X, 1.0
    source = query(counts, counts.X, model.data)
    np.testing.assert_allclose(model.input.observed(*source.take(np.arange(80))).dense(), expected, rtol=2e-3, atol=2e-3)


def test_all_genes_are_modelled_and_those_without_counts_are_expected_nowhere(cells):
    cells.var["highly_variable"] = np.arange(cells.n_vars) < 20
    cells.X = cells.X.toarray() * (np.arange(cells.n_vars) != 7)
    dca(cells, **SHORT)
    assert np.isfinite(cells.X).all()
    assert cells.X[:, 7].max() < 0.1


def test_cells_without_counts_are_kept_with_a_warning(cells):
    cells.X = cells.X.toarray() * (np.arange(80) != 3)[:, None]
    with pytest.warns(UserWarning, match="cells without counts: 1"):
        dca(cells, **SHORT)
    assert cells.n_obs == 80
    assert cells.X[3].max() < 1e-3


def test_what_is_written_survives_a_file(cells, tmp_path):
    dca(cells, return_info=True, **SHORT)
    cells.write_h5ad(tmp_path / "a.h5ad")
    back = anndata.read_h5ad(tmp_path / "a.h5ad")
    assert np.array_equal(back.X, cells.X)
    assert back.uns["dca_loss_history"]["loss"].tolist() == cells.uns["dca_loss_history"]["loss"]


@pytest.mark.parametrize(("command", "named"), COMMAND, ids=lambda o: "-".join(o))
def test_the_commands_options_are_the_functions(command, named):
    assert preset(**command) == preset(**named)
    assert preset(**command) != preset() or command == {"sizefactors": True}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"mode": "full"}, "unknown mode 'full'.*'denoise', 'latent'"),
        ({"ae_type": "znib"}, "unknown ae_type 'znib': did you mean 'zinb'.*'nb-conddisp'"),
        ({"ae_type": "nb-fork"}, "ae_type is 'nb-fork', which has hidden layers.*Allowed: 'normal'"),
        ({"ae_type": "zinb-shared"}, "one dropout probability per cell"),
        ({"hidden_size": ()}, r"hidden_size is \(\); allowed"),
        ({"hidden_size": (64, 0, 64)}, "hidden_size"),
        ({"hidden_size": ("a",)}, r"hidden_size is \('a',\)"),
        ({"hiddensize": "64,b"}, "'64,b' is not a list of numbers"),
        ({"hidden_dropout": (0.1, 0.2, 0.3)}, r"hidden_dropout is \(0.1, 0.2, 0.3\); allowed: one rate"),
        ({"hidden_dropout": (0.1, 0.1)}, "for the 3 layers of hidden_size"),
        ({"hidden_dropout": "a"}, "hidden_dropout is 'a'"),
        ({"hidden_dropout": 1.5}, "dropout is 1.5"),
        ({"activation": "PReLU"}, "unknown activation 'PReLU'"),
        ({"optimizer": "SGD"}, "unknown optimizer 'SGD'"),
        ({"epochs": 0}, "epochs is 0"),
        ({"early_stop": -1}, "early_stop is -1; allowed"),
        ({"reduce_lr": "a"}, "reduce_lr is 'a'; allowed"),
        ({"threads": 0}, "threads is 0"),
        ({"random_state": "a"}, "random_state is 'a'"),
        ({"network_kwds": {"ridge": 0.1}}, "network_kwds: ridge is 0.1; allowed: 0.0"),
        ({"network_kwds": {"hidden_size": (3,)}}, "unknown option of network_kwds 'hidden_size'"),
        ({"training_kwds": {"shuffle": True}}, "unknown option of training_kwds 'shuffle'"),
        ({"training_kwds": {"tensorboard": True}}, "training_kwds: tensorboard is True; allowed: False"),
        ({"batchsizes": 3}, "unknown option 'batchsizes': did you mean 'batchsize'"),
        ({"hypern": 3}, "hypern is 3: this option of the dca command"),
        ({"type": "nb", "ae_type": "zinb"}, "type is 'nb', but the same option is given a second time"),
        ({"sizefactors": True, "nosizefactors": True}, "given a second time"),
        ({"ridge": 0.0, "network_kwds": {"ridge": 0.0}}, "given a second time"),
    ],
    ids=str,
)
def test_what_is_not_allowed_is_said(cells, option, message):
    before = cells.copy()
    with pytest.raises(ScaeError, match=message):
        dca(cells, **{"epochs": 1} | option)
    assert (cells.X != before.X).nnz == 0
    assert cells.raw is None
    assert list(cells.obs) == list(before.obs)


@pytest.mark.parametrize(("group", "fixed"), [("network_kwds", NETWORK_FIXED), ("training_kwds", TRAINING_FIXED)])
def test_options_that_scae_has_not_are_taken_at_their_defaults(group, fixed):
    assert preset(**{group: {name: default for name, (default, _) in fixed.items()}}) == preset()


def test_counts_are_demanded(cells):
    cells.X = cells.X * 0.5
    with pytest.raises(CountsError, match="not whole"):
        dca(cells)
    with pytest.raises(CountsError, match="not whole"), pytest.warns(UserWarning, match="check_counts is False"):
        dca(cells, check_counts=False)
    cells.X = np.rint(cells.X)
    cells.var_names = ["a", "a", *cells.var_names[2:]]
    with pytest.raises(GenesError, match="not unique"):
        dca(cells)
    with pytest.raises(ConfigError, match="adata is a ndarray"):
        dca(np.eye(3))


@pytest.mark.parametrize("sparse", [False, True])
def test_counts_in_dask_are_loaded(cells, sparse):
    lazy = cells.copy()
    x = da.from_array(cells.X.toarray(), chunks=(60, cells.n_vars))
    lazy.X = x.map_blocks(sp.csr_matrix, dtype=x.dtype, meta=sp.csr_matrix((0, 0), dtype=x.dtype)) if sparse else x
    for adata in (cells, lazy):
        dca(adata, epochs=1)
    assert (cells.X == lazy.X).all()


def test_a_users_own_uns_scae_is_refused_before_the_work(cells):
    cells.uns["scae"], before = "a note", cells.copy()
    with pytest.raises(ConfigError, match=r"uns\['scae'\] is a str that scae did not write"):
        dca(cells, epochs=1)
    assert list(cells.obs) == list(before.obs)
    assert (cells.X != before.X).sum() == 0


def test_another_init_changes_nothing_and_says_so(cells):
    with pytest.warns(UserWarning, match=r"init is 'he_normal' but has no effect"):
        other = dca(cells.copy(), init="he_normal", return_model=True, **SHORT)
    assert same_weights(other, dca(cells, return_model=True, **SHORT))


def test_layers_and_latent():
    made = preset(hidden_size=(128, 64, 8, 32), activation="swish", hidden_dropout=0.1, network_kwds={"input_dropout": 0.3}).spec
    assert (made.network.hidden, made.bottleneck, made.network.decoder_hidden) == ((128, 64), Deterministic(dim=8), (32,))
    assert (made.network.activation, made.network.dropout, made.corruption) == ("silu", 0.1, Masking(share=0.3))
    assert preset(hidden_size=[5]).spec.network.hidden == preset(hidden_size=[5]).spec.network.decoder_hidden == ()


def test_waits_are_in_epochs(cells):
    """A rate too high to get better: cut after every two epochs, and the fit ends after five."""
    given = {"epochs": 40, "hidden_size": (8, 2, 8), "learning_rate": 0.3, "reduce_lr": 2, "early_stop": 5, "batch_size": 8}
    model = dca(cells, return_info=True, return_model=True, **given)
    history = cells.uns["dca_loss_history"]
    lr, held = np.array(history["lr"]), np.array(history["val_loss"])
    assert len(lr) == held.argmin() + 1 + 5
    assert model.fitted["history"]["best"] == len(lr) - 1  # the last weights stay, as in the original
    factor = np.ones(len(lr))
    since, low = 0, np.inf
    for i in range(len(lr) - 1):  # Keras's rule, spelled out
        since = 0 if held[i] < low else since + 1
        low = min(low, held[i])
        cut = since > 0 and since % 2 == 0
        factor[i + 1] = factor[i] / 10 if cut else factor[i]
    np.testing.assert_allclose(lr, 0.3 * factor)
    assert lr[-1] < 0.3


@pytest.mark.parametrize("never", [0, None])
def test_no_wait_is_for_ever(never):
    plan = preset(reduce_lr=never, early_stop=never).plan
    assert (plan.patience, plan.plateau) == (1.0, 1.0)
    assert {plan.lr_factor(s, 100) for s in range(100)} == {1.0}


def test_unknown_names_are_missing_keys(cells):
    with pytest.raises(MissingKeyError, match="unknown option 'foo'"):
        dca(cells, foo=1)


def test_threads_and_verbose_are_passed_on(cells, capsys, caplog):
    caplog.set_level("INFO", logger="scae")
    quiet = dca(cells.copy(), threads=2, return_model=True, **SHORT | {"epochs": 1})
    assert "step" not in capsys.readouterr().err
    loud = dca(cells, threads=2, verbose=True, return_model=True, **SHORT | {"epochs": 1})
    assert "step" in capsys.readouterr().err
    assert "Autoencoder: 200 genes" in caplog.text
    assert same_weights(quiet, loud)


@pytest.mark.parametrize("mode", ["denoise", "latent"])
@pytest.mark.parametrize("view", [False, True])
def test_a_file_that_is_not_loaded_is_refused_and_left_alone(mode, view, tmp_path):
    file = tmp_path / "a.h5ad"
    real_counts().write_h5ad(file)
    before = file.read_bytes()
    backed = anndata.read_h5ad(file, backed="r")
    with pytest.raises(ConfigError, match=r"backed by a file.*to_memory\(\)"):
        dca(backed[:50] if view else backed, mode, **SHORT)
    assert file.read_bytes() == before
