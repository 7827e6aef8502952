"""`python -m tools.bench [--only startup,dns] [--kubeconfig FILE] [--runs 5]` prints a table and writes bench.json."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import kubernetes
import yaml

from tests.running_lab import RunningLab
from tools.bench import api, memory, names, nodeport, notebooks, scale, startup, workloads
from tools.bench.cluster import Cluster
from tools.bench.figures import Failure, Figure, Row, table

ROOT = Path(__file__).resolve().parents[2]
PROCESSORS = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Group:
    """Measurements that belong together."""

    name: str
    measure: Callable[[Cluster, int], Iterator[Figure | Failure]]
    anywhere: bool = False  # whether it makes sense on a cluster that is not ours


GROUPS = (
    Group("startup", startup.measure),
    Group("workloads", workloads.measure, anywhere=True),
    Group("api", api.measure, anywhere=True),
    Group("dns", names.measure),
    Group("nodeport", nodeport.measure, anywhere=True),
    Group("memory", memory.measure),
    Group("scale", scale.measure),
    Group("notebooks", notebooks.measure),
)


@dataclass
class Results:
    """What has been measured so far, and what could not be."""

    rows: list[Row] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def measure(self, group: Group, embedded: Cluster, given: Cluster | None, runs: int) -> None:
        """Measure one group, on the given cluster too where that makes sense."""
        mine = self._collect(group, "embedded", embedded, runs)
        theirs = self._collect(group, "given", given, runs) if given and group.anywhere else []
        counterparts = {figure.name: figure for figure in theirs}
        self.rows += [Row(group.name, figure, counterparts.get(figure.name)) for figure in mine]

    def _collect(self, group: Group, which: str, cluster: Cluster, runs: int) -> list[Figure]:
        figures = []
        for found in _to_the_end(group, cluster, runs):
            told = f"{found} on the {which} cluster" if which != "embedded" else str(found)
            if isinstance(found, Figure):
                print(f"  {told}", flush=True)
                figures.append(found)
            else:
                print(f"  failed: {told}", flush=True)
                self.failures.append(told)
        return figures


def _to_the_end(group: Group, cluster: Cluster, runs: int) -> Iterator[Figure | Failure]:
    """What a group measures; an error that ends it becomes its last result."""
    try:
        yield from group.measure(cluster, runs)
    except Exception as error:  # whatever it was: the other groups go on
        yield Failure(group.name, error)


def main(arguments: Sequence[str]) -> int:
    """Measure what was asked for; returns 0 when everything could be measured."""
    options = _options(arguments)
    groups = [g for g in GROUPS if not options.only or g.name in options.only]
    results = Results()
    load = os.getloadavg()[0]
    if load > PROCESSORS / 2:
        print(f"This machine is busy (load {load:.1f} on {PROCESSORS} processors): the figures will be worse for it.")
    try:
        given = Cluster(options.kubeconfig) if options.kubeconfig else None
    except (kubernetes.config.ConfigException, yaml.YAMLError) as error:
        print(f"{options.kubeconfig} is not a kubeconfig that can be used: {error}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        lab = RunningLab(Path(place) / "lab")
        try:
            print("starting a lab of the benchmark's own", flush=True)
            lab.up()
            embedded = Cluster(lab.kubeconfig, lab)
            for number, group in enumerate(groups, 1):
                print(f"[{number}/{len(groups)}] {group.name}", flush=True)
                results.measure(group, embedded, given, options.runs)
        except KeyboardInterrupt:
            print("stopped; what follows was measured until now")
        finally:
            lab.down()
    if results.rows:
        print("\n" + table(results.rows))
    _write(options.output, results, load)
    for failure in results.failures:
        print(f"failed: {failure}")
    print(f"written to {options.output}")
    return 1 if results.failures else 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description="Measure the embedded cluster.")
    known = [g.name for g in GROUPS]
    parser.add_argument(
        "--only", type=lambda text: text.split(","), metavar="NAME[,NAME]", help=f"some of {', '.join(known)}"
    )
    parser.add_argument(
        "--kubeconfig", type=Path, help="a real cluster to measure too, in namespaces of its own that are removed"
    )
    parser.add_argument("--runs", type=int, default=5, help="runs of each measurement (default: 5)")
    parser.add_argument("--output", type=Path, default=ROOT / "bench.json", help="where to write the figures")
    options = parser.parse_args(arguments)
    if unknown := set(options.only or ()) - set(known):
        parser.error(f"--only {','.join(sorted(unknown))}: there are {', '.join(known)}")
    if options.runs < 1:
        parser.error("--runs: at least 1")
    if options.kubeconfig and not options.kubeconfig.is_file():
        parser.error(f"--kubeconfig {options.kubeconfig}: there is no such file")
    return options


def _write(output: Path, results: Results, load: float) -> None:
    machine = {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "processors": PROCESSORS,
        "loadBefore": round(load, 2),  # what else ran
    }
    told = {
        "measured": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine,
        "figures": [row.to_json() for row in results.rows],
        "failed": results.failures,
    }
    output.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
