"""The cyclic exchange of shared parts, common to the blocks that dissolve and reconfigure."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pnpfuse.fusion.arguments import check_choice
from pnpfuse.fusion.embedding import Embedding
from pnpfuse.fusion.experts import MixtureOfExperts
from pnpfuse.fusion.widths import Widths

PAIRINGS = {"next": 1, "prev": -1}
Pairing = str | Mapping[str, str]


class Exchange(Embedding):
    """Base of the blocks in which modality m receives the shared part of its source k.

    The source is the next modality of the cycle, k = (m + 1) mod M with m from 0 (PMR Eq. 5), or
    the previous one with ``pairing="prev"``, or what a mapping {receiver: source} says that is a
    permutation without a modality as its own source. A block implements `dissociate`. With a
    `mixture` of experts, every shared part passes through it.

    `embed` gives [own shared; own specific] of each modality, (batch, l* + l_m): `fused` holds the
    shared part of ANOTHER modality, and as a query or as an entry of an index would leak the
    paired item.
    """

    mixture: MixtureOfExperts | None

    def __init__(self, widths: Widths, pairing: Pairing, fill: str = "zero"):
        super().__init__(widths.dims, fill, at_least=2)
        self.widths = widths
        self._source = _sources(pairing, list(widths.dims))
        self.pairing = dict(pairing) if isinstance(pairing, Mapping) else pairing
        self.mixture = None

    def source_of(self, receiver: str) -> str:
        """The modality whose shared part `receiver` takes."""
        return self._source[self._known("receiver", receiver)]

    def part_widths(self, parts: str = "all") -> dict[str, int]:
        """{modality: width} of `fused` ("all"), `specific` or `shared`."""
        common, dims = self.widths.common, self.widths.dims
        check_choice("parts", parts, ("all", "specific", "shared"))
        return {
            m: (common if parts != "specific" else 0) + (width if parts != "shared" else 0)
            for m, width in dims.items()
        }

    def dissociate(self, V: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Each modality's shared (batch, l*) and specific part (batch, l_m), before any experts."""
        raise NotImplementedError

    def separate(
        self, V: dict[str, Tensor], masks: dict[str, Tensor] | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """Each modality's own shared (batch, l*) and specific part (batch, l_m), and losses."""
        own, specific = self.dissociate(V)
        if self.mixture is None:
            return own, specific, {}
        present = None if masks is None else torch.stack(list(masks.values()))  # (M, batch)
        mixed, losses = self.mixture(torch.stack(list(own.values())), present)  # (M, batch, l*)
        return dict(zip(own, mixed.unbind(), strict=True)), specific, losses

    def _exchanged(
        self, V: dict[str, Tensor], masks: dict[str, Tensor] | None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """fused (batch, l* + l_m), shared (batch, l*) and specific (batch, l_m), and losses."""
        own, specific, losses = self.separate(V, masks)
        shared = {m: own[self._source[m]] for m in V}
        fused = {m: torch.cat([shared[m], specific[m]], dim=-1) for m in V}
        return fused, shared, specific, losses

    def _embed_all(self, V: dict[str, Tensor]) -> dict[str, Tensor]:
        """[own shared; own specific], {modality: (batch, l* + l_m)}."""
        given = next(iter(V.values()))
        # The others' columns are computed too and left out: one path, and no modality sees them.
        rows = {
            m: V[m] if m in V else given.new_zeros(given.shape[0], width)
            for m, width in self.dims.items()
        }
        own, specific, _ = self.separate(rows)
        return {m: torch.cat([own[m], specific[m]], dim=-1) for m in V}

    def _known(self, argument: str, name: str) -> str:
        if not isinstance(name, str) or name not in self.dims:
            raise ValueError(
                f"{argument} has the unknown modality {name!r}; known are {list(self.dims)}"
            )
        return name


def _sources(pairing: Pairing, names: list[str]) -> dict[str, str]:
    """{receiver: source} for `names` in the order of the cycle."""
    if not isinstance(pairing, Mapping):
        step = PAIRINGS[check_choice("pairing", pairing, PAIRINGS)]
        return {m: names[(i + step) % len(names)] for i, m in enumerate(names)}
    sources = {m: pairing.get(m) for m in names}
    complete = set(pairing) == set(names) == set(sources.values())
    if not complete or any(m == k for m, k in sources.items()):
        raise ValueError(
            f"pairing must be 'next', 'prev' or {{receiver: source}}, a permutation of {names} "
            f"without a modality as its own source; found {dict(pairing)!r}"
        )
    return {m: pairing[m] for m in names}
