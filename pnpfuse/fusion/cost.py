"""Parameters and floating-point operations of a block and its variants, as PMR counts them."""

from collections.abc import Mapping, Sequence

from pnpfuse.fusion.arguments import check_count
from pnpfuse.fusion.widths import WIDEST, Ratio, Widths, next_power, split_widths


def table9_parameters(dims: Sequence[int] | Mapping[str, int], n: float = 4, b: Ratio = 0.5) -> int:
    """Number of parameters by PMR Table 9, summed over the modalities.

    Parameters
    ----------
    dims : widths l_m, as a list or as {modality: l_m}
    n : magnification factor
    b : boundary as a ratio of n l_m, or {modality: ratio}

    Notes
    -----
    With B the absolute boundary, the table has for one modality ::

        P_dis       n l * l + n l
        P_shared    B * l* + B
        P_specific  (n l - B) * l + (n l - B)
        P_recon     l * (l + l*) + l

    P_shared and P_specific count as many biases as they have INPUTS; `torch.nn.Linear` has one
    for each output, l* and l. A module's own count is therefore smaller: 5250048 against
    5252096 for widths 512 and 512 with n = 4, b = 1/2. P_shared of modality m reads the shared
    part of the next modality k, so its B is k's; over a whole cycle the sum is the same.
    """
    widths = _widths(dims, n, b)
    total = 0
    for name, width in widths.dims.items():
        expanded, boundary = widths.expanded[name], widths.boundary[name]
        total += expanded * width + expanded
        total += boundary * widths.common + boundary
        total += (expanded - boundary) * width + (expanded - boundary)
        total += width * (width + widths.common) + width
    return total


def table9_flops(dims: Sequence[int] | Mapping[str, int], n: float = 4, b: Ratio = 0.5) -> int:
    """Floating-point operations of one sample by PMR Table 9, summed over the modalities.

    Arguments as in `table9_parameters`. A multiplication and an addition count as two, a bias
    as one for each input ::

        P_dis       2 n l^2 + n l
        P_shared    2 B l* + B
        P_specific  2 (n l - B) l + (n l - B)
        P_recon     2 l (l + l*) + l
    """
    widths = _widths(dims, n, b)
    total = 0
    for name, width in widths.dims.items():
        expanded, boundary = widths.expanded[name], widths.boundary[name]
        total += 2 * expanded * width + expanded
        total += 2 * boundary * widths.common + boundary
        total += 2 * (expanded - boundary) * width + (expanded - boundary)
        total += 2 * width * (width + widths.common) + width
    return total


def experts_parameters(width: int) -> int:
    """Weights that a mixture of experts on shared outputs of `width` l* adds, 20 l*^2.

    One shared and four routed experts of two l* x 2 l* matrices (PMR Appendix E, its total; the
    formula printed beside it gives 40 l*^2). One mixture serves all modalities. Biases (15 l*) and
    the router (4 l* + 4) come on top of PMR's count.
    """
    return 20 * check_count("width", width, most=WIDEST) ** 2


def experts_flops(width: int) -> int:
    """Operations that the mixture adds for one sample, 16 l*^2 + 10 l* (PMR Appendix E).

    For each of the two experts in use: 8 l*^2 for two matrices, 3 l* for their biases and 2 l*
    for the activation. The router and the sum are not counted. The module computes all five
    experts, and so 40 l*^2 (see `pnpfuse.fusion.experts.MixtureOfExperts`).
    """
    width = check_count("width", width, most=WIDEST)
    return 16 * width**2 + 10 * width


def srht_flops(dims: Sequence[int] | Mapping[str, int], n: float = 4, b: Ratio = 0.5) -> int:
    """Operations of one sample where all four maps are SRHTs, summed over the modalities.

    Arguments as in `table9_parameters`; there are no parameters to count. One transform of
    `inputs` to `outputs` features, or back, takes ::

        r (p log2 p + p),  p = inputs to the next power of two,  r = ceil(outputs / p)

    for the butterflies' additions and the signs; the normalisation goes with the signs. The
    modules multiply by H_16 instead, with 8 times the operations in a quarter of the passes over
    memory.
    """
    widths = _widths(dims, n, b)
    total = 0
    for name, width in widths.dims.items():
        expanded, boundary = widths.expanded[name], widths.boundary[name]
        total += _transform_flops(width, expanded)
        total += _transform_flops(boundary, widths.common)
        total += _transform_flops(expanded - boundary, width)
        total += _transform_flops(width + widths.common, width)
    return total


def _transform_flops(inputs: int, outputs: int) -> int:
    padded = next_power(inputs)
    return -(-outputs // padded) * padded * padded.bit_length()  # log2 p + 1 bits


def _widths(dims: Sequence[int] | Mapping[str, int], n: float, b: Ratio) -> Widths:
    if not isinstance(dims, Mapping):
        try:
            dims = {str(i): width for i, width in enumerate(dims)}
        except TypeError:
            raise ValueError(
                f"dims must be a list of widths or {{modality: width}}; found {dims!r}"
            ) from None
    return split_widths(dims, n, b)
