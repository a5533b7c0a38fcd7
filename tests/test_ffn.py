"""The feed-forward networks that PMR is to be compared with."""

import pytest
import torch

from pnpfuse.fusion import PMR
from pnpfuse.fusion.ffn import FFN


@pytest.mark.parametrize(
    ("dims", "size"),  # three, two and six views of the sets that others were measured on
    [((64, 64, 64), 124290), ((64, 10), 32118), ((64, 64, 64, 47, 64, 6), 137804)],
)
def test_as_large_as_pmr(dims, size):
    dims = {f"view{i}": d for i, d in enumerate(dims)}
    found, block = (sum(p.numel() for p in kind(dims).parameters()) for kind in (FFN, PMR))
    assert found == size
    assert abs(found - block) < 0.002 * block
    assert FFN(dims).part_widths() == PMR(dims).part_widths()


def test_networks_by_hand():
    torch.manual_seed(0)
    V = {"a": torch.randn(5, 6), "b": torch.randn(5, 4)}
    for linear in (False, True):
        block = FFN({"a": 6, "b": 4}, linear=linear)
        for m, z in block(V).fused.items():
            first, _, second = block.nets[m]
            hidden = V[m] @ first.weight.T + first.bias
            hidden = hidden if linear else hidden.clamp(min=0)
            torch.testing.assert_close(z, hidden @ second.weight.T + second.bias)
