"""Three questions to a model: do its losses fight, do its features collapse, what do they know."""

from .examination import MEASURES, diagnose
from .figures import diagnosis_figure

__all__ = ["MEASURES", "diagnose", "diagnosis_figure"]
