"""What a fusion block and a whole model hand back."""

from dataclasses import dataclass, field

from torch import Tensor
from torch.export import register_dataclass


@dataclass(frozen=True)
class FusionOutput:
    """The result of a fusion block, every dict in the order of the block's modalities.

    Attributes
    ----------
    fused : {modality: (batch, l* + l_m)}, [shared; specific]; a block that fuses into one
        representation has the single entry "joint"
    shared : {modality: (batch, l*)}, the part that came from the modality's source
    specific : {modality: (batch, l_m)}
    reconstruction : {modality: (batch, l_m)}, the features recovered from `fused`
    losses : {name: scalar}, not weighted
    present : {modality: bool (batch,)}, every modality named; empty if nothing was absent
    features : {modality: (batch, l_m)}, what the block was given, the fill where absent
    refined : {modality: (batch, width)}, what a modality brings to a "joint" representation

    A block that lacks one of these leaves the dict empty.
    """

    fused: dict[str, Tensor]
    shared: dict[str, Tensor] = field(default_factory=dict)
    specific: dict[str, Tensor] = field(default_factory=dict)
    reconstruction: dict[str, Tensor] = field(default_factory=dict)
    losses: dict[str, Tensor] = field(default_factory=dict)
    present: dict[str, Tensor] = field(default_factory=dict)
    features: dict[str, Tensor] = field(default_factory=dict)
    refined: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelOutput:
    """The result of a model.

    Attributes
    ----------
    logits : (batch, classes)
    losses : {name: scalar}, the auxiliary losses, not weighted; the task loss is not among them
    fusion : what the fusion block handed back, None for a model without one
    """

    logits: Tensor
    losses: dict[str, Tensor]
    fusion: FusionOutput | None


# What torch.export hands back must be known to it; an exported program is saved with these names.
register_dataclass(FusionOutput, serialized_type_name="pnpfuse.FusionOutput")
register_dataclass(ModelOutput, serialized_type_name="pnpfuse.ModelOutput")
