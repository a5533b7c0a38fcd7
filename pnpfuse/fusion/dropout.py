"""Modality dropout: training on samples that lack modalities."""

import torch
from torch import Tensor

from pnpfuse.fusion.presence import Presence


def drop_modalities(
    names: list[str],
    present: Presence | None,
    like: Tensor,
    probability: float,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Masks {modality: bool (batch,)} in which present modalities are dropped at random.

    Parameters
    ----------
    names : the modalities
    present : {modality: bool (batch,)} before dropping, or None for all
    like : any tensor (batch, ...), for the batch size and the device
    probability : with which each present modality of each sample is dropped, independently; of a
        sample that would lose all its modalities, one is kept, each with the same chance
    generator : on the device of `like`; None, torch's own
    """
    draws = torch.rand(
        like.shape[0], len(names), device=like.device, generator=generator
    )  # (batch, M)
    if present is not None:
        everyone = torch.ones(like.shape[0], dtype=torch.bool, device=like.device)
        masks = torch.stack([present.get(m, everyone) for m in names], dim=1)  # (batch, M)
        draws = torch.where(masks, draws, -1.0)
    # The largest draw is kept always: it would be anyway, unless all were to be dropped.
    kept = (draws >= probability) | (draws == draws.amax(1, keepdim=True))  # (batch, M)
    if present is not None:
        kept = kept & masks
    return dict(zip(names, kept.unbind(1), strict=True))
