"""Containers that join another's PID namespace: debuggers, and pods with shareProcessNamespace."""

import signal

from tests.labcluster.node.runtime_scenarios.lab import Lab, run_in


async def a_debugger_sees_its_targets_processes_and_files(lab: Lab) -> None:
    for image, uid in (("busybox", 0), ("valkey/valkey:8.1", 999)):
        sandbox = await lab.sandbox()
        target = await lab.run(image, "sh", "-c", "echo $$ > /tmp/mark; sleep 100", sandbox=sandbox, uid=uid)
        debugger = await lab.run("busybox", "sleep", "100", sandbox=sandbox, target=target)
        code, text = await run_in(debugger, "sh", "-c", "id -u; cat /proc/1/cmdline | tr '\\0' ' '; echo")
        assert code == 0 and text.splitlines()[:2] == ["0", "sh -c echo $$ > /tmp/mark; sleep 100 "], text
        code, text = await run_in(debugger, "cat", "/proc/1/root/tmp/mark")
        assert (code, text) == (0, "1\n"), text
        assert (await run_in(debugger, "cat", "/tmp/mark"))[0] != 0  # its own files are others


async def a_debugger_may_signal_its_target_and_ends_with_it(lab: Lab) -> None:
    target = await lab.run("busybox", "sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done")
    await lab.wait_for_log(target, "up")
    debugger = await lab.run("busybox", "sleep", "100", target=target)
    assert (await run_in(debugger, "sh", "-c", "kill -TERM 1"))[0] in (0, 137)
    assert (await target.wait()).code == 7
    assert (await debugger.wait()).code == 137


async def a_debugger_that_ends_leaves_nothing_in_its_target(lab: Lab) -> None:
    target = await lab.run("busybox", "sleep", "1000")
    debugger = await lab.run("busybox", "sh", "-c", "sleep 234 & setsid sleep 235 & sleep 0.1; exit 3", target=target)
    assert (await debugger.wait()).code == 3
    code, text = await run_in(target, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert code == 0 and "sleep 1000" in text and "23" not in text, text
    debugger = await lab.run("busybox", "sh", "-c", "sleep 234 & sleep 235", target=target)
    debugger.signal(signal.SIGKILL)
    assert (await debugger.wait()).code == 137
    code, text = await run_in(target, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert "23" not in text, text
    assert target.running


async def a_debugger_may_end_at_once(lab: Lab) -> None:
    target = await lab.run("busybox", "sleep", "1000")
    for _ in range(20):
        debugger = await lab.run("busybox", "sh", "-c", "setsid sleep 236 & exit 3", target=target)
        assert (await debugger.wait()).code == 3
    code, text = await run_in(target, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert code == 0 and "236" not in text, text


async def a_debugger_has_the_user_that_it_asks_for(lab: Lab) -> None:
    target = await lab.run("busybox", "sleep", "1000")
    text = ""
    for uid in (0, 1234):
        debugger = await lab.run(
            "busybox",
            "sh",
            "-c",
            "id -u; id -g; grep -E 'Cap(Prm|Eff)' /proc/self/status",
            target=target,
            uid=uid,
            gid=uid,
        )
        status = await debugger.wait()
        text = await lab.log(debugger)
        assert status.code == 0, text
        assert text.splitlines()[:2] == [str(uid)] * 2, text
    assert {line.split()[1] for line in text.splitlines()[2:]} == {"0" * 16}


async def a_debugger_may_have_a_terminal(lab: Lab) -> None:
    target = await lab.run("busybox", "sleep", "1000")
    for uid in (0, 1234):
        debugger = await lab.run("busybox", "sh", target=target, uid=uid, gid=uid, stdin=True, tty=True)
        attached = debugger.attach(stdin=True)
        await attached.write_stdin(b"tty; id -u; exit 4\n")
        assert (await debugger.wait()).code == 4
        text = await lab.log(debugger)
        assert "/dev/pts/0" in text and f"\n{uid}" in text.replace("\r", ""), text


async def containers_of_a_pod_may_share_their_processes(lab: Lab) -> None:
    sandbox = await lab.sandbox(share_processes=True)
    one = await lab.run("busybox", "sh", "-c", "echo 1 > /tmp/mark; sleep 1001; exit 5", sandbox=sandbox)
    two = await lab.run("valkey/valkey:8.1", "sleep", "1002", sandbox=sandbox)
    code, text = await run_in(two, "sh", "-c", "id -u; cat /proc/[0-9]*/cmdline | tr '\\0' ' '; cat /proc/1/cmdline")
    assert code == 0 and text.startswith("999\n") and text.rstrip("\0").endswith("/pause"), text
    assert "sleep 1001" in text and "sleep 1002" in text, text
    kill = "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline | grep -q '^sleep 1002' && kill ${p#/proc/}; done"
    await run_in(one, "sh", "-c", kill)
    assert (await two.wait()).code == 143
    assert one.running  # the end of one is not the end of the other


async def the_end_of_the_first_process_of_a_pod_ends_its_containers_and_new_ones_start(lab: Lab) -> None:
    sandbox = await lab.sandbox(share_processes=True)
    one = await lab.run("busybox", "sleep", "1001", sandbox=sandbox)
    two = await lab.run("busybox", "sleep", "1002", sandbox=sandbox)
    await run_in(one, "sh", "-c", "kill -TERM 1")
    assert [(await c.wait()).code for c in (one, two)] == [137, 137]
    again = await lab.run("busybox", "sleep", "1003", sandbox=sandbox)
    again.signal(signal.SIGTERM)  # it is no PID 1, which would ignore it
    assert (await again.wait()).code == 143
    pause = lab.runtime._pauses[sandbox]
    assert pause.running
    await lab.runtime.stop_sandbox(sandbox)
    assert not pause.running
