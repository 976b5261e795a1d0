"""What scae promises, measured: ``make trust`` prints every figure at full size, ``.ci/run`` a reduced one."""

import sys
from pathlib import Path

_TESTS = Path(__file__).parents[1]
sys.path[:0] = [path for path in (str(_TESTS), str(_TESTS / "pp")) if path not in sys.path]  # as pytest has them
