"""Tensors that are made once and written to again and again."""

import math

from torch import Tensor


class Room:
    """Room for intermediate results, by name; what stood there before is overwritten.

    Parameters
    ----------
    like : a tensor of the dtype and on the device wanted
    """

    def __init__(self, like: Tensor):
        self.like = like.detach()
        self.held: dict[tuple[str, str], Tensor] = {}
        self.views: dict[tuple, Tensor] = {}

    def __call__(self, name: str, modality: str, *shape: int) -> Tensor:
        """An uninitialised tensor of `shape`; a smaller one lies in the same memory."""
        key = (name, modality, *shape)
        if key not in self.views:
            count, place = math.prod(shape), (name, modality)
            if place not in self.held or self.held[place].numel() < count:
                self.held[place] = self.like.new_empty(count)
                self.views = {k: v for k, v in self.views.items() if k[:2] != place}
            self.views[key] = self.held[place][:count].view(shape)
        return self.views[key]
