"""The linear maps of a block whose boundary is an interface of finite width (PMR App. A.2)."""

import numpy as np
from torch import Tensor, nn

from pnpfuse.fusion.maps import Activation, LinearMaps


class SoftMaps(LinearMaps):
    """The maps of a soft boundary: either side reads every channel, by its share of it.

    With the share w_j of channel j that is shared, and D = P_dis V as before ::

        own = P_shared (w * D),   specific = P_specific ((1 - w) * D)

    Parameters
    ----------
    count : g
    width : l
    common : l*
    bias : whether the maps have biases
    activation : applied to the dissolved features, or None
    start : w of the first step, (n l,): the spread of the initial weights depends on it
    share : gives w (g or 1, n l) when called, values in [0, 1]

    Notes
    -----
    Weights: ``dissolve`` (g, n l, l), ``shared`` (g, l*, n l), ``specific`` (g, l, n l), ``recon``
    (g, l, l* + l). P_shared and P_specific are drawn as `torch.nn.Linear` draws them for sum w^2
    and sum (1 - w)^2 inputs, which gives their outputs the spread that they have there; for a cut
    these are B and n l - B.
    """

    DISSOLVE = ("dissolve",)

    def __init__(
        self,
        count: int,
        width: int,
        common: int,
        bias: bool,
        activation: Activation | None,
        start: np.ndarray,
        share: nn.Module,
    ):
        expanded = len(start)
        shapes = {
            "dissolve": (expanded, width),
            "shared": (common, expanded),
            "specific": (width, expanded),
            "recon": (width, common + width),
        }
        fans = {"shared": float((start**2).sum()), "specific": float(((1 - start) ** 2).sum())}
        super().__init__(count, shapes, bias, activation, fans)
        self.share = share

    def weights(self) -> dict[str, Tensor]:
        """P_shared w (g, l*, n l) and P_specific (1 - w) (g, l, n l): P (w * D) = (P w) D."""
        shared, specific = self._weight("shared"), self._weight("specific")
        w = self.share().to(shared)[:, None]  # (g or 1, 1, n l)
        return {"shared": shared * w, "specific": specific * (1 - w)}
