"""Physics-inspired multimodal reconfiguration: dissolve, split at b, exchange, reconstruct."""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from pnpfuse.fusion.arguments import check_choice
from pnpfuse.fusion.exchange import Exchange
from pnpfuse.fusion.folded import FoldedPMR
from pnpfuse.fusion.outputs import FusionOutput
from pnpfuse.fusion.presence import Features, Presence
from pnpfuse.fusion.preservation import METRICS, REDUCTIONS, preservation
from pnpfuse.fusion.widths import Ratio, split_widths

__all__ = ["GMF", "PMR"]

GRADIENTS = ("full", "detach_target", "block_only")
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


class PMR(Exchange):
    """Reconfiguration block of PMR Eq. 4-6.

    For modality m with features V_m and source k = (m + 1) mod M (m from 0) ::

        D_m          = P_dis V_m                          (batch, n l_m)        Eq. 4
        shared_m     = P_shared D_k[:B_k]                 (batch, l*)           Eq. 5
        specific_m   = P_specific D_m[B_m:]               (batch, l_m)          Eq. 5
        fused_m      = [shared_m; specific_m]             (batch, l* + l_m)
        recon_m      = P_recon fused_m                    (batch, l_m)          Eq. 6

    with l* = min l_m and B_m = floor(b n l_m) (GMF Algorithm 2), kept within 1 and n l_m - 1.

    Parameters
    ----------
    dims : {modality: l_m}, two or more. The order is the cycle and is fixed here; the order of
        the dict given to the block plays no part.
    n : magnification factor, n >= 1; n l_m is rounded
    b : boundary as a ratio of n l_m, in (0, 1); one number, or {modality: ratio}
    metric : preservation loss of Eq. 6: "mse" (sPMR) or "cosine" (rPMR)
    domain : where the loss is measured: "input"
    reduction : "mean" or "sum" over the features of the squared error; means over the batch and
        sums over the modalities in both cases
    mapping : what the maps are: "linear"
    experts : what stands on the shared output: None
    gradient : how far the preservation loss reaches: "full", everything that made V (the
        paper's single scalar); "detach_target", all but through the target V; "block_only", the
        parameters of this block alone, for a second pass over V.detach()
    pairing : "next" or "prev"
    bias : whether the maps have biases
    activation : None, "gelu", "relu", "silu", "tanh" or a module, applied to D. With None every
        map is linear: n adds no capacity, and the preservation loss does not by itself decide
        what is shared (with (1 - b) n >= 1 it can be 0 whatever the shared part is).

    Raises
    ------
    ValueError
        naming the argument, what was found and what would do

    Notes
    -----
    Parameters are named ``dissolve.<m>``, ``shared.<m>``, ``specific.<m>``, ``recon.<m>``.
    ``shared.<m>`` belongs to the RECEIVER m and has the width B_k of its source k, as in PMR
    Eq. 5; GMF Algorithms 1-2 index the same maps by the source, see `shared_of`.

    An absent feature vector counts as V = 0, so a map's bias remains. The preservation terms of
    an absent modality and of the one that receives its shared part are dropped, sample by
    sample, and the means run over the terms that remain.
    """

    def __init__(
        self,
        dims: Mapping[str, int],
        n: float = 4,
        b: Ratio = 0.5,
        *,
        metric: str = "mse",
        domain: str = "input",
        reduction: str = "mean",
        mapping: str = "linear",
        experts: str | None = None,
        gradient: str = "full",
        pairing: str = "next",
        bias: bool = True,
        activation: str | nn.Module | None = None,
    ):
        super().__init__(split_widths(dims, n, b), pairing)
        self.n = n
        self.b = dict(b) if isinstance(b, Mapping) else b
        self.metric = check_choice("metric", metric, METRICS)
        self.domain = check_choice("domain", domain, ("input",))
        self.reduction = check_choice("reduction", reduction, REDUCTIONS)
        self.mapping = check_choice("mapping", mapping, ("linear",))
        self.experts = check_choice("experts", experts, (None,))
        self.gradient = check_choice("gradient", gradient, GRADIENTS)
        self.activation = _activation(activation)
        if not isinstance(bias, bool):
            raise ValueError(f"bias must be True or False; found {bias!r}")

        w = self.widths
        self.dissolve = nn.ModuleDict()
        self.recon = nn.ModuleDict()
        for m, width in w.dims.items():
            expanded, boundary, source = w.expanded[m], w.boundary[m], self.source_of(m)
            self.dissolve[m] = nn.Linear(width, expanded, bias)
            self.shared[m] = nn.Linear(w.boundary[source], w.common, bias)
            self.specific[m] = nn.Linear(expanded - boundary, width, bias)
            self.recon[m] = nn.Linear(w.common + width, width, bias)

    def forward(self, features: Features, present: Presence | None = None) -> FusionOutput:
        """Reconfigure a batch.

        Parameters
        ----------
        features : {modality: (batch, l_m)}, in any order; a modality that is absent for the whole
            batch may be left out
        present : {modality: bool (batch,)}, a modality that it does not name is present; None if
            nothing is absent

        Returns
        -------
        FusionOutput
            with ``losses["preservation"]``, not weighted

        Raises
        ------
        ValueError
            as `pnpfuse.fusion.presence.resolve_present`
        """
        V, masks = self._resolve(features, present)  # each (batch, l_m)
        fused, shared, specific = self._exchange(V)
        if self.gradient == "block_only":
            # The features are cut off, so this pass serves the loss alone and `fused` keeps the
            # task's way back to them.
            V = {m: v.detach() for m, v in V.items()}
            recon = self._reconstruct(self._exchange(V)[0])
        else:
            recon = self._reconstruct(fused)
        target = V if self.gradient == "full" else {m: v.detach() for m, v in V.items()}
        keep = masks and {m: masks[m] & masks[self.source_of(m)] for m in V}  # (batch,)
        loss = preservation(target, recon, keep, metric=self.metric, reduction=self.reduction)  # ()
        return FusionOutput(fused, shared, specific, recon, {"preservation": loss})

    def separate(self, V: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Each modality's own shared part (batch, l*) and specific part (batch, l_m)."""
        own, specific = {}, {}
        for m, v in V.items():
            dissolved = self.dissolve[m](v)  # (batch, n l_m)
            if self.activation is not None:
                dissolved = self.activation(dissolved)  # (batch, n l_m)
            boundary = self.widths.boundary[m]
            own[m] = self.shared_of(m)(dissolved[:, :boundary])  # (batch, l*)
            specific[m] = self.specific[m](dissolved[:, boundary:])  # (batch, l_m)
        return own, specific

    def fold(self) -> FoldedPMR:
        """A copy for inference in which each path is one linear map, without the factor n.

        Gives the same `fused` up to rounding; no reconstruction, no losses. Refused with an
        activation, since the product of the two maps is then not linear.
        """
        if self.activation is not None:
            raise ValueError(
                f"fold needs activation=None; this block has {self.activation}: only a product "
                "of linear maps is a linear map"
            )
        return FoldedPMR(self)

    def extra_repr(self) -> str:
        return (
            f"dims={self.dims}, n={self.n}, b={self.b}, shared={self.widths.common}, "
            f"metric={self.metric!r}, reduction={self.reduction!r}, gradient={self.gradient!r}, "
            f"pairing={self.pairing!r}"
        )

    def _reconstruct(self, fused: dict[str, Tensor]) -> dict[str, Tensor]:
        return {m: self.recon[m](Z) for m, Z in fused.items()}  # (batch, l_m)


class GMF(PMR):
    """`PMR` with the settings of the GMF paper: squared error, mean (GMF Algorithms 1-3).

    Parameters
    ----------
    dims, n, b : as in `PMR`
    """

    def __init__(self, dims: Mapping[str, int], n: float = 4, b: Ratio = 0.5):
        super().__init__(dims, n, b, metric="mse", reduction="mean")


def _activation(activation: str | nn.Module | None) -> nn.Module | None:
    if activation is None or isinstance(activation, nn.Module):
        return activation
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        raise ValueError(
            f"activation must be None, one of {list(ACTIVATIONS)} or a torch.nn.Module; "
            f"found {activation!r}"
        )
    return ACTIVATIONS[activation]()
