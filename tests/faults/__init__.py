"""Kill processes of a running cluster at random moments, and look at what is left: `python -m tests.faults`."""

import sys
from pathlib import Path

_TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(_TESTS), str(_TESTS / "cluster")]  # as pytest finds their helpers
