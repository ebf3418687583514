"""Proof by fault: what is done to animatic so that it may be trusted with money. Run it with `make torture`."""

import os
from pathlib import Path

_FOLDER = str(Path(__file__).parents[1])
_paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
if _FOLDER not in _paths:  # its own processes import it too
    os.environ["PYTHONPATH"] = os.pathsep.join([_FOLDER, *filter(None, _paths)])
