"""The embedded cluster's one process: API server, controllers, kubelets, DNS and proxy, started and stopped in order.

Started by launch/control.py as PID 1 of its own user, network, mount and pid namespaces.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import logging
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

from labcluster import settings
from labcluster.auth.pki import Pki
from labcluster.controllers import bootstrap
from labcluster.controllers.clusterrole_aggregation import ClusterRoleAggregationController
from labcluster.controllers.controller import Controller
from labcluster.controllers.custom_resource_definitions import CustomResourceDefinitionController
from labcluster.controllers.daemonset.controller import DaemonSetController
from labcluster.controllers.deployment.controller import DeploymentController
from labcluster.controllers.disruption import DisruptionController
from labcluster.controllers.garbage_collector import GarbageCollector
from labcluster.controllers.jobs.cronjob import CronJobController
from labcluster.controllers.jobs.job import JobController
from labcluster.controllers.jobs.ttl_after_finished import TTLAfterFinishedController
from labcluster.controllers.namespaces.namespace import NamespaceController
from labcluster.controllers.namespaces.root_ca import RootCAController
from labcluster.controllers.namespaces.service_account import ServiceAccountController
from labcluster.controllers.nodes.lifecycle import NodeLifecycleController
from labcluster.controllers.nodes.pod_gc import PodGarbageCollector
from labcluster.controllers.nodes.taint_eviction import TaintEvictionController
from labcluster.controllers.replicaset import ReplicaSetController
from labcluster.controllers.scheduling.scheduler import Scheduler
from labcluster.controllers.services.endpoint_slice import EndpointSliceController
from labcluster.controllers.services.endpoints import EndpointsController
from labcluster.controllers.statefulset.controller import StatefulSetController
from labcluster.controllers.volumes.binding import VolumeBindingController
from labcluster.controllers.volumes.ephemeral import EphemeralVolumeController
from labcluster.controllers.volumes.protection import ClaimProtectionController, VolumeProtectionController
from labcluster.controllers.volumes.provisioning import LocalPathProvisioner
from labcluster.http import server
from labcluster.http.app import create_app
from labcluster.launch import inherited
from labcluster.launch.inherited import Inherited
from labcluster.network.cluster_dns import ClusterDNS
from labcluster.network.proxy import ServiceProxy
from labcluster.node.agent import NodeAgent
from labcluster.node.runtime import Runtime
from labcluster.storage.registry import Registry
from labcluster.storage.store import Store

log = logging.getLogger(__name__)

STATE_CHECK_SECONDS = 10.0  # between two checks whether the state directory is still there


def main() -> int:
    """Run the daemon until SIGTERM; returns the exit code."""
    parser = argparse.ArgumentParser(prog="labcluster.daemon", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="the state directory")
    parser.add_argument("--sockets", required=True, help="JSON: the inherited descriptors, see inherited.py")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
    sockets = inherited.from_sockets_argument(options.sockets)
    try:
        asyncio.run(Daemon(options.state, sockets).run())
    except sqlite3.Error as error:
        log.exception("the cluster ended")
        store = options.state / "store.db"
        sockets.report.failed(f"the store {store} cannot be used: {error}", _remedy(error, store))
        return 1
    except OSError as error:
        log.exception("the cluster ended")
        sockets.report.failed(f"the cluster could not start: {error}", f"Read {options.state / 'daemon.log'}.")
        return 1
    except Exception as error:
        log.exception("the cluster ended")
        sockets.report.failed(f"the cluster could not start: {error!r}", f"Read {options.state / 'daemon.log'}.")
        return 1
    return 0


def _remedy(error: sqlite3.Error, store: Path) -> str:
    if getattr(error, "sqlite_errorname", "") in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):
        return f"It is damaged. Keep a copy of {store} if you need it; `lab reset` begins with a new one."
    return f"Is the disk full, or not writable? See: df -h {store.parent}"


class Daemon:
    """All parts of the cluster."""

    def __init__(self, state: Path, sockets: Inherited) -> None:
        self._state = state
        self._sockets = sockets
        self._report = sockets.report
        self._stopping = asyncio.Event()
        self._ready = False

    async def run(self) -> None:
        """Start everything in the order in which the parts need one another; stop it in reverse."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        pki = Pki(self._state / "pki")
        registry = Registry(Store(self._state / "store.db"))
        bootstrap.bootstrap(registry)
        self._write_kubeconfig(pki)
        async with contextlib.AsyncExitStack() as stack:
            runtime = Runtime()
            await runtime.start()
            stack.push_async_callback(runtime.stop)
            self._report.progress("network: bridge, node addresses, service range")
            dns = ClusterDNS(registry)
            await dns.start()
            await dns.serve(self._sockets.dns_udp, self._sockets.dns_tcp)
            stack.push_async_callback(dns.stop)
            proxy = ServiceProxy(registry, self._sockets.node_ports)
            await proxy.start()
            stack.push_async_callback(proxy.stop)
            agent = NodeAgent(registry, runtime, self._state, pki.issue_token)
            stack.push_async_callback(agent.stop)
            tasks = [asyncio.create_task(c.run(), name=c.name) for c in _controllers(registry, pki, agent)]
            for task in tasks:
                stack.callback(task.cancel)
            app = create_app(registry, agent, pki, is_ready=lambda: self._ready, components=_components(tasks))
            sockets = [self._sockets.api, _api_socket_in_the_cluster()]
            serving = await server.serve(app, sockets, pki.ssl_context())
            stack.push_async_callback(serving.stop)
            self._report.progress(f"API server on 127.0.0.1:{self._sockets.api.getsockname()[1]}")
            await agent.start()
            self._ready = True
            self._stop_without_state()
            self._report.progress(f"nodes Ready: {', '.join(node.name for node in settings.NODES)}")
            gc.collect()
            gc.freeze()  # what was loaded until now stays: the collector need not traverse it again
            self._report.ready(api=self._sockets.api.getsockname()[1])
            log.info("ready")
            await self._stopping.wait()
            log.info("stopping")

    def _stop_without_state(self) -> None:
        """Stop once the state directory is removed: nobody could find, use or stop the cluster any more."""
        if not (self._state / "store.db").exists():
            log.error("%s is gone, and so is this cluster", self._state)
            self._stopping.set()
            return
        asyncio.get_running_loop().call_later(STATE_CHECK_SECONDS, self._stop_without_state)

    def _write_kubeconfig(self, pki: Pki) -> None:
        """Write the kubeconfig, readable by its owner only, in one step."""
        server = f"https://127.0.0.1:{self._sockets.api.getsockname()[1]}"
        temporary = self._state / "kubeconfig.new"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(pki.kubeconfig(server, settings.CLUSTER_NAME), file, indent=1)
        temporary.replace(self._state / "kubeconfig")


