"""What went wrong with a claim, in one line."""

from __future__ import annotations

import traceback
from pathlib import Path


def fault_said(error: BaseException) -> str:
    """Its kind, what it says and where it came up."""
    said = f"{type(error).__name__}: {' '.join(str(error).split())}"
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError) or not frames:  # the first says itself where
        return said
    return f"{said} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
