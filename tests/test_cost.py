"""PMR Table 9 and Appendix E: the printed totals, and the modules' own counts."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from pnpfuse.fusion import PMR, table9_flops, table9_parameters
from pnpfuse.fusion.cost import experts_flops, experts_parameters, srht_flops
from pnpfuse.fusion.experts import MixtureOfExperts
from pnpfuse.fusion.srht import SRHT

# dims, Table 9 with its bias convention, torch.nn.Linear's count
PRINTED = [
    ([512, 512], 5_252_096, 5_250_048, 5.25),
    ([128, 128], 329_984, 329_472, 0.32),
    ([4096, 128], 119_215_232, 119_202_816, 119.21),
]


@pytest.mark.parametrize(("dims", "formula", "module", "millions"), PRINTED)
def test_parameters_of_the_papers(dims, formula, module, millions):
    assert table9_parameters(dims, 4, 0.5) == formula
    assert int(formula / 1e4) / 100 == millions  # GMF prints two decimals, cut off
    block = PMR(dict(zip("ab", dims, strict=True)), 4, 0.5)
    assert sum(p.numel() for p in block.parameters()) == module


def test_flops_written_out_for_one_pair():
    # l = 3, n l = 12, B = 6, l* = 2   and   l = 2, n l = 8, B = 4, l* = 2
    first = (2 * 12 * 3 + 12) + (2 * 6 * 2 + 6) + (2 * 6 * 3 + 6) + (2 * 3 * 5 + 3)
    second = (2 * 8 * 2 + 8) + (2 * 4 * 2 + 4) + (2 * 4 * 2 + 4) + (2 * 2 * 4 + 2)
    assert table9_flops([3, 2], 4, 0.5) == first + second
    assert table9_flops({"x": 3, "y": 2}, 4, 0.5) == first + second


@given(
    dims=st.lists(st.integers(1, 40), min_size=2, max_size=4),
    n=st.integers(2, 6),
    b=st.floats(0.01, 0.99),
)
def test_formula_and_module_differ_by_the_biases_alone(dims, n, b):
    named = {f"m{i}": width for i, width in enumerate(dims)}
    block = PMR(named, n, b, bias=False)
    weights = sum(p.numel() for p in block.parameters())
    expanded = [n * width for width in dims]
    # P_dis: n l, P_shared and P_specific together: n l, P_recon: l
    assert table9_parameters(dims, n, b) == weights + 2 * sum(expanded) + sum(dims)
    assert table9_flops(dims, n, b) == 2 * weights + 2 * sum(expanded) + sum(dims)


def test_ratio_for_each_modality():
    even = table9_parameters({"a": 8, "b": 4}, 4, {"a": 0.5, "b": 0.5})
    assert even == table9_parameters([8, 4], 4, 0.5)
    assert table9_parameters({"a": 8, "b": 4}, 4, {"a": 0.9, "b": 0.5}) < even


def product_flops(module, *inputs):
    """Operations of the matrix products that `module` runs."""
    with FlopCounterMode(display=False) as counter:
        module(*inputs)
    return counter.get_total_flops()


def test_experts_add_twenty_squares_and_sixteen_squares_of_operations():
    for width in (1, 64, 512):
        module = MixtureOfExperts(width)
        weights = module.up.weight.numel() + module.down.numel()
        assert experts_parameters(width) == weights == 20 * width**2
        # Two of five experts, each with 3 l* biases and 2 l* hidden units to activate.
        in_use = 2 * weights * 2 // 5 + 2 * (3 * width + 2 * width)
        assert experts_flops(width) == in_use == 16 * width**2 + 10 * width
        router_and_biases = 2 * 4 * width + 2 * 5 * width
        counted = product_flops(module, torch.zeros(7, width))
        assert counted == 7 * (2 * weights + router_and_biases)


def test_srht_is_a_butterfly_with_signs():
    def transform(inputs, outputs):
        p = 2 ** math.ceil(math.log2(inputs))
        return math.ceil(outputs / p) * (p * round(math.log2(p)) + p)

    # l = 8, n l = 32, B = 16, l* = 4   and   l = 4, n l = 16, B = 8, l* = 4
    first = transform(8, 32) + transform(16, 4) + transform(16, 8) + transform(12, 8)
    second = transform(4, 16) + transform(8, 4) + transform(8, 4) + transform(8, 4)
    assert srht_flops([8, 4], 4, 0.5) == srht_flops({"x": 8, "y": 4}) == first + second
    # O(d log d) beside O(d^2)
    assert 90 * srht_flops([512, 512]) < table9_flops([512, 512])
    assert 500 * srht_flops([4096, 4096]) < table9_flops([4096, 4096])


@given(inputs=st.integers(1, 300), outputs=st.integers(1, 600))
def test_srht_has_no_parameters_and_stays_below_its_dense_matrix(inputs, outputs):
    module = SRHT(inputs, outputs)
    assert not list(module.parameters())
    p, r = module.padded, module.repeats
    if p > 64:  # H_16 at a time, H_rest at the end
        passes, rest = divmod(round(math.log2(p)), 4)
        expected = 2 * r * p * (16 * passes + (2**rest if rest else 0))
        assert product_flops(module, torch.zeros(1, inputs)) == expected
        assert expected <= 2 * r * p * p


@pytest.mark.parametrize(
    "arguments",
    [([512],), ([3, 4], 0.1), ([3, 4], 0), ([3, 4], 4, 1.5), ([3, -1],), (512,), (None,)],
)
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match="dims|n must|raise n|b is"):
        table9_parameters(*arguments)


@pytest.mark.parametrize("count", [experts_parameters, experts_flops])
@pytest.mark.parametrize("width", [0, 1.5, None, [4]])
def test_bad_width(count, width):
    with pytest.raises(ValueError, match="width"):
        count(width)
