"""GMF with an autoencoder: the boundary lies in the latent itself, no linear map is added."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pnpfuse.fusion.arguments import check_probability
from pnpfuse.fusion.encoders import HIDDEN
from pnpfuse.fusion.exchange import Exchange, Pairing
from pnpfuse.fusion.outputs import FusionOutput
from pnpfuse.fusion.presence import Features, Presence, resolve_present
from pnpfuse.fusion.preservation import preservation
from pnpfuse.fusion.widths import Ratio, check_dims, split_widths


class GMFMAE(Exchange):
    """GMF-MAE (GMF App. I): own specific and another modality's shared latent are decoded.

    The latent V_m is cut at B_m = floor(b l_m), kept within 1 and l_m - 1, into [shared;
    specific]. With source k = (m + 1) mod M ::

        fused_m = [V_k[:B_k]; V_m[B_m:]]                (batch, B_k + l_m - B_m)
        recon_m = Linear - ReLU - Linear of fused_m     (batch, d_m)

    Parameters
    ----------
    dims : {modality: l_m}, two or more, each at least 2; the order is the cycle
    b : boundary as a ratio of l_m, in (0, 1); one number, or {modality: ratio}
    masking : share of the input features that are hidden from the encoder in training: set to 0 at
        random, which is their training mean behind a standardisation; all are to be reconstructed
    inputs : {modality: d_m}, widths of the encoders' inputs, which are reconstructed; None, the
        latents themselves are
    pairing : "next", "prev" or {receiver: source}
    fill : what stands for an absent V, see `pnpfuse.fusion.fill.Fill`

    Notes
    -----
    ``losses`` has "reconstruction", the autoencoder's own: the mean squared error over features
    and samples, summed over the modalities. As in `PMR`, the terms of an absent modality and of
    the one that receives its shared part are dropped. `embed` gives V itself.
    """

    wants_inputs = True

    def __init__(
        self,
        dims: Mapping[str, int],
        b: Ratio = 0.5,
        *,
        masking: float = 0.3,
        inputs: Mapping[str, int] | None = None,
        pairing: Pairing = "next",
        fill: str = "zero",
    ):
        narrow = [m for m, width in check_dims(dims).items() if width < 2]
        if narrow:
            raise ValueError(
                f"dims[{narrow[0]!r}] is 1; a latent needs a width of at least 2, one for each "
                "part: give the encoders a larger width"
            )
        super().__init__(split_widths(dims, 1, b), pairing, fill)
        self.b = dict(b) if isinstance(b, Mapping) else b
        self.masking = check_probability("masking", masking)
        self.inputs = self.dims if inputs is None else check_dims(inputs)
        if set(self.inputs) != set(self.dims):
            raise ValueError(f"inputs names {list(self.inputs)}; give one for each of {list(dims)}")
        self.decode = nn.ModuleDict(
            {
                m: nn.Sequential(
                    nn.Linear(width, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, self.inputs[m])
                )
                for m, width in self.part_widths().items()
            }
        )

    def forward(
        self,
        features: Features,
        present: Presence | None = None,
        target: Mapping[str, Tensor] | None = None,
    ) -> FusionOutput:
        """Fuse a batch; as `Block.forward`, with what is to be reconstructed.

        target : {modality: (batch, d_m)}; None, the latents, if they are as wide as the inputs,
            else there is no loss
        """
        V, masks = self._resolved(features, present)
        if target is None and self.inputs == self.dims:
            target = V
        fused, shared, specific, _ = self._exchanged(V, masks)
        recon = {m: self.decode[m](z) for m, z in fused.items()}  # (batch, d_m)
        losses = {}
        if target is not None:
            wanted, _ = resolve_present(target, present, self.inputs, check_values=False)
            terms = [self._error(m, wanted[m], recon[m], masks) for m in V]
            losses["reconstruction"] = torch.stack(terms).sum()
        return FusionOutput(fused, shared, specific, recon, losses, masks or {})

    def hide(self, X: dict[str, Tensor]) -> dict[str, Tensor]:
        """In training, X {modality: (batch, d_m)} with features set to 0 at random."""
        if not self.training or self.masking == 0:
            return X
        return {m: x.masked_fill(torch.rand_like(x) < self.masking, 0.0) for m, x in X.items()}

    def part_widths(self, parts: str = "all") -> dict[str, int]:
        """{modality: width} of `fused` ("all"), `specific` or `shared`."""
        own = self.widths.boundary
        return {
            m: (own[self._source[m]] if parts != "specific" else 0)
            + (self.dims[m] - own[m] if parts != "shared" else 0)
            for m in super().part_widths(parts)
        }

    def dissociate(self, V: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Each modality's own shared part (batch, B_m) and specific part (batch, l_m - B_m)."""
        own = self.widths.boundary
        return {m: v[:, : own[m]] for m, v in V.items()}, {m: v[:, own[m] :] for m, v in V.items()}

    def _error(
        self, m: str, target: Tensor, found: Tensor, masks: dict[str, Tensor] | None
    ) -> Tensor:
        keep = None if masks is None else (masks[m] & masks[self._source[m]])[None]  # (1, batch)
        # The input is given, even if it is somebody's V: it must not move to be easy to rebuild.
        return preservation(
            target.detach()[None], found[None], keep, metric="mse", reduction="mean"
        )

    def extra_repr(self) -> str:
        return f"dims={self.dims}, b={self.b}, masking={self.masking}, pairing={self.pairing!r}"
