"""Run all scenarios, or those that are named, as PID 1 of new namespaces: see test_runtime.py.

python -m tests.labcluster.node.runtime_scenarios RESULTS [NAME ...]
"""

import asyncio
import json
import os
import sys
import tempfile
import traceback
from pathlib import Path

from labcluster.node.runtime import Runtime
from tests.labcluster.node.runtime_scenarios import SCENARIOS
from tests.labcluster.node.runtime_scenarios.lab import Lab, children


async def main(results: str, names: list[str]) -> None:
    runtime = Runtime()
    await runtime.start()
    with open(results, "w") as out:
        for name in names or SCENARIOS:
            with tempfile.TemporaryDirectory() as scratch:
                lab = Lab(runtime, Path(scratch))
                error = ""
                try:
                    await asyncio.wait_for(SCENARIOS[name](lab), 20)
                except Exception:
                    error = traceback.format_exc()
                try:
                    await asyncio.wait_for(lab.clean(), 5)
                except Exception:
                    error += "\nin cleaning up: " + traceback.format_exc()
                if left := children():
                    error += f"\nprocesses are left: {left}"
                out.write(json.dumps([name, error]) + "\n")
                out.flush()
    await runtime.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
    os._exit(0)
