"""Parameters and operations of a real reconfiguration block, counted map by map."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode

from pnpfuse.fusion import PMR
from pnpfuse.ledger.claim import Found

# The widths that PMR and GMF give for ActivityNet, VGGSound and Food-101, and one of three.
WIDTHS = ((512, 512), (128, 128), (4096, 128), (2048, 768), (64, 40, 16))


def meta_block(widths: Sequence[int]) -> PMR:
    """A block with n = 4, b = 1/2 that has shapes and no numbers: 119 million cost memory."""
    with torch.device("meta"):
        return PMR({f"m{i}": width for i, width in enumerate(widths)}).eval()


def counted(widths: Sequence[int]) -> dict[str, int]:
    """What the block of these widths has: weights, biases, and inputs and products of its maps.

    "inputs" is how many biases there would be if P_shared and P_specific had one for each input;
    "products" is what torch counts of one sample's forward pass.
    """
    block = meta_block(widths)
    named = dict(block.named_parameters())
    biases = {name: p.numel() for name, p in named.items() if name.endswith("_bias")}
    weights = {name: p for name, p in named.items() if name not in biases}
    by_input = {"shared", "specific"}
    inputs = {
        name: weight.shape[0] * weight.shape[2 if name.rpartition(".")[2] in by_input else 1]
        for name, weight in weights.items()
        if f"{name}_bias" in biases
    }
    features = {m: torch.empty(1, width, device="meta") for m, width in block.dims.items()}
    with FlopCounterMode(display=False) as counter:
        block(features)
    return {
        "weights": sum(weight.numel() for weight in weights.values()),
        "biases": sum(biases.values()),
        "inputs": sum(inputs.values()),
        "products": counter.get_total_flops(),
    }


def beside_printed(printed: Callable[[Sequence[int]], int], what: str) -> Found:
    """A printed formula of the widths beside `counted`'s "weights" or "products" and the biases."""
    real = [counted(widths) for widths in WIDTHS]
    return {
        "widths": [list(widths) for widths in WIDTHS],
        "printed": [printed(widths) for widths in WIDTHS],
        "counted": [one[what] + one["biases"] for one in real],
        "with a bias an input": [one[what] + one["inputs"] for one in real],
    }


def say_counts(found: Found) -> str:
    """Both counts."""
    rows = zip(found["widths"], found["printed"], found["counted"], strict=True)
    return "; ".join(
        f"{' and '.join(map(str, widths))}: printed {printed:,}, counted {real:,}"
        for widths, printed, real in rows
    )
