"""The programs of the image table, run as pods run them."""

import asyncio
import signal

from labcluster.node.spec import Mount
from tests.labcluster.node.runtime_scenarios.lab import WORKER2, Lab, run_in


async def valkey_runs_as_its_user_and_takes_clients_of_other_pods(lab: Lab) -> None:
    server = await lab.run("valkey/valkey:8.1", "docker-entrypoint.sh", "--port", "7000")
    await lab.wait_for_log(server, "Ready to accept")
    ip = lab.sandboxes[-1].ip
    client = await lab.run("valkey/valkey:8.1", "sleep", "100", sandbox=await lab.sandbox(WORKER2))
    assert await run_in(client, "valkey-cli", "-h", ip, "-p", "7000", "set", "a", "b") == (0, "OK\n")
    assert await run_in(server, "sh", "-c", "id -un; pwd") == (0, "valkey\n/data\n")
    server.signal(signal.SIGTERM)
    assert (await server.wait()).code == 0
    assert "bye bye" in await lab.log(server)


async def valkey_keeps_protected_mode_when_it_is_asked_for(lab: Lab) -> None:
    conf = lab.directory / "my.conf"
    conf.write_text("protected-mode yes\nport 7001\n")
    server = await lab.run("valkey/valkey:8.1", "docker-entrypoint.sh", "/my.conf", mounts=(Mount(conf, "/my.conf"),))
    await lab.wait_for_log(server, "Ready to accept")
    assert await run_in(server, "redis-cli", "-p", "7001", "config", "get", "protected-mode") == (
        0,
        "protected-mode\nyes\n",
    )


async def valkey_saves_into_a_volume_for_the_next_container(lab: Lab) -> None:
    (lab.directory / "data").mkdir()
    mounts = (Mount(lab.directory / "data", "/data"),)
    first = await lab.run("valkey/valkey:8.1", mounts=mounts)
    await lab.wait_for_log(first, "Ready to accept")
    await run_in(first, "valkey-cli", "set", "a", "kept")
    first.signal(signal.SIGTERM)
    await first.wait()
    second = await lab.run("valkey/valkey:8.1", mounts=mounts)
    await lab.wait_for_log(second, "Ready to accept")
    assert (await run_in(second, "valkey-cli", "get", "a"))[1].strip() == "kept"


async def nginx_serves_the_page_that_a_command_wrote(lab: Lab) -> None:
    command = "echo $HOSTNAME > /usr/share/nginx/html/index.html; exec nginx -g 'daemon off;'"
    server = await lab.run(
        "nginx:1.31-alpine", "/docker-entrypoint.sh", "sh", "-c", command, sandbox=await lab.sandbox(hostname="web-7")
    )
    await lab.wait_for_log(server, "start worker process")
    reader, writer = await asyncio.open_connection(lab.sandboxes[-1].ip, 80)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    answer = await reader.read()
    writer.close()
    assert answer.endswith(b"\r\n\r\nweb-7\n"), answer
    await lab.wait_for_log(server, '"GET / HTTP/1.0" 200')
    server.signal(signal.SIGQUIT)
    assert (await server.wait()).code == 0


async def nginx_honours_conf_d_and_a_configuration_of_ones_own(lab: Lab) -> None:
    (lab.directory / "conf.d").mkdir()
    (lab.directory / "conf.d/a.conf").write_text("server { listen 81; return 200 mine; }")
    mounts = (Mount(lab.directory / "conf.d", "/etc/nginx/conf.d", read_only=True),)
    server = await lab.run("nginx", mounts=mounts)
    await lab.wait_for_log(server, "start worker process")
    reader, writer = await asyncio.open_connection(lab.sandboxes[-1].ip, 81)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    assert (await reader.read()).endswith(b"mine")
    writer.close()
    assert (await run_in(server, "nginx", "-t"))[0] == 0
    assert (await run_in(server, "nginx", "-s", "reload"))[0] == 0
    own = lab.directory / "own.conf"
    own.write_text("user nginx; events {} http { server { listen 82; root html; } }")
    server = await lab.run("nginx", mounts=(Mount(own, "/etc/nginx/nginx.conf", read_only=True),))
    reader, writer = await asyncio.wait_for(connect(lab.sandboxes[-1].ip, 82), 5)
    writer.close()


async def pause_ends_at_sigterm(lab: Lab) -> None:
    container = await lab.run("registry.k8s.io/pause:3.10")
    assert (await run_in(container, "sleep", "0.05"))[0] == 0
    container.signal(signal.SIGTERM)
    assert (await container.wait()).code == 0


async def connect(host: str, port: int):
    while True:
        try:
            return await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.02)
