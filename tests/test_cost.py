"""PMR Table 9: its printed totals, and the module's own count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pnpfuse.fusion import PMR, table9_flops, table9_parameters

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


@pytest.mark.parametrize(
    "arguments", [([512],), ([3, 4], 0.5), ([3, 4], 4, 1.5), ([3, -1],), (512,), (None,)]
)
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match="dims|n must|b is"):
        table9_parameters(*arguments)
