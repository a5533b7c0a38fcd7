"""What any fusion method has to be compared with."""

from collections.abc import Mapping

from torch import Tensor, nn

from pnpfuse.fusion.arguments import check_choice
from pnpfuse.fusion.outputs import FusionOutput
from pnpfuse.fusion.presence import Features, Presence, resolve_present
from pnpfuse.fusion.widths import check_dims


class Concat(nn.Module):
    """No fusion: the features as they are, absent ones zero. Has no parameters.

    Parameters
    ----------
    dims : {modality: l_m}, one or more
    """

    def __init__(self, dims: Mapping[str, int]):
        super().__init__()
        self.dims = check_dims(dims)
        self.check_values = True

    def part_widths(self, parts: str = "all") -> dict[str, int]:
        """{modality: l_m}; there is no part but "all"."""
        check_choice("parts", parts, ["all"])
        return dict(self.dims)

    def forward(self, features: Features, present: Presence | None = None) -> FusionOutput:
        """`fused` is V itself, {modality: (batch, l_m)}; the other fields are empty.

        Parameters
        ----------
        features : {modality: (batch, l_m)}
        present : {modality: bool (batch,)} or None
        """
        V: dict[str, Tensor]
        V, _ = resolve_present(features, present, self.dims, check_values=self.check_values)
        return FusionOutput(fused=V)

    def extra_repr(self) -> str:
        return f"dims={self.dims}"
