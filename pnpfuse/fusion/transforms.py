"""The maps of a reconfiguration block as SRHTs, without parameters (PMR Appendix A, PMR-SRHT)."""

import torch
from torch import Tensor, nn

from pnpfuse.fusion.srht import SRHT

MAPS = ("dissolve", "shared", "specific")


class Transforms(nn.Module):
    """P_dis, P_shared and P_specific of g modalities that agree in every width, and the way back.

    Stands where `pnpfuse.fusion.maps.Maps` stands. With S_dis: l -> n l, S_shared: B -> l* and
    S_specific: n l - B -> l drawn for each modality ::

        D = S_dis V,   own = S_shared D[:B],   specific = S_specific D[B:]
        P_recon [shared; specific] = S_dis^T [S_shared^T shared; S_specific^T specific]

    The paper does not say what P_recon is without parameters. A further SRHT, l* + l -> l, would be
    unrelated to the others: its output has a cosine with V of 0 on average, whatever was
    preserved. The adjoint of the modality's own maps is the parameter-free way back. On average
    over the draw it gives V if the shared part received equals the modality's own; so the
    preservation loss, which has nothing here to train but what made V, asks of the encoders that
    the parts exchanged agree.

    Parameters
    ----------
    count : g
    width : l
    expanded : n l
    boundary : B
    common : l*
    """

    def __init__(self, count: int, width: int, expanded: int, boundary: int, common: int):
        super().__init__()
        self.boundary, self.common = boundary, common
        shapes = {
            "dissolve": (width, expanded),
            "shared": (boundary, common),
            "specific": (expanded - boundary, width),
        }
        for name, (inputs, outputs) in shapes.items():
            setattr(self, name, nn.ModuleList(SRHT(inputs, outputs) for _ in range(count)))

    def dissolved(self, V: Tensor) -> Tensor:
        """D (g, batch, n l) of V (g, batch, l), PMR Eq. 4."""
        return self._each("dissolve", V)

    def transformed(self, V: Tensor) -> Tensor:
        """`dissolved`: there is no bias to leave out."""
        return self.dissolved(V)

    def separate(self, V: Tensor) -> tuple[Tensor, Tensor]:
        """Own shared (g, batch, l*) and specific part (g, batch, l) of V (g, batch, l), Eq. 5."""
        D = self.dissolved(V)  # (g, batch, n l)
        own = self._each("shared", D[..., : self.boundary])
        return own, self._each("specific", D[..., self.boundary :])

    def reconstruct(self, Z: Tensor) -> Tensor:
        """P_recon Z (g, batch, l) of Z = [shared; specific] (g, batch, l* + l)."""
        first = self._each("shared", Z[..., : self.common], adjoint=True)  # (g, batch, B)
        rest = self._each("specific", Z[..., self.common :], adjoint=True)  # (g, batch, n l - B)
        return self._each("dissolve", torch.cat([first, rest], dim=-1), adjoint=True)

    @torch.no_grad()
    def folded(self) -> tuple[Tensor, None]:
        """The map V -> [own; specific] written out, (g, l* + l, l), and no bias."""
        weight = torch.cat(self.separate(self._identity(self._list("dissolve")[0].in_features)), -1)
        return weight.mT.to(torch.get_default_dtype()).contiguous(), None

    @torch.no_grad()
    def one(self, index: int) -> dict[str, tuple[Tensor, Tensor | None]]:
        """{"dissolve", "shared", "specific", "recon": (matrix, None)} of one of the modalities."""
        found: dict[str, tuple[Tensor, Tensor | None]] = {}
        for name in MAPS:
            transform = self._list(name)[index]
            found[name] = (transform(self._identity(transform.in_features)[index]).mT, None)
        width = self.common + self._list("dissolve")[index].in_features
        found["recon"] = (self.reconstruct(self._identity(width))[index].mT, None)
        return found

    def _list(self, name: str) -> list[SRHT]:
        return list(getattr(self, name))

    def _each(self, name: str, x: Tensor, adjoint: bool = False) -> Tensor:
        """Every modality's own transform of its (batch, width) in x (g, batch, width)."""
        pairs = zip(self._list(name), x.unbind(), strict=True)
        return torch.stack([module.adjoint(v) if adjoint else module(v) for module, v in pairs])

    def _identity(self, width: int) -> Tensor:
        """A unit matrix for each modality, (g, width, width)."""
        # In double precision where there is one: rounding of a folded map would stay for good.
        rows = self._list("dissolve")[0].rows
        dtype = torch.float32 if rows.device.type == "mps" else torch.float64
        return torch.eye(width, dtype=dtype, device=rows.device).expand(
            len(self._list("dissolve")), width, width
        )
