"""Parameters and floating-point operations of a linear block, as PMR Table 9 counts them."""

from collections.abc import Mapping, Sequence

from pnpfuse.fusion.widths import Ratio, Widths, split_widths


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


def _widths(dims: Sequence[int] | Mapping[str, int], n: float, b: Ratio) -> Widths:
    if not isinstance(dims, Mapping):
        try:
            dims = {str(i): width for i, width in enumerate(dims)}
        except TypeError:
            raise ValueError(
                f"dims must be a list of widths or {{modality: width}}; found {dims!r}"
            ) from None
    return split_widths(dims, n, b)
