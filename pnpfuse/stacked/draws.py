"""The random draws of several trainings: as `fit` makes them, once for each distinct seed."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pnpfuse.fusion.dropout import drop_modalities
from pnpfuse.stacked.room import Room

Named = dict[str, Tensor]


class Draws:
    """Shuffles, dropped modalities and dropout of P trainings with S distinct seeds.

    Parameters
    ----------
    seeds : one for each training
    like : a tensor of the dtype and on the device of the models

    Notes
    -----
    On the CPU the numbers are those of `pnpfuse.fit`, which shuffles by a generator of its own and
    draws the rest from torch's global one, seeded alike. On a GPU the shuffles are the same;
    dropout comes from another stream there, of the same distribution.
    """

    def __init__(self, seeds: Sequence[int], like: Tensor):
        distinct = list(dict.fromkeys(seeds))
        self.points, self.seeds = len(seeds), len(distinct)
        self.shuffles = [torch.Generator().manual_seed(seed) for seed in distinct]
        self.noises = [torch.Generator(like.device).manual_seed(seed) for seed in distinct]
        whose = [distinct.index(seed) for seed in seeds]
        self.whose = torch.tensor(whose, device=like.device)  # (P,)
        self.room = Room(like)

    def order(self, count: int) -> Tensor:
        """Row numbers of an epoch, (S, count)."""
        order = [torch.randperm(count, generator=one) for one in self.shuffles]
        return torch.stack(order).to(self.whose.device)

    def gathered(self, features: Named, rows: Tensor) -> Named:
        """What each point sees of features {modality: (count, d)}, for rows (S, batch).

        {modality: (P, batch, d)}, which the next call overwrites.
        """
        found = {}
        for m, x in features.items():
            room = self.room("rows", m, rows.numel(), x.shape[1])
            chosen = torch.index_select(x, 0, rows.flatten(), out=room)
            found[m] = self.spread(chosen.view(*rows.shape, -1), m)
        return found

    def dropped(self, masks: Named | None, names: list[str], batch: int, chance: float) -> Named:
        """Masks bool (S, batch) in which some of the present modalities are dropped."""
        like, drawn = self.whose.new_empty(batch), []
        for i, generator in enumerate(self.noises):
            had = masks and {m: mask[i] for m, mask in masks.items()}
            drawn.append(drop_modalities(names, had, like, chance, generator))
        return {m: torch.stack([one[m] for one in drawn]) for m in names}

    def dropout(self, names: list[str], batch: int, width: int, chance: float) -> Named:
        """Factors 0 or 1/(1 - chance), {modality: (P, batch, width)}.

        The next call overwrites them.
        """
        noise = {m: self.room("noise", m, self.seeds, batch, width) for m in names}
        for i, generator in enumerate(self.noises):
            for one in noise.values():
                one[i].bernoulli_(1 - chance, generator=generator)
        return {m: self.spread(one.div_(1 - chance), f"noise of {m}") for m, one in noise.items()}

    def spread(self, values: Tensor, place: str | None = None) -> Tensor:
        """What each point gets of values (S, ...), (P, ...); in the room `place` if named."""
        shape = self.points, *values.shape[1:]
        if self.seeds == 1:
            return values.expand(shape)
        if self.seeds == self.points:
            return values
        room = None if place is None else self.room("points", place, *shape)
        return torch.index_select(values, 0, self.whose, out=room)
