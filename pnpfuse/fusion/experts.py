"""A sparse mixture of experts on the shared output (PMR Appendices A and E, rG-UMoE)."""

import math

import torch
from torch import Tensor, nn

from pnpfuse.fusion.arguments import check_count
from pnpfuse.fusion.precision import widen, without_autocast
from pnpfuse.fusion.widths import WIDEST

ROUTED = 4
EXPERTS = 1 + ROUTED
EXPANSION = 2  # hidden width over l*


class MixtureOfExperts(nn.Module):
    """One shared expert and the best of four routed ones, with x of width l* ::

        p(x) = softmax(W x + c)                              (batch, 4)
        y    = E_0(x) + p_i(x) E_i(x),   i = argmax p(x)     (batch, l*)
        E(x) = A relu(B x + d) + a       with hidden width 2 l*

    The gate value p_i stands in the output, so that gradients reach the router. Of two equal
    gates the first expert is taken.

    The matrices of the five experts hold 20 l*^2 weights (PMR Appendix E). Not among those are
    15 l* biases of the experts and the router's 4 l* + 4 parameters.

    Parameters
    ----------
    width : l*

    Notes
    -----
    All experts are computed and the hidden units of those not chosen are set to zero, so that
    the whole mixture is two matrix products of static shape: no wait for the device, no loop,
    and one graph to compile or export. That is 2.5 times the operations that PMR counts for the
    two experts in use (`pnpfuse.fusion.cost.experts_flops`).
    """

    def __init__(self, width: int):
        super().__init__()
        self.width = check_count("width", width, most=WIDEST)
        self.hidden = EXPANSION * self.width
        self.router = nn.Linear(self.width, ROUTED)
        self.up = nn.Linear(self.width, EXPERTS * self.hidden)
        self.down = nn.Parameter(torch.empty(EXPERTS * self.hidden, self.width))
        self.down_bias = nn.Parameter(torch.empty(EXPERTS, self.width))
        bound = 1 / math.sqrt(self.hidden)  # of each expert by itself, as torch.nn.Linear has it
        nn.init.uniform_(self.down, -bound, bound)
        nn.init.uniform_(self.down_bias, -bound, bound)

    def forward(
        self, shared: Tensor, present: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The mixture's output and the loss that keeps its experts in use.

        Parameters
        ----------
        shared : (..., l*), shared outputs; any number of leading axes, modalities among them
        present : bool (...), False for rows to leave out of the loss, or None for none

        Returns
        -------
        output : (..., l*)
        losses : ``{"balance": scalar}``, not weighted: 4 sum_i f_i P_i with the share f_i of the
            rows sent to expert i and its mean gate P_i (Fedus et al. 2021, Switch Transformer,
            Eq. 4). It is 1 for an even load, 4 if one expert takes all; 0 with no row present.
        """
        gates, chosen = self._route(shared)  # (..., 4) each
        # The shared expert has gate 1.
        routed = (gates * chosen).to(shared.dtype)  # (..., 4)
        weights = torch.cat([torch.ones_like(routed[..., :1]), routed], -1)  # (..., 5)
        hidden = torch.relu(self.up(shared)).unflatten(-1, (EXPERTS, self.hidden))
        mixed = (hidden * weights.unsqueeze(-1)).flatten(-2)  # (..., 5 * 2 l*)
        output = mixed @ self.down + weights @ self.down_bias  # (..., l*)
        return output, {"balance": _balance(gates, chosen, present)}

    def _route(self, shared: Tensor) -> tuple[Tensor, Tensor]:
        """Gates p(x) in float32 at least and the one-hot choice, (..., 4) each."""
        # Half precision would tie gates that differ.
        with without_autocast(shared):
            wide = widen(shared)
            weight, bias = self.router.weight.to(wide.dtype), self.router.bias.to(wide.dtype)
            gates = (wide @ weight.T + bias).softmax(-1)  # (..., 4)
        best = gates.argmax(-1, keepdim=True)  # (..., 1), the first of equal ones
        return gates, best == torch.arange(ROUTED, device=best.device)

    def extra_repr(self) -> str:
        return f"width={self.width}, hidden={self.hidden}, shared=1, routed={ROUTED}, chosen=1"


def _balance(gates: Tensor, chosen: Tensor, present: Tensor | None) -> Tensor:
    gates, chosen = gates.reshape(-1, ROUTED), chosen.reshape(-1, ROUTED)  # (rows, 4) each
    rows = torch.ones_like(gates[:, :1])  # (rows, 1)
    if present is not None:
        rows = present.reshape(-1, 1).to(gates.dtype)
    count = rows.sum().clamp(min=1)  # 0/0 -> 0
    load, mean = (chosen * rows).sum(0) / count, (gates * rows).sum(0) / count  # (4,) each
    return ROUTED * (load * mean).sum()  # ()
