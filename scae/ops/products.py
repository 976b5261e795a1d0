"""Products of dense matrices in float32.

On processors that are not Intel's, torch multiplies with half the speed of oneDNN, which is also part of torch.
"""

from __future__ import annotations

import torch
from torch import Tensor


def product_transposed(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """``a @ b.T + bias``: ``(n, k)`` and ``(m, k)`` to ``(n, m)``. No gradients."""
    dense = a.device.type == "cpu" and a.dtype == torch.float32 and a.numel() and b.numel()
    if dense and torch.backends.mkldnn.is_available():
        return torch.ops.mkldnn._linear_pointwise(a.detach(), b.detach(), bias, "none", [], "")
    return torch.nn.functional.linear(a.detach(), b.detach(), bias)


def transposed_product(a: Tensor, b: Tensor) -> Tensor:
    """``a.T @ b``: ``(n, k)`` and ``(n, m)``, where m is much smaller than k, to ``(k, m)``. No gradients."""
    return product_transposed(b.T, a.T).T.contiguous()
