"""The scripts of benchmarks/ and tools/ as modules, without the flags that they define: several of them share names."""

import importlib

import pytest
from absl import flags

from made import ROOT


def module(name):
    """Imports a script by its name."""
    before = {*flags.FLAGS}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        patch.syspath_prepend(str(ROOT / "tools"))
        found = importlib.import_module(name)
    for flag in {*flags.FLAGS} - before:
        delattr(flags.FLAGS, flag)
    return found
