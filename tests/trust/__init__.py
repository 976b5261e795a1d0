"""What scae promises, measured: ``make trust`` prints every figure at full size, ``.ci/run`` a reduced one."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # for helpers
