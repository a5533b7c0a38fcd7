"""What cannot be trained in a stack, and why."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from pnpfuse.distributed import world
from pnpfuse.fusion.heads import ConcatHead
from pnpfuse.fusion.model import FusionModel, check_model
from pnpfuse.fusion.pmr import GMF, PMR

# What a setting must be, and what stands against another value.
ONLY: dict[str, tuple[Any, str]] = {
    "weighting": ("fixed", "sums the losses of one model"),
    "validation": (0.0, "looks at each training by itself"),
    "patience": (None, "ends each training by itself"),
    "precision": ("float32", "is not stacked"),
    "checkpoint": (None, "holds one training"),
}
ZERO_AT_ZERO = (nn.GELU, nn.ReLU, nn.SiLU, nn.Tanh)  # what padding with zeros relies on


def obstacle(model: FusionModel, settings: Mapping[str, Any] | None = None) -> str:
    """Why `fit_stacked` cannot train `model` with `settings`; "" if it can.

    Parameters
    ----------
    model : as `create_model` makes it
    settings : arguments of `pnpfuse.fit` other than views, epochs and seed
    """
    check_model(model)
    settings = {} if settings is None else settings
    return _of_model(model) or _of_settings(settings)


def _of_model(model: FusionModel) -> str:
    if model.bridge is not None:
        return f"{model.name!r} has critics beside its block, which are not stacked"
    block = model.block
    if type(block) not in (PMR, GMF) or type(model.head) is not ConcatHead:
        return f"{model.name!r} is no reconfiguration block with a linear classifier"
    assert isinstance(block, PMR)
    if block.mapping != "linear":
        return f"mapping={block.mapping!r} has no maps to stack"
    if block.experts is not None:
        return f"experts={block.experts!r} are not stacked"
    if getattr(block, "boundary", "hard") != "hard":
        return f"boundary={block.boundary!r} is not stacked"
    if block.fill.kind != "zero":
        return f"fill={block.fill.kind!r} is not stacked"
    if block.activation is not None and not isinstance(block.activation, ZERO_AT_ZERO):
        return f"activation {block.activation} may not be 0 at 0, as padding needs it"
    if not all(weight.requires_grad for weight in model.parameters()):
        return "some of its weights are frozen"
    return ""


def _of_settings(settings: Mapping[str, Any]) -> str:
    for name, (only, why) in ONLY.items():
        value = settings.get(name, only)
        if value is not only and value != only:
            return f"{name}={value!r} {why}"
    if settings.get("schedule") == "plateau":
        return "schedule='plateau' looks at each training by itself"
    if world() > 1:
        return "a process group trains one model together"
    return ""
