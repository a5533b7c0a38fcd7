"""Physics-inspired multimodal reconfiguration: dissolve, split at b, exchange, reconstruct."""

from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from pnpfuse.fusion.arguments import check_choice, check_number
from pnpfuse.fusion.exchange import Exchange, Pairing
from pnpfuse.fusion.experts import MixtureOfExperts
from pnpfuse.fusion.folded import FoldedPMR
from pnpfuse.fusion.maps import LinearMaps, Maps
from pnpfuse.fusion.outputs import FusionOutput
from pnpfuse.fusion.preservation import METRICS, REDUCTIONS, preservation
from pnpfuse.fusion.share import (
    FixedShare,
    Learn,
    LearnedShare,
    check_learn,
    simulated_share,
    starting_shares,
)
from pnpfuse.fusion.softmaps import SoftMaps
from pnpfuse.fusion.transforms import Transforms
from pnpfuse.fusion.widths import Ratio, split_widths

__all__ = ["GMF", "PMR"]

BOUNDARIES = ("hard", "soft", "learned")
MAPPINGS = ("linear", "srht")
DOMAINS = ("input", "transform")
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
    n : magnification factor, above 0; n l_m is rounded, and at least 2
    b : boundary as a ratio of n l_m, in (0, 1); one number, or {modality: ratio}
    metric : preservation loss of Eq. 6: "mse" (sPMR) or "cosine" (rPMR)
    domain : where the loss is measured: "input", between V and recon; "transform", between P_dis V
        and P_dis recon (PMR App. A, where sPMR is measured so); without an activation the bias of
        P_dis, which the two have in common, is left out
    reduction : "mean" or "sum" over the features of the squared error; means over the batch and
        sums over the modalities in both cases
    mapping : what the maps are: "linear"; or "srht", subsampled randomised Hadamard transforms
        without parameters (PMR App. A), see `pnpfuse.fusion.transforms.Transforms`. Then `bias`
        plays no part, and the preservation loss trains what made V alone: for features that
        nothing trains it is a constant.
    experts : what stands on the shared output: None, or "moe", one mixture of experts for all
        modalities (PMR App. A), see `pnpfuse.fusion.experts.MixtureOfExperts`
    gradient : how far the preservation loss reaches: "full", everything that made V (the
        paper's single scalar); "detach_target", all but through the target V; "block_only", the
        parameters of this block alone, for a second pass over V.detach()
    pairing : "next", "prev" or {receiver: source}
    bias : whether the maps have biases
    activation : None, "gelu", "relu", "silu", "tanh" or a module, applied to D. With None every
        map is linear: n adds no capacity, and the preservation loss does not by itself decide
        what is shared (with (1 - b) n >= 1 it can be 0 whatever the shared part is).
    fill : what stands for an absent V: "zero", "mean" or "learned", see `pnpfuse.fusion.fill.Fill`
    boundary : "hard", the cut at B_m; "soft", an interface of finite width there (PMR App. A.2:
        "an effective interface that occupies a finite interval"); "learned", one that the training
        moves. Channel j of D_m is then shared by w_j = c_shared/(c_shared + c_specific), the
        simulated concentrations at its middle (j + 1/2)/(n l_m) in the cell of n Debye lengths
        whose interface lies at B_m/(n l_m), and both maps read all channels:
        shared_m = P_shared (w * D)_k, specific_m = P_specific ((1 - w) * D)_m. In the limit of
        high voltages w is the hard cut.
    voltage : of the cells of a boundary that is not hard, electrodes at -voltage and +voltage in
        kB T/e; from w = 0.9 to 0.1 they take about 2.2 (1 - b)/voltage of the channels
    learn : what a learned boundary learns of its cells: one or several of "voltage", "length" and
        "charge" (see `pnpfuse.PNPBoundary`), or "all", from the cells of the soft boundary on.
        n l_m stays. The cells are solved on the CPU in every pass: an accelerator waits for that.

    Raises
    ------
    ValueError
        naming the argument, what was found and what would do

    Notes
    -----
    Modalities that agree in l, n l and B are computed together: ``maps.<j>`` holds their
    parameters stacked, j counting such groups in the order of `dims` (see
    `pnpfuse.fusion.maps.Maps`; `maps_of` gives one modality's own). P_shared lies with the
    modality k whose shared part it takes, as in GMF Algorithms 1-2; PMR Eq. 5 indexes the same
    matrix by its receiver m. ``share`` holds w of a soft boundary, ``share.cells`` the parameters
    of a learned one; P_dis, P_shared and P_specific then lie undivided in ``maps.<j>``, see
    `pnpfuse.fusion.softmaps.SoftMaps`.

    A map's bias remains for an absent V = 0. The preservation terms of an absent modality and of
    the one that receives its shared part are dropped, sample by sample, and the means run over
    the terms that remain.
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
        pairing: Pairing = "next",
        bias: bool = True,
        activation: str | nn.Module | None = None,
        fill: str = "zero",
        boundary: str = "hard",
        voltage: float = 20.0,
        learn: Learn = "all",
    ):
        super().__init__(split_widths(dims, n, b), pairing, fill)
        self.n = n
        self.b = dict(b) if isinstance(b, Mapping) else b
        self.metric = check_choice("metric", metric, METRICS)
        self.domain = check_choice("domain", domain, DOMAINS)
        self.reduction = check_choice("reduction", reduction, REDUCTIONS)
        self.mapping = check_choice("mapping", mapping, MAPPINGS)
        self.experts = check_choice("experts", experts, (None, "moe"))
        self.gradient = check_choice("gradient", gradient, GRADIENTS)
        self.activation = _activation(activation)
        self.boundary = check_choice("boundary", boundary, BOUNDARIES)
        self.voltage = check_number("voltage", voltage)
        if self.voltage == 0:
            raise ValueError("voltage must be above 0: without a field nothing separates")
        check_learn(learn)
        if not isinstance(bias, bool):
            raise ValueError(f"bias must be True or False; found {bias!r}")
        if mapping == "srht" and self.activation is not None:
            raise ValueError("activation must be None with mapping='srht', which is linear")
        if mapping == "srht" and gradient == "block_only":
            raise ValueError(
                "gradient='block_only' leaves nothing to train with mapping='srht', which has no "
                "parameters; take 'full' or 'detach_target'"
            )
        if mapping == "srht" and boundary != "hard":
            raise ValueError(
                "boundary must be 'hard' with mapping='srht', whose way back is that of a cut; "
                f"found {boundary!r}"
            )

        w = self.widths
        alike: dict[tuple[int, int, int], list[str]] = {}
        for m, width in w.dims.items():
            alike.setdefault((width, w.expanded[m], w.boundary[m]), []).append(m)
        self.groups = list(alike.values())
        self.maps = nn.ModuleList(
            self._made(len(group), *sizes, bias) for sizes, group in alike.items()
        )
        self.share = None if boundary == "hard" else self._sharing(learn)
        self.mixture = MixtureOfExperts(w.common) if experts == "moe" else None

    def _fuse(self, V: dict[str, Tensor], masks: dict[str, Tensor] | None) -> FusionOutput:
        fused, shared, specific, losses = self._exchanged(V, masks)
        if self.gradient == "block_only":
            # The features are cut off, so this pass serves the loss alone and `fused` keeps the
            # task's way back to them.
            V = {m: v.detach() for m, v in V.items()}
            recon = self._reconstructed(self._exchanged(V, masks)[0])  # each (g, batch, l)
        else:
            recon = self._reconstructed(fused)
        keep = masks and {m: masks[m] & masks[self._source[m]] for m in V}  # (batch,)
        loss = self._preservation(self._stacked(V), recon, keep)  # ()
        recovered = self._by_name(recon)  # (batch, l_m)
        losses = {"preservation": loss} | losses
        return FusionOutput(fused, shared, specific, recovered, losses, masks or {}, V)

    def dissociate(self, V: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Each modality's shared (batch, l*) and specific part (batch, l_m), before any experts."""
        each = zip(self.stacks, self._stacked(V), self.shares(), strict=True)
        parts = [maps.separate(V, **share) for maps, V, share in each]
        return self._by_name([own for own, _ in parts]), self._by_name([s for _, s in parts])

    def maps_of(self, modality: str) -> dict[str, tuple[Tensor, Tensor | None]]:
        """{"dissolve", "shared", "specific", "recon": (weight, bias)} of one modality.

        Weights are (outputs, inputs). "shared" takes this modality's OWN shared part, of width B,
        to the modality that receives it. Behind a soft boundary "shared" and "specific" take all
        n l channels, and their weights are those that act: P_shared w and P_specific (1 - w).
        """
        self._known("modality", modality)
        j = next(j for j, group in enumerate(self.groups) if modality in group)
        return self.stacks[j].one(self.groups[j].index(modality), **self.shares()[j])

    def shared_of(self, source: str) -> tuple[Tensor, Tensor | None]:
        """Weight (l*, B_k) and bias (l*,) of the map that takes `source`'s shared part."""
        self._known("source", source)
        return self.maps_of(source)["shared"]

    def interface(self) -> dict[str, float]:
        """{modality: b}, where the boundary lies as a ratio of the channels.

        That of a learned boundary is its cell's at present, NaN where there is no interface.
        """
        if isinstance(self.share, LearnedShare):
            return self.share.interface()
        widths = self.widths
        return {m: widths.boundary[m] / widths.expanded[m] for m in self.dims}

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
            f"boundary={self.boundary!r}, "
            + ("" if self.boundary == "hard" else f"voltage={self.voltage:g}, ")
            + f"mapping={self.mapping!r}, experts={self.experts!r}, metric={self.metric!r}, "
            f"domain={self.domain!r}, reduction={self.reduction!r}, "
            f"gradient={self.gradient!r}, pairing={self.pairing!r}"
        )

    @property
    def stacks(self) -> list[LinearMaps | Transforms]:
        """`maps`, typed, in the order of `groups`."""
        return cast(list[LinearMaps | Transforms], list(self.maps))

    def shares(self) -> list[dict[str, Tensor]]:
        """{"share": w (g, n l)} for the maps of each group; {} behind a hard boundary."""
        if self.share is None:
            return [{} for _ in self.groups]
        w = self.share()
        return [{"share": torch.stack([w[m] for m in group])} for group in self.groups]

    def _made(
        self, count: int, width: int, expanded: int, boundary: int, bias: bool
    ) -> LinearMaps | Transforms:
        """The maps of `count` modalities that are l, n l and B wide."""
        common = self.widths.common
        if self.mapping == "srht":
            return Transforms(count, width, expanded, boundary, common)
        if self.boundary == "hard":
            return Maps(count, width, expanded, boundary, common, bias, self.activation)
        start, _ = simulated_share(float(self.n), boundary, expanded, self.voltage)
        return SoftMaps(count, width, common, bias, self.activation, start)

    def _sharing(self, learn: Learn) -> FixedShare | LearnedShare:
        """What says by how much each channel is shared, at first and from then on."""
        start, charge = starting_shares(self.widths, self.n, self.voltage)
        if self.boundary == "soft":
            return FixedShare(start)
        return LearnedShare(self.widths, self.n, self.voltage, charge, learn)

    def _stacked(self, V: dict[str, Tensor]) -> list[Tensor]:
        """(g, batch, width) of (batch, width), for each group."""
        return [torch.stack([V[m] for m in group]) for group in self.groups]

    def _by_name(self, stacks: list[Tensor]) -> dict[str, Tensor]:
        """{modality: (batch, width)} of a stack (g, batch, width) for each group."""
        parts = {
            m: part
            for group, stack in zip(self.groups, stacks, strict=True)
            for m, part in zip(group, stack.unbind(), strict=True)
        }
        return {m: parts[m] for m in self.dims}

    def _reconstructed(self, fused: dict[str, Tensor]) -> list[Tensor]:
        """P_recon Z (g, batch, l) for each group."""
        stacks = self._stacked(fused)  # each (g, batch, l* + l)
        return [maps.reconstruct(Z) for maps, Z in zip(self.stacks, stacks, strict=True)]

    def _preservation(
        self, stacks: list[Tensor], recon: list[Tensor], keep: dict[str, Tensor] | None
    ) -> Tensor:
        total = None
        for maps, group, target, found in zip(self.stacks, self.groups, stacks, recon, strict=True):
            if self.gradient != "full":
                target = target.detach()
            if self.domain == "transform":
                target, found = maps.transformed(target), maps.transformed(found)
            kept = None if keep is None else torch.stack([keep[m] for m in group])  # (g, batch)
            loss = preservation(target, found, kept, metric=self.metric, reduction=self.reduction)
            total = loss if total is None else total + loss
        assert total is not None
        return total


class GMF(PMR):
    """`PMR` with the settings of the GMF paper: squared error, mean (GMF Algorithms 1-3).

    Parameters
    ----------
    dims, n, b, fill : as in `PMR`
    """

    def __init__(
        self, dims: Mapping[str, int], n: float = 4, b: Ratio = 0.5, *, fill: str = "zero"
    ):
        super().__init__(dims, n, b, metric="mse", reduction="mean", fill=fill)


def _activation(activation: str | nn.Module | None) -> nn.Module | None:
    if activation is None or isinstance(activation, nn.Module):
        return activation
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        raise ValueError(
            f"activation must be None, one of {list(ACTIVATIONS)} or a torch.nn.Module; "
            f"found {activation!r}"
        )
    return ACTIVATIONS[activation]()
