"""Blocks whose modalities can be embedded each alone."""

from torch import Tensor

from pnpfuse.fusion.block import Block
from pnpfuse.fusion.presence import (
    Features,
    Presence,
    check_names,
    resolve_present,
    working_dtype,
)


class Embedding(Block):
    """Base of the blocks in which a modality's representation needs no other modality.

    A block implements `_embed` or `_embed_all`, beside what every `Block` does.
    """

    def embed(self, features: Features, present: Presence | None = None) -> dict[str, Tensor]:
        """A representation of each modality by itself, {modality: (batch, width)}.

        No paired item enters, so it can serve as a query or as an entry of an index. `features`
        may hold some of the block's modalities only.
        """
        check_names("features", features, self.dims)
        dims = {m: width for m, width in self.dims.items() if m in features} or self.dims
        if present is not None:
            check_names("present", present, self.dims)
            present = {m: present[m] for m in dims if m in present}
        V, masks = resolve_present(
            features, present, dims, dtype=working_dtype(self), check_values=self.check_values
        )
        return self._embed_all(self.fill.put(V, masks))

    def _embed_all(self, V: dict[str, Tensor]) -> dict[str, Tensor]:
        """{modality: (batch, width)} of V {modality: (batch, l_m)}, perhaps not of all."""
        return {m: self._embed(m, v) for m, v in V.items()}

    def _embed(self, modality: str, V: Tensor) -> Tensor:
        """(batch, width) of V (batch, l_m)."""
        raise NotImplementedError
