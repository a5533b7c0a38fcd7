"""Fusion of modalities: the reconfiguration blocks of PMR and GMF, baselines, whole models."""

from pnpfuse.fusion.bottleneck import MBT
from pnpfuse.fusion.contrastive import CMMP
from pnpfuse.fusion.cost import table9_flops, table9_parameters
from pnpfuse.fusion.mae import GMFMAE
from pnpfuse.fusion.misa import MISA
from pnpfuse.fusion.model import FusionModel
from pnpfuse.fusion.outputs import FusionOutput, ModelOutput
from pnpfuse.fusion.perceiver import Perceiver
from pnpfuse.fusion.pmr import GMF, PMR
from pnpfuse.fusion.registry import create_model, list_models
from pnpfuse.fusion.saved import load_model, save_model

__all__ = [
    "CMMP",
    "GMF",
    "GMFMAE",
    "MBT",
    "MISA",
    "PMR",
    "FusionModel",
    "FusionOutput",
    "ModelOutput",
    "Perceiver",
    "create_model",
    "list_models",
    "load_model",
    "save_model",
    "table9_flops",
    "table9_parameters",
]
