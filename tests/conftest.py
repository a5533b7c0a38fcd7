"""Properties are tried on the same examples in every run; PNPFUSE_SEARCH=1 looks for new ones."""

import os

from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile("search" if os.environ.get("PNPFUSE_SEARCH") else "same")
