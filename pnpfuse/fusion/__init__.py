"""Fusion of modalities: the reconfiguration blocks of PMR and GMF, baselines, whole models."""

from pnpfuse.fusion.cost import table9_flops, table9_parameters
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.outputs import FusionOutput, ModelOutput
from pnpfuse.fusion.pmr import GMF, PMR
from pnpfuse.fusion.registry import create_model, list_models

__all__ = [
    "GMF",
    "PMR",
    "FusionModel",
    "FusionOutput",
    "ModelOutput",
    "create_model",
    "list_models",
    "table9_flops",
    "table9_parameters",
]
