"""Pod addresses, ClusterIPs, hostNetwork and the bridge."""

import asyncio
import socket

from labcluster.settings import NODES
from tests.labcluster.node.runtime_scenarios.lab import WORKER, WORKER2, Lab, run_in


async def pods_of_different_nodes_reach_each_other_by_their_own_addresses(lab: Lab) -> None:
    server = await lab.run("valkey/valkey:8", sandbox=await lab.sandbox(WORKER))
    await lab.wait_for_log(server, "Ready to accept")
    there = lab.sandboxes[-1]
    client = await lab.run("valkey/valkey:8", "sleep", "100", sandbox=await lab.sandbox(WORKER2, "client"))
    here = lab.sandboxes[-1]
    assert there.ip.startswith("10.244.1.") and here.ip.startswith("10.244.2.")
    code, text = await run_in(client, "valkey-cli", "-h", there.ip, "client", "info")
    assert code == 0
    assert f"addr={here.ip}:" in text, text


async def a_pod_reaches_a_cluster_ip_that_the_daemon_bound(lab: Lab) -> None:
    container = await lab.run("busybox", "sleep", "100")
    for address in ("10.96.0.10", str(NODES[0].address), str(NODES[1].gateway)):
        with socket.socket() as server:
            server.setblocking(False)
            server.bind((address, 4242))
            server.listen()
            session = await container.exec(["bash", "-c", f"echo hello > /dev/tcp/{address}/4242"])
            connection, peer = await asyncio.get_running_loop().sock_accept(server)
            assert peer[0] == lab.sandboxes[-1].ip
            assert await asyncio.get_running_loop().sock_recv(connection, 100) == b"hello\n"
            connection.close()
            assert await session.wait() == 0


async def addresses_are_handed_out_in_turn(lab: Lab) -> None:
    first = await lab.sandbox()
    await first.close()
    second = await lab.sandbox()
    assert first.ip != second.ip
    await first.close()  # again: nothing
    third = await lab.sandbox()
    assert len({first.ip, second.ip, third.ip}) == 3


async def a_pod_with_host_network_has_the_nodes_address(lab: Lab) -> None:
    sandbox = await lab.sandbox(WORKER, host_network=True)
    assert sandbox.ip == str(NODES[1].address)
    await lab.run("nginx:1.31", sandbox=sandbox)
    await lab.wait_for_log(lab.containers[-1], "start worker process")
    reader, writer = await asyncio.open_connection(sandbox.ip, 80)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()
