"""The convolution from CSR is torch's on the dense padded input; the decoder is torch's transposed convolution."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from halves import built
from helpers import cells_of, counts_like, counts_of, data_of, same_bits
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import conv1d, conv_transpose1d, interpolate, pad

from scae import threads
from scae.errors import ConfigError
from scae.input import InputScale
from scae.keys import DataSpec
from scae.networks import Conv1d
from scae.networks.genome import Axis
from scae.ops.windows import rearranged, sparse_windows
from scae.records import Cells, EncoderInput
from scae.transforms import Normalized

GENES, CHROMOSOMES = 29, (11, 1, 17)
WINDOWS, CHANNELS = (4, 2), (3, 5)
UNIT = math.prod(WINDOWS)
PLAIN = Conv1d(channels=CHANNELS, windows=WINDOWS, norm="none", activation="elu")


def spec(levels: int = 0) -> DataSpec:
    """Genes in an order of their own, on three chromosomes."""
    order = np.random.default_rng(7).permutation(GENES)
    return replace(data_of(GENES, levels=levels), order=tuple(order.tolist()), breaks=tuple(np.cumsum(CHROMOSOMES)[:-1].tolist()))


def padded(x: torch.Tensor) -> list[torch.Tensor]:
    """Dense genes ``(cells, genes)`` as one ``(cells, 1, places)`` a chromosome, by hand."""
    order, cuts = list(spec().order), np.cumsum((0, *CHROMOSOMES))
    return [pad(x[:, order[a:b]], (0, -(b - a) % UNIT))[:, None] for a, b in pairwise(cuts)]


def unpadded(maps: list[torch.Tensor]) -> torch.Tensor:
    """``(cells, genes)`` from one ``(cells, 1, places)`` a chromosome."""
    along = torch.cat([m[:, 0, :n] for m, n in zip(maps, CHROMOSOMES, strict=True)], 1)
    return along[:, torch.tensor(spec().order).argsort()]


def halves(network: Conv1d, levels: int = 0, readouts: tuple[str, ...] = ("mean",)):
    """Encoder, decoder and covariates in float64, biases and covariate weights too set off from zero."""
    parts = built(network, spec(levels), readouts)
    rng = torch.Generator().manual_seed(1)
    for p in parts.parameters():
        p.data += 0.1 * torch.randn(p.shape, generator=rng, dtype=p.dtype)
    return parts


def some_cells(rng, levels: int = 0) -> tuple[EncoderInput, Cells]:
    """An encoder's input, and what else is known of the cells."""
    counts, cells = cells_of(counts_like(rng, 6, GENES), dtype="float64", levels=levels)
    return EncoderInput(counts), cells


def torch_kernel(layer, size: int) -> torch.Tensor:
    """``(out, in, size)``, as torch has it."""
    return layer.weight.view(len(layer.weight), size, -1).permute(0, 2, 1)


def torch_encoder(encoder, x: torch.Tensor) -> torch.Tensor:
    """The encoder by torch's convolutions, a chromosome at a time."""
    first, (second,), maps = encoder.first, encoder.deeper, []
    for chromosome in padded(x):
        h = conv1d(chromosome, first.weight.T[:, None], first.bias, stride=WINDOWS[0])
        h = conv1d(torch.nn.functional.elu(h), torch_kernel(second, WINDOWS[1]), second.bias, stride=WINDOWS[1])
        maps.append(torch.nn.functional.elu(h))
    flat = torch.cat(maps, 2).transpose(1, 2).flatten(1)  # (cells, windows · channels)
    return flat @ encoder.last.weight.T + encoder.last.bias


def agree(got: torch.Tensor, want: torch.Tensor, weights: list[torch.Tensor]) -> None:
    """Equal values, and equal gradients of a random projection."""
    torch.testing.assert_close(got, want)
    v = torch.randn(got.shape, generator=torch.Generator().manual_seed(3), dtype=got.dtype)
    for one, two in zip(*(torch.autograd.grad((out * v).sum(), weights, retain_graph=True) for out in (got, want)), strict=True):
        torch.testing.assert_close(one, two)


def test_encoder_is_torchs_on_the_dense_input(rng):
    (encoder, _, covariates), (seen, cells) = halves(PLAIN), some_cells(rng)
    got = encoder(seen, covariates(cells), None)
    agree(got.stats, torch_encoder(encoder, seen.dense()), list(encoder.parameters()))


def test_centred_and_scaled_input_is_torchs_too(rng):
    (encoder, _, covariates), (seen, cells) = halves(PLAIN, levels=2), some_cells(rng, levels=2)
    for groups in (1, 2):
        transform = Normalized(target_sum=None, log=False, standardize=True, center_batches=groups > 1)
        scale = InputScale(transform, False, spec(2), torch.device("cpu"))
        scale.mean = torch.randn(groups, GENES, dtype=torch.float64, requires_grad=True)
        scale.sd = torch.rand(GENES, dtype=torch.float64) + 0.5
        scaled = scale(seen, cells)
        got = encoder(scaled, torch.zeros_like(covariates(cells)), None)
        agree(got.stats, torch_encoder(encoder, scaled.dense()), [encoder.first.weight, scale.mean])


