"""A random sample of bounded size from a stream of batches, and any function of it."""

from __future__ import annotations

import dataclasses
import itertools
import math
import multiprocessing
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from pnpfuse_analysis.samples import check_count, widest

from .accumulators import Accumulator
from .options import check_function

_numbers = itertools.count(1)
_loaded_in = os.getpid()


class Buffered(Accumulator):
    """Any function of all batches, from at most `cap` of their samples drawn at random.

    Buffered(mutual_information, cap=5000, k=5) estimates the information of a whole epoch.

    Each sample that comes in is given a random key, and those with the smallest keys are kept: at
    any time a draw without replacement from all samples so far, whatever their order, and so is
    what `merge` and `sync` keep of two such draws. Memory is that of `cap` samples from the first
    batch on. Rows of several parts (two views, labels) stay together. Batches of another dtype than
    the first widen what is kept, to float64 where whole numbers meet real ones.

    Parameters
    ----------
    function : callable
        Takes the kept samples, one tensor (M, ...) for each part given to `update`, with its dtype
        if that was always the same.
    cap : int
        Samples to keep.
    generator : torch.Generator, optional
        Gives one number, which the keys are made from. None takes another for every buffer: the
        draws of a training loop are left alone. Keys are the same in every run, but others in every
        rank, every copy and every process of a pool (there not the same in every run). Programs
        started apart draw the same ones: give them generators of different seeds if the buffers
        they save will be merged.
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
        check_function(function)
        check_count(cap, "cap", 1)
        if not isinstance(generator, torch.Generator | None):
            raise ValueError(f"generator must be a torch.Generator or None, found {generator!r}")
        self.function, self.cap, self.options = function, cap, options
        self._updates = 0
        if generator is None:
            self._origin = 0, next(_numbers)
        else:
            drawn = torch.randint(2**31, (), generator=generator, device=generator.device)
            self._origin = 1 + int(drawn), 0

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Fill a copy or what was pickled: with keys to come and slots of its own."""
        vars(self).update(state)
        self._origin = self._origin[0], next(_numbers)
        if self.state is not None:
            self.state = tuple(part.clone() for part in self.state)

    @property
    def seen(self) -> int:
        return 0 if self.state is None else int(self.state[0])

    @property
    def kept(self) -> int:
        return min(self.seen, self.cap)

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
        shared = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank = torch.distributed.get_rank() if shared else 0
        # Forked, or started as a worker: its buffers may have the numbers of another's.
        worker = multiprocessing.parent_process() is not None and not shared
        process = os.getpid() if worker or os.getpid() != _loaded_in else 0
        # On the CPU only the low 32 bits of a seed count, hence the hash.
        entropy = np.random.SeedSequence((rank, process, *self._origin, self._updates))
        self._updates += 1
        generator = torch.Generator(device).manual_seed(int(entropy.generate_state(1)[0]))
        return torch.rand(rows, generator=generator, device=device, dtype=widest(device))

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
        slots = [_wider(slot, part.dtype) for slot, part in zip(slots, parts, strict=True)]
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


def _wider(slot, dtype):
    """A slot that can hold its own dtype and another."""
    if slot.dtype == dtype:
        return slot
    both = torch.promote_types(slot.dtype, dtype)
    # To torch, half precision is wide enough for whole numbers.
    mixed = slot.is_floating_point() != dtype.is_floating_point and both.is_floating_point
    return slot.to(widest(slot.device) if mixed else both)
