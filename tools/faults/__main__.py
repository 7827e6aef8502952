"""Kill each kind of process in turn, at random moments under a changing load, and look at what is left.

    python -m tools.faults [ROUNDS] [SEED] [--only daemon,start,...]

Not a part of `make test`: 30 rounds take some minutes. Each round kills one process (victims.py says what must hold
for that kind), and then the load has to settle into what was last asked for. What is checked each time:

- all processes that belonged to the killed one have ended, and nobody lives in their namespaces;
- what the API had accepted is there, with the same uid, once; what it had deleted is not;
- each pod of the set has its own name, uid, address and claim; each claim has the volume that it had;
- the number that each database had acknowledged and saved is in it;
- there is no process, link, mount or directory but those of the pods that run (remains.py).
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

from tests.running_lab import RunningLab
from tools.faults import remains, victims
from tools.faults.load import Load


def main() -> None:
    """Run the rounds. Raises AssertionError at the first that goes wrong, whose number has been printed."""
    parser = argparse.ArgumentParser(prog="python -m tools.faults", description=__doc__.partition("\n")[0])
    parser.add_argument("rounds", type=int, nargs="?", default=30)
    parser.add_argument("seed", type=int, nargs="?", default=1)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(victims.KINDS), metavar="KIND[,KIND]")
    options = parser.parse_args()
    if unknown := set(options.only) - set(victims.KINDS):
        parser.error(f"--only {','.join(sorted(unknown))}: there are {', '.join(victims.KINDS)}")
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="faults-") as directory:
        lab = RunningLab(Path(directory) / "state")
        lab.up()
        load = Load(lab, random.Random(options.seed + 1))
        try:
            load.begin()
            load.check()
            for number in range(1, options.rounds + 1):
                kind = options.only[(number - 1) % len(options.only)]
                print(f"round {number} of {options.rounds}, {kind}: ", end="", flush=True)
                started = time.monotonic()
                victims.KINDS[kind](lab, load, chance)
                load.check()
                remains.check(lab)
                print(f"ok, {time.monotonic() - started:.1f} s", flush=True)
        except BaseException:
            print(f"\nThe end of its log:\n{(lab.state / 'daemon.log').read_text()[-3000:]}")
            raise
        finally:
            lab.down()


if __name__ == "__main__":
    main()