def test_transposed_decoder_is_torchs():
    (_, decoder, _), z = halves(PLAIN), torch.randn(6, 4, dtype=torch.float64)
    got = decoder(z, None, None)["mean"]
    h = torch.nn.functional.elu(z @ decoder.deepest.weight.T + decoder.deepest.bias).view(6, -1, CHANNELS[-1]).transpose(1, 2)
    (up,), out = decoder.up, decoder.readouts["mean"]
    h = torch.nn.functional.elu(conv_transpose1d(h, up.weight.transpose(1, 2), decoder.biases[0], stride=WINDOWS[1]))
    h = conv_transpose1d(h, out.up.weight.transpose(1, 2), stride=WINDOWS[0])
    lengths = [-(-n // UNIT) * UNIT for n in CHROMOSOMES]
    weights = [decoder.deepest.weight, up.weight, decoder.biases[0], out.up.weight, out.bias]
    agree(got, unpadded(list(h.split(lengths, 2))) + out.bias, weights)


@pytest.mark.parametrize("windows", [(4, 2), (5, 3)])
def test_upsampling_decoder_is_torchs_a_chromosome_at_a_time(windows):
    network = replace(PLAIN, upsampling="nearest", windows=windows)
    (_, decoder, _), z = halves(network), torch.randn(6, 4, dtype=torch.float64)
    got = decoder(z, None, None)["mean"]
    h = torch.nn.functional.elu(z @ decoder.deepest.weight.T + decoder.deepest.bias).view(6, -1, CHANNELS[-1]).transpose(1, 2)
    (up,), out, maps = decoder.up, decoder.readouts["mean"], []

    def grown(x, weight, size):
        return conv1d(interpolate(x, scale_factor=size, mode="nearest"), weight.permute(2, 1, 0), padding=size // 2)

    for chromosome in h.split([-(-n // math.prod(windows)) for n in CHROMOSOMES], 2):
        x = torch.nn.functional.elu(grown(chromosome, up.weight, windows[1]) + decoder.biases[0][:, None])
        maps.append(grown(x, out.up.weight, windows[0]))
    agree(got, unpadded(maps) + out.bias, [decoder.deepest.weight, up.weight, decoder.biases[0], out.up.weight, out.bias])


@pytest.mark.parametrize("upsampling", ["transposed", "nearest"])
def test_no_window_spans_two_chromosomes(upsampling):
    """A gene reaches windows of its own chromosome only in the deepest map; a window there reaches its own genes only."""
    encoder, decoder, _ = halves(replace(PLAIN, upsampling=upsampling))
    home = np.repeat(np.arange(3), CHROMOSOMES)[np.argsort(spec().order)]  # chromosome of each gene
    of_window = np.repeat(np.arange(3), [-(-n // UNIT) for n in CHROMOSOMES])
    heard = []
    encoder.last.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[0].view(len(inputs[0]), len(of_window), -1)))
    some = counts_of(np.vstack([np.zeros(GENES), np.eye(GENES)]), dtype="float64")
    encoder(EncoderInput(some), None, None)
    changed = (heard[0][1:] != heard[0][:1]).any(2).numpy()  # (genes, windows)
    assert changed.any(1).all()
    assert not changed[home[:, None] != of_window[None]].any()

    maps = torch.randn(1, len(of_window), CHANNELS[-1], dtype=torch.float64).requires_grad_()
    decoder.deepest.forward = lambda *_: maps.flatten(1)
    out = decoder(torch.zeros(1, 4, dtype=torch.float64), None, None)["mean"][0]
    spoken = torch.stack([torch.autograd.grad(value, maps, retain_graph=True)[0][0].abs().sum(1) for value in out])
    assert (spoken > 0).any(1).all()
    assert not (spoken.numpy() > 0)[home[:, None] != of_window[None]].any()


def test_jacobian_norm_is_autograds(rng):
    (encoder, _, _), (seen, _) = halves(PLAIN), some_cells(rng)
    first, got = encoder.first, encoder(seen, None, None)
    u = torch.randn(got.first.shape, dtype=torch.float64)

    def of_dense(x):
        maps = [conv1d(m, first.weight.T[:, None], first.bias, stride=WINDOWS[0]) for m in padded(x)]
        return torch.cat(maps, 2).transpose(1, 2).flatten(1)

    x = seen.dense().requires_grad_()
    (slope,) = torch.autograd.grad((of_dense(x) * u).sum(), x)
    torch.testing.assert_close(got.jacobian_sq(u), slope.square().sum(1))


def test_the_rest_can_be_run_again(rng):
    (encoder, _, covariates), (seen, cells) = halves(PLAIN, levels=3), some_cells(rng, levels=3)
    design = covariates(cells)
    got = encoder(seen, design, None)
    assert torch.equal(got.rest(got.first, design), got.stats)
    assert got.rest(got.first[:2], None).shape == (2, 4)


def test_noise_has_the_covariance_of_the_layer():
    """N(0, JᵀJ), J = ∂first/∂input, within what 40,000 draws allow."""
    first = halves(PLAIN)[0].first
    jacobian = first._of_dense(torch.eye(GENES, dtype=torch.float64))  # (genes, width)
    want = (jacobian.T @ jacobian).detach()
    drawn = first.noise(40_000, torch.Generator().manual_seed(0)).detach()
    error = torch.sqrt((want.diagonal()[:, None] * want.diagonal() + want**2) / len(drawn)) + 1e-12
    assert ((drawn.T @ drawn / len(drawn) - want).abs() / error).max() < 5
    assert (drawn.mean(0).abs() * math.sqrt(len(drawn)) / want.diagonal().sqrt().clamp_min(1e-12)).max() < 5


def test_noise_enters_with_a_generator_alone(rng):
    first, (seen, _) = halves(PLAIN)[0].first, some_cells(rng)
    noisy, clean = replace(seen, noise_sd=0.3), first(seen, None, None)
    assert torch.equal(first(noisy, None, None), clean)
    drawn = 0.3 * first.noise(6, torch.Generator().manual_seed(5))
    torch.testing.assert_close(first(noisy, None, torch.Generator().manual_seed(5)), clean + drawn)


@given(st.integers(0, 6), st.integers(1, 20), st.integers(1, 5), st.integers(2, 5), st.integers(0, 50))
def test_value_and_gradient_of_the_op_are_dense(cells, genes, channels, size, seed):
    rng = np.random.default_rng(seed)
    b = counts_of(rng.poisson(0.5, (cells, genes)), dtype="float64")
    kernel = torch.from_numpy(rng.normal(size=(size, channels))).requires_grad_()
    place = torch.from_numpy(rng.permutation(genes))
    n_windows = -(-genes // size)
    dense = torch.zeros(cells, n_windows * size, dtype=torch.float64)
    dense[:, place] = b.dense()
    want = (dense.view(-1, size) @ kernel).view(cells, n_windows * channels)
    agree(sparse_windows(b, kernel, place, n_windows), want, [kernel])


def test_columns_are_rearranged_and_given_back():
    x = torch.randn(3, 8, dtype=torch.float64, requires_grad=True)
    place, feature = torch.tensor([5, 0, 3]), torch.tensor([1, -1, -1, 2, -1, 0, -1, -1])
    agree(rearranged(x, place, feature), x[:, place], [x])
    y = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    agree(rearranged(y, feature, place), torch.zeros(3, 8, dtype=torch.float64).index_copy(1, place, y), [y])


@pytest.mark.parametrize("n", [2, 4])
def test_threads_do_not_change_bits(n, rng):
    b, results = counts_of(counts_like(rng, 300, 300)), []
    kernel = torch.randn(16, 32, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for count in (1, n):
        with threads.use(count):
            out = sparse_windows(b, kernel, torch.arange(300), 19)
            results.append((out, torch.autograd.grad(out.square().sum(), kernel)[0]))
    assert all(same_bits(x, y) for x, y in zip(*results, strict=True))


def test_every_device_agrees(device, rng):
    b, results = counts_of(counts_like(rng, 40, 100)), []
    kernel = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
    for where in (torch.device("cpu"), device):
        k = kernel.to(where).requires_grad_()
        out = sparse_windows(b.to(where), k, torch.arange(100, device=where), 7)
        results.append((out.detach().cpu(), torch.autograd.grad(out.square().sum(), k)[0].cpu()))
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-2)


def test_axis_is_a_bijection_onto_whole_windows():
    axis = Axis.of(spec(), UNIT, torch.device("cpu"))
    assert len(axis.feature) == sum(-(-n // UNIT) * UNIT for n in CHROMOSOMES)
    assert torch.equal(axis.feature[axis.place], torch.arange(GENES))
    assert int((axis.feature >= 0).sum()) == GENES
    assert axis.first.nonzero().flatten().tolist() == [0, 2, 3]
    assert axis.begins(4).nonzero().flatten().tolist() == [0, 4, 6]
    listed = Axis.of(data_of(GENES), UNIT, torch.device("cpu"))
    assert torch.equal(listed.place, torch.arange(GENES)), "without coordinates: as listed, one chromosome"


@pytest.mark.parametrize(
    "options", [{"channels": (8,)}, {"windows": (4, 4, 4)}, {"channels": (), "windows": ()}, {"windows": (1, 4)}]
)
def test_layers_that_do_not_match_are_refused(options):
    with pytest.raises(ConfigError, match="windows"):
        Conv1d(**options)
