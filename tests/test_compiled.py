"""Compiled code is kept where it can be, and made anew where it cannot."""

import subprocess
import sys


def test_without_a_place_for_the_cache():
    """An installation that cannot be written, in a container without a home folder."""
    code = (
        "import numba.core.caching as caching\n"
        "for name in ('CacheImpl', '_CacheImpl', 'CompileResultCacheImpl'):\n"
        "    if hasattr(caching, name):\n"
        "        getattr(caching, name)._locator_classes = []\n"
        "from pnpfuse_solvers.compiled import jit\n"
        "twice = jit(error_model='numpy')(lambda x: 2.0 * x)\n"
        "print(twice(1.5))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "3.0\n"
