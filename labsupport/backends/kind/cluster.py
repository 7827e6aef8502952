"""The kind cluster as `lab` drives it: up, down, reset, status, doctor, preload."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from labsupport.backends import contract, readiness
from labsupport.backends.contract import CommandError, Finding, Progress, Status
from labsupport.backends.kind import config as kind_config
from labsupport.backends.kind import create, doctor, engine, preload
from labsupport.backends.state_directory import StateDirectory

FILES = frozenset({create.RECORD, f"{create.RECORD}.new", create.LOG, preload.ARCHIVE})


class KindBackend:
    """A cluster of containers that belongs to one state directory."""

    name = "kind"

    def __init__(self, state: Path, config: Path | None = None) -> None:
        self.state = state
        self._directory = StateDirectory(state, FILES)
        self._config = config

    def up(self, progress: Progress) -> str:
        """Make the cluster, or find it, and wait until all of it can be used. Raises CommandError with the remedy."""
        engine.kind_version()
        found = engine.find()
        config = kind_config.read(self._config)
        self._directory.prepare()
        contract.record(self.name, self.state)
        record = create.read_record(self.state)
        exists = config.name in found.clusters()
        if record and not record.complete:
            progress("An earlier start was interrupted: removing what it left ...")
            create.remove(found, record.name, self.state)
            exists = False
        elif exists and not record:
            self._give_up_record()
            raise CommandError(
                f"there is a kind cluster `{config.name}` that this lab has not made, so it is left alone. "
                f"If nobody needs it: `kind delete cluster --name {config.name}`, and again."
            )
        if exists:
            create.revive(found, config, self.state)
        else:
            taken = doctor.taken_ports(config)
            if taken:
                self._give_up_record()
                raise CommandError(
                    f"port {taken[0]} on 127.0.0.1 is taken, and the cluster needs it. End what uses it (another lab? "
                    "`make down` there), or change its hostPort in kind-config.yaml."
                )
            progress(f"kind makes a cluster of {len(config.nodes)} nodes with {found.name}: about a minute ...")
            try:
                create.create(found, config, self.state, progress)
            except CommandError:
                self._give_up_record()
                raise
        self._settle(config, progress)
        loaded = preload.preload(found, config, self.state, progress)
        if exists and not loaded:
            return "The cluster was up already."
        return f"The cluster is up: {len(config.nodes)} nodes are Ready, DNS answers, the images are loaded."

    def _give_up_record(self) -> None:
        """Let the next command choose afresh: nothing was made."""
        (self.state / "cluster.json").unlink(missing_ok=True)

    def _settle(self, config: kind_config.Config, progress: Progress) -> None:
        """Wait until the cluster can be used, and write down its ports."""
        try:
            api = readiness.connect(self.state / "kubeconfig")
            ports = config.ports_json(urlsplit(api.configuration.host).port or 443)
            (self.state / "ports.json").write_text(json.dumps(ports, indent=1) + "\n")
            progress("waiting for the nodes ...")
            readiness.await_nodes(api, len(config.nodes))
            readiness.await_storage_class(api)
            progress("waiting for DNS ...")
            readiness.open_dns(api)
            readiness.await_dns(api, int(ports["dns"]))
        except (ApiException, HTTPError, OSError) as error:
            raise CommandError(
                f"the cluster's API server does not answer as it should: {error}. "
                "`lab doctor` examines this machine; `lab reset` makes the cluster anew."
            ) from error

    def down(self, progress: Progress) -> str:
        """Remove the cluster, if this lab has made it, and the lab's state. Raises CommandError."""
        if not self.state.exists():
            return "There was no cluster."
        self._directory.check()
        record = create.read_record(self.state)
        if record:
            progress(f"removing the cluster {record.name} ...")
            create.remove(engine.find(), record.name, self.state)
        if stays := self._directory.remove():
            return f"The cluster is removed. {stays}"
        return (
            "The cluster is removed, with all its data." if record else "There was no cluster; its record is removed."
        )

    def reset(self, progress: Progress) -> str:
        """Remove the cluster and make it anew; its ports and the kubeconfig's path stay. Raises CommandError."""
        self.down(progress)
        self.up(progress)
        return "The cluster is as new."

    def status(self) -> Status:
        """What is running, by what kind says and what `up` has written down."""
        details: dict[str, str | int | dict[str, int]] = {"state": str(self.state)}
        record = create.read_record(self.state)
        running = False
        if record and record.complete:
            found = engine.find()
            running = record.name in found.clusters()
        if running and record and (self.state / "ports.json").exists():
            ports = json.loads((self.state / "ports.json").read_text())
            details |= {
                "server": f"https://127.0.0.1:{ports['api']}",
                "kubeconfig": str(self.state / "kubeconfig"),
                "dns": f"127.0.0.1:{ports['dns']}",
                "nodePorts": ports["nodePorts"],
                "engine": record.engine,
                "log": str(self.state / create.LOG),
            }
        return Status(self.name, running, details)

    def doctor(self) -> list[Finding]:
        """Look for the known troubles of kind."""
        return list(doctor.examine(self.state, kind_config.read(self._config)))

    def preload(self, progress: Progress) -> str:
        """Load the course's images into the cluster. Raises CommandError."""
        record = create.read_record(self.state)
        if not record or not record.complete:
            raise CommandError("there is no cluster to load images into. `lab up` makes it, and loads them.")
        loaded = preload.preload(engine.find(), kind_config.read(self._config), self.state, progress)
        return f"Loaded {', '.join(loaded)}." if loaded else "All images were loaded already."
