"""The port forwarder's choices: which Service, which pods, how much of a DNS answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rrset

from labsupport.backends.current import forwarder, relay
from labsupport.cluster import sharing


def service(ports: list[dict[str, Any]], wishes: dict[str, int] | None = None) -> dict[str, Any]:
    annotations = {sharing.NODE_PORTS: json.dumps(wishes)} if wishes else None
    return {"metadata": {"name": "web", "annotations": annotations}, "spec": {"ports": ports}}


def test_a_service_is_found_by_its_node_port() -> None:
    web = service([{"port": 80, "nodePort": 30001}, {"port": 53, "nodePort": 30002, "protocol": "UDP"}])
    assert forwarder.port_of(web, 30001) == {"port": 80, "nodePort": 30001}
    assert forwarder.port_of(web, 30002) is None
    assert forwarder.port_of(service([{"port": 80}]), 30001) is None


def test_a_service_that_had_to_take_another_node_port_is_found_by_the_one_it_was_meant_to_have() -> None:
    web = service([{"port": 80, "nodePort": 31234}], {"80": 30001})
    assert forwarder.port_of(web, 30001) == {"port": 80, "nodePort": 31234}
    assert forwarder.port_of(web, 31234) is None


def test_only_ready_pods_are_led_to() -> None:
    def endpoint(name: str, kind: str = "Pod", **conditions: bool) -> dict[str, Any]:
        return {"targetRef": {"kind": kind, "name": name}, "conditions": conditions}

    slice_ = {
        "ports": [{"name": "http", "port": 8080}, {"name": "admin", "port": 9090}],
        "endpoints": [
            endpoint("a", ready=True),
            endpoint("b", ready=False),
            endpoint("c"),
            endpoint("d", "Node", ready=True),
            {"conditions": {"ready": True}},
        ],
    }
    assert forwarder.ready_pods(slice_, "http") == [("a", 8080), ("c", 8080)]
    assert forwarder.ready_pods(slice_, "other") == []


def test_an_answer_too_long_for_the_clients_datagrams_is_cut_and_says_so() -> None:
    query = dns.message.make_query("many.example.", "A")
    reply = dns.message.make_response(query)
    reply.answer = [dns.rrset.from_text("many.example.", 30, "IN", "A", *(f"10.0.0.{n}" for n in range(60)))]
    short = dns.message.from_wire(forwarder.fitted(query.to_wire(), reply.to_wire()))
    assert short.flags & dns.flags.TC
    assert not short.answer
    query.use_edns(payload=4096)
    wire = reply.to_wire()  # once: the records are put in another order each time
    assert forwarder.fitted(query.to_wire(), wire) == wire


def test_two_forwarders_of_one_lab_do_not_run(tmp_path: Path) -> None:
    first = forwarder.take_lock(tmp_path)
    assert first is not None
    assert forwarder.take_lock(tmp_path) is None
    first.close()
    again = forwarder.take_lock(tmp_path)
    assert again is not None
    again.close()


def test_the_relay_runs_an_image_of_the_course_in_the_learners_namespace() -> None:
    pod = relay.pod("ann", {})
    assert pod["metadata"]["namespace"] == "ann-lab"
    assert pod["spec"]["containers"][0]["image"].startswith("nginx:")
