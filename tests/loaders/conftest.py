"""Settings that hold for the tests of loaders: no network, and where the examples find seedbed."""

import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# The command `seedbed` and `torchrun` of this environment, as the examples call them.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
