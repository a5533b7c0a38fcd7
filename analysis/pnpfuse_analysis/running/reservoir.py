"""A random sample of bounded size from a stream of batches, and any function of it."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from pnpfuse_analysis.samples import check_count, widest

from .accumulators import Accumulator

_numbers = itertools.count()


class Buffered(Accumulator):
    """Any function of all batches, from at most `cap` of their samples drawn at random.

    Buffered(mutual_information, cap=5000, k=5) estimates the information of a whole epoch.

    Each sample that comes in is given a random key, and those with the smallest keys are kept: at
    any time a draw without replacement from all samples so far, whatever their order, and so is
    what `merge` and `sync` keep of two such draws. Memory is that of `cap` samples from the first
    batch on. Rows of several parts (two views, labels) stay together.

    Parameters
    ----------
    function : callable
        Takes the kept samples, one tensor (M, ...) for each part given to `update`, with its dtype.
    cap : int
        Samples to keep.
    generator : torch.Generator, optional
        Source of the keys. None takes one of its own, the same in every run but another in every
        process and for every buffer: the draws of a training loop are left alone.
    **options
        Further arguments of the function, such as k=5.

    Attributes
    ----------
    kept, seen : int
        Samples kept, and samples that came in. Reading them waits for an accelerator.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        cap: int = 10000,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        check_count(cap, "cap", 1)
        self.function, self.cap, self.options = function, cap, options
        self.generator = generator
        self._number, self._updates = next(_numbers), 0

    @property
    def seen(self) -> int:
        return 0 if self.state is None else int(self.state[0])

    @property
    def kept(self) -> int:
        return min(self.seen, self.cap)

    def merge(self, other: Buffered) -> None:
        """Draw from what both have seen; ValueError unless both have the same cap."""
        if other.cap != self.cap:
            raise ValueError(
                "other must have the cap of this buffer for a draw that is alike for all samples, "
                f"found {other.cap} and {self.cap}"
            )
        super().merge(other)

    def __repr__(self) -> str:
        name = getattr(self.function, "__name__", type(self.function).__name__)
        return f"Buffered({name} on {self.kept} of {self.seen} samples)"

    def _summary(self, *batch):
        if len({(part.shape[:1], part.device) for part in batch}) > 1 or not batch[0].ndim:
            raise ValueError(
                "the parts of a batch must hold the same samples on one device, found "
                + ", ".join(f"{tuple(part.shape)} on {part.device}" for part in batch)
            )
        rows, device = len(batch[0]), batch[0].device
        seen = torch.full((), rows, device=device)
        return (seen, self._keys(rows, device), *(part.detach() for part in batch))

    def _keys(self, rows, device):
        generator = self.generator
        if generator is None:
            ready = torch.distributed.is_available() and torch.distributed.is_initialized()
            rank = torch.distributed.get_rank() if ready else 0
            # A seed for each batch: nothing that a copy or a pickle could lose. On the CPU only its
            # low 32 bits count, hence the hash.
            entropy = np.random.SeedSequence((rank, self._number, self._updates))
            seed = int(entropy.generate_state(1)[0])
            generator = torch.Generator(device).manual_seed(seed)
        self._updates += 1
        keys = torch.rand(rows, generator=generator, device=generator.device, dtype=widest(device))
        return keys.to(device, non_blocking=True)

    def _take(self, found):
        seen, keys, *parts = found
        if self.state is None:
            # Slots of infinite key are free.
            free = keys.new_full((self.cap,), math.inf)
            room = (part.new_zeros((self.cap, *part.shape[1:])) for part in parts)
            self.state = (torch.zeros_like(seen), free, *room)
        total, old, *slots = self.to(keys.device).state
        if [part.shape[1:] for part in parts] != [slot.shape[1:] for slot in slots]:
            raise ValueError(
                "batches must have the shape of the first one, found samples of shape "
                f"{[tuple(part.shape[1:]) for part in parts]} after "
                f"{[tuple(slot.shape[1:]) for slot in slots]}"
            )
        if len(keys) > self.cap:
            keys, best = keys.topk(self.cap, largest=False)
            parts = [part[best] for part in parts]
        # At most as many leave as come: the pool of both gives the slots their new owners.
        worst = old.topk(len(keys)).indices
        keys, best = torch.cat((old[worst], keys)).topk(len(keys), largest=False)
        old.index_copy_(0, worst, keys)
        for slot, part in zip(slots, parts, strict=True):
            slot.index_copy_(0, worst, torch.cat((slot[worst], part.to(slot.dtype)))[best])
        self.state = (total + seen, old, *slots)

    def _value(self, state):
        _, keys, *slots = state
        there = torch.isfinite(keys)
        result = self.function(*(slot[there] for slot in slots), **self.options)
        if self.kept == self.seen or not dataclasses.is_dataclass(result):
            return result
        notes = getattr(result, "warnings", None)
        if not isinstance(notes, tuple):
            return result
        note = f"Computed on {self.kept} of {self.seen} samples, drawn at random."
        return dataclasses.replace(result, warnings=(*notes, note))
