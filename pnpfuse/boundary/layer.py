"""A layer that holds the cells of a fusion block, to be trained with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pnpfuse.boundary.arguments import as_numbers
from pnpfuse.boundary.cells import Boundary, solved
from pnpfuse_solvers.arguments import check_nodes, positive

LEARNABLE = ("length", "voltage", "charge")


class PNPBoundary(nn.Module):
    """Cells of the modalities of a fusion block, whose numbers can be learned.

    It starts at the cells of `hyperparameters`. What is learned is the logarithm of a number over
    its start, so that numbers stay positive and weight decay draws them to the start.

    Parameters
    ----------
    dims : {modality: width}
        Two or more; their order is that of the tensors.
    n : float
        Length in Debye lengths at the start.
    voltage : float
        In kB T/e, at the start.
    learn : sequence of "length", "voltage", "charge"
        What are parameters: n, the voltage, and each modality's charge ratio l*/l_m. The rest is
        kept.
    per_modality : bool
        Also give each modality a length and a voltage of its own; they are common otherwise, as n
        is in a fusion block.
    nodes : int
        As in `pnp_boundary`.

    Attributes
    ----------
    log_length, log_voltage, log_charge : Parameter, or Tensor where not learned
        Logarithms over the start: (), () and (M,), or (M,) each.
    start : Tensor (3, M)
        Lengths, voltages and charge ratios at the start, float64.

    Raises
    ------
    ValueError
        Naming the argument.
    """

    start: Tensor

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        n: float = 4,
        voltage: float = 20.0,
        learn: Sequence[str] = ("voltage", "length", "charge"),
        per_modality: bool = False,
        nodes: int = 401,
    ):
        from pnpfuse.fusion.widths import check_dims  # here: blocks of `fusion` hold this layer

        super().__init__()
        self.dims = check_dims(dims, at_least=2)
        try:
            known = not isinstance(learn, str) and set(learn) <= set(LEARNABLE)
        except TypeError:
            known = False
        if not known:
            raise ValueError(f"learn: got {learn!r}; give some of {', '.join(LEARNABLE)}")
        n, voltage = positive("n", n, "Debye lengths"), positive("voltage", voltage, "kB T/e")
        check_nodes(nodes)
        self.nodes = nodes
        common, count = min(self.dims.values()), len(self.dims)
        rows = [[n] * count, [voltage] * count, [common / width for width in self.dims.values()]]
        self.register_buffer("start", torch.tensor(rows, dtype=torch.float64))
        for name in LEARNABLE:
            offset = torch.zeros(count if per_modality or name == "charge" else ())
            if name in learn:
                self.register_parameter(f"log_{name}", nn.Parameter(offset))
            else:
                self.register_buffer(f"log_{name}", offset)

    def forward(self, throw: bool = True) -> Boundary:
        """The cells as they are now, tensors (M,) in the order of `dims`; see `pnp_boundary`."""
        offsets = [getattr(self, f"log_{name}") for name in LEARNABLE]
        each = zip(self.start, offsets, strict=True)
        numbers, home = as_numbers(
            *(start * offset.to(start.dtype).exp() for start, offset in each)
        )
        return solved(numbers, home._replace(dtype=offsets[0].dtype), self.nodes, throw)

    def extra_repr(self) -> str:
        try:
            with torch.no_grad():
                now = self(throw=False)
        except (ValueError, NotImplementedError) as error:  # training went astray; no data (meta)
            return f"{', '.join(self.dims)}: no cells ({error!s:.80})"
        return "\n".join(
            f"{name}: n={n:.4g}, voltage={voltage:.4g}, charge={charge:.4g}, b={b:.4g}"
            for name, n, voltage, charge, b in zip(
                self.dims, now.length_ratio, now.voltage, now.charge_ratio, now.b, strict=True
            )
        )
