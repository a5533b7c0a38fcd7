"""The linear maps of a block whose boundary is an interface of finite width (PMR App. A.2)."""

import numpy as np
from torch import Tensor

from pnpfuse.fusion.maps import Activation, LinearMaps


class SoftMaps(LinearMaps):
    """The maps of a soft boundary: either side reads every channel, by its share of it.

    Channel j of D = P_dis V counts with w_j for the shared side, 1 - w_j for the specific one ::

        own = P_shared (w * D),   specific = P_specific ((1 - w) * D)

    Parameters
    ----------
    count : g
    width : l
    common : l*
    bias : whether the maps have biases
    activation : applied to the dissolved features, or None
    start : w of the first step, (n l,), on which the spread of the initial weights depends

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

    def weights(self, share: Tensor | None) -> dict[str, Tensor]:
        """P_shared w (g, l*, n l) and P_specific (1 - w) (g, l, n l): P (w * D) = (P w) D."""
        assert share is not None
        w = share.to(self.recon.dtype)[:, None]  # (g, 1, n l)
        return {
            "shared": self._weight("shared") * w,
            "specific": self._weight("specific") * (1 - w),
        }
