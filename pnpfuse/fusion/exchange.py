"""The cyclic exchange of shared parts, common to the trained block and its folded form."""

import torch
from torch import Tensor, nn

from pnpfuse.fusion.arguments import check_choice
from pnpfuse.fusion.presence import (
    Features,
    Presence,
    check_names,
    resolve_present,
    working_dtype,
)
from pnpfuse.fusion.widths import Widths

PAIRINGS = {"next": 1, "prev": -1}


class Exchange(nn.Module):
    """Base of the blocks in which modality m receives the shared part of its source k.

    The source is the next modality of the cycle, k = (m + 1) mod M with m from 0 (PMR Eq. 5), or
    the previous one with ``pairing="prev"``. The map that consumes k's shared part is stored
    under its receiver, ``shared.<m>``; `shared_of` gives the view from the source.

    `check_values` False leaves out the search for NaN, for a caller that has searched already.
    """

    def __init__(self, widths: Widths, pairing: str):
        super().__init__()
        self.widths = widths
        self.pairing = check_choice("pairing", pairing, PAIRINGS)
        self.check_values = True
        names = list(widths.dims)
        step = PAIRINGS[pairing]
        self._source = {m: names[(i + step) % len(names)] for i, m in enumerate(names)}
        self._receiver = {k: m for m, k in self._source.items()}
        self.shared = nn.ModuleDict()
        self.specific = nn.ModuleDict()

    @property
    def dims(self) -> dict[str, int]:
        """{modality: l_m}, in the order of the cycle."""
        return dict(self.widths.dims)

    def source_of(self, receiver: str) -> str:
        """The modality whose shared part `receiver` takes."""
        return self._source[self._known("receiver", receiver)]

    def shared_of(self, source: str) -> nn.Module:
        """The map that turns `source`'s shared part into l* features; its receiver owns it."""
        return self.shared[self._receiver[self._known("source", source)]]

    def part_widths(self, parts: str = "all") -> dict[str, int]:
        """{modality: width} of `fused` ("all"), `specific` or `shared`."""
        common, dims = self.widths.common, self.widths.dims
        check_choice("parts", parts, ("all", "specific", "shared"))
        return {
            m: (common if parts != "specific" else 0) + (width if parts != "shared" else 0)
            for m, width in dims.items()
        }

    def embed(self, features: Features, present: Presence | None = None) -> dict[str, Tensor]:
        """[own shared; own specific] of each modality, {modality: (batch, l* + l_m)}.

        `fused` holds the shared part of ANOTHER modality, so using it as a query or as an entry
        of an index leaks the paired item. Here each modality stands alone; `features` may hold
        some of the block's modalities only.
        """
        check_names("features", features, self.widths.dims)
        dims = {m: width for m, width in self.widths.dims.items() if m in features} or self.dims
        if present is not None:
            check_names("present", present, self.widths.dims)
            present = {m: present[m] for m in dims if m in present}
        V, _ = resolve_present(
            features, present, dims, dtype=working_dtype(self), check_values=self.check_values
        )
        own, specific = self.separate(V)
        return {m: torch.cat([own[m], specific[m]], dim=-1) for m in dims}  # (batch, l* + l_m)

    def separate(self, V: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Each modality's own shared part (batch, l*) and specific part (batch, l_m)."""
        raise NotImplementedError

    def _resolve(
        self, features: Features, present: Presence | None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
        return resolve_present(
            features,
            present,
            self.widths.dims,
            dtype=working_dtype(self),
            check_values=self.check_values,
        )

    def _exchange(
        self, V: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """fused (batch, l* + l_m), shared (batch, l*) and specific (batch, l_m) of all."""
        own, specific = self.separate(V)
        shared = {m: own[k] for m, k in self._source.items()}  # (batch, l*)
        fused = {m: torch.cat([shared[m], specific[m]], dim=-1) for m in V}  # (batch, l* + l_m)
        return fused, shared, specific

    def _known(self, argument: str, name: str) -> str:
        if not isinstance(name, str) or name not in self.widths.dims:
            raise ValueError(
                f"{argument} has the unknown modality {name!r}; known are {list(self.widths.dims)}"
            )
        return name