def _controllers(registry: Registry, pki: Pki, agent: NodeAgent) -> list[Controller]:
    """All control loops, namespaces and their accounts first: the others' objects need them."""
    return [
        ServiceAccountController(registry),
        RootCAController(registry, pki.ca_certificate.decode()),
        NamespaceController(registry),
        CustomResourceDefinitionController(registry),
        GarbageCollector(registry),
        StatefulSetController(registry),
        ReplicaSetController(registry),
        DeploymentController(registry),
        DaemonSetController(registry),
        JobController(registry),
        CronJobController(registry),
        TTLAfterFinishedController(registry),
        EphemeralVolumeController(registry),
        VolumeBindingController(registry),
        LocalPathProvisioner(registry, agent.remove_volume),
        ClaimProtectionController(registry),
        VolumeProtectionController(registry),
        Scheduler(registry),
        EndpointSliceController(registry),
        EndpointsController(registry),
        NodeLifecycleController(registry),
        TaintEvictionController(registry),
        PodGarbageCollector(registry),
        DisruptionController(registry),
        ClusterRoleAggregationController(registry),
    ]


def _components(tasks: list[asyncio.Task[None]]) -> dict[str, Callable[[], bool]]:
    """The two components that upstream runs the control loops in, and whether each of ours still runs."""
    scheduling = [task for task in tasks if task.get_name() == Scheduler.name]
    others = [task for task in tasks if task not in scheduling]
    return {
        "controller-manager": lambda: not any(task.done() for task in others),
        "scheduler": lambda: not any(task.done() for task in scheduling),
    }


def _api_socket_in_the_cluster() -> socket.socket:
    """The socket behind the Service default/kubernetes, for clients in pods."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((str(settings.CONTROL_PLANE.address), settings.API_PORT_ON_NODE))
    return sock


if __name__ == "__main__":
    sys.exit(main())
