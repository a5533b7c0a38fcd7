"""The random draws of several trainings: as `fit` makes them, once for each distinct seed."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pnpfuse.fusion.dropout import drop_modalities

Masks = dict[str, Tensor]


class Draws:
    """Shuffles, dropped modalities and dropout of P trainings.

    Parameters
    ----------
    seeds : one for each training
    device : where dropout is drawn

    Notes
    -----
    On the CPU the numbers are those of `pnpfuse.fit`, which shuffles by a generator of its own and
    draws the rest from torch's global one, seeded alike. On a GPU the shuffles are the same;
    dropout comes from another stream there, of the same distribution.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device):
        self.distinct = list(dict.fromkeys(seeds))
        self.shuffles = [torch.Generator().manual_seed(seed) for seed in self.distinct]
        self.noises = [torch.Generator(device).manual_seed(seed) for seed in self.distinct]
        whose = [self.distinct.index(seed) for seed in seeds]
        self.points = len(seeds)
        self.whose = torch.tensor(whose, device=device)  # (P,)

    def order(self, count: int) -> Tensor:
        """Row numbers of an epoch, (seeds, count)."""
        order = [torch.randperm(count, generator=one) for one in self.shuffles]
        return torch.stack(order).to(self.whose.device)

    def dropped(
        self, present: Masks | None, batch: int, names: list[str], probability: float
    ) -> Masks:
        """Masks bool (seeds, batch) in which some of the present modalities are dropped."""
        like = self.whose.new_empty(batch)
        drawn = []
        for i, generator in enumerate(self.noises):
            had = present and {m: mask[i] for m, mask in present.items()}
            drawn.append(drop_modalities(names, had, like, probability, generator))
        return {m: torch.stack([masks[m] for masks in drawn]) for m in names}

    def dropout(self, like: Tensor, names: list[str], probability: float) -> dict[str, Tensor]:
        """Factors (seeds, batch, width) like `like` (seeds, batch, width), 0 or 1/(1 - p)."""
        noise = {m: torch.empty_like(like) for m in names}
        for i, generator in enumerate(self.noises):
            for one in noise.values():
                one[i].bernoulli_(1 - probability, generator=generator)
        return {m: one.div_(1 - probability) for m, one in noise.items()}

    def spread(self, values: Tensor) -> Tensor:
        """What each point gets of values (seeds, ...), (P, ...)."""
        if len(self.distinct) == 1:
            return values.expand(self.points, *values.shape[1:])
        if len(self.distinct) == self.points:
            return values
        return values.index_select(0, self.whose)

    def spread_all(self, values: dict[str, Tensor] | None) -> dict[str, Tensor] | None:
        """The same of each of several."""
        return values and {name: self.spread(one) for name, one in values.items()}
