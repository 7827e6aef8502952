"""Each answer to an exercise, derived: by the code that implements a specification, by computation, from the manifests,
or from what `pytest --nbval` holds a notebook to. test_answers_on_the_cluster.py has those that take an experiment."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from labsupport.chapter.checks import exercises
from labsupport.domain_names import srv
from labsupport.domain_names.caching_resolver import Resolver
from labsupport.domain_names.zone_server import ZoneServer
from labsupport.redis_cluster.slots import SLOTS, slot_of
from tests.notebooks.answers import FOLDER, expect, question, said
from tests.notebooks.redirecting_cluster import NOWHERE, Address, redirecting_cluster

JSON = dict[str, Any]
HEAD = "$ORIGIN lab.example.\n$TTL 300\n@ IN SOA ns1 admin 1 3600 600 86400 60\n@ IN NS ns1\nns1 IN A 192.0.2.1\n"


class Zone:
    """A zone, served; and a resolver for it, with a clock that a test turns."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.write("")
        self.server = ZoneServer(file)
        self.now = 0
        where = {"lab.example.": (self.server.address, self.server.port)}
        self.resolver = Resolver(where, clock=lambda: self.now)

    def write(self, records: str) -> None:
        """Set the records of the zone; `reload` makes the server know them."""
        self._file.write_text(HEAD + records)

    def serve(self, *records: str) -> None:
        """Serve these records from now on."""
        self.write("\n".join(records) + "\n")
        self.server.reload()


@pytest.fixture
def zone(tmp_path: Path) -> Iterator[Zone]:
    served = Zone(tmp_path / "exercise.zone")
    yield served
    served.server.close()


def test_every_answer_is_derived() -> None:
    source = "".join(file.read_text() for file in Path(__file__).parent.glob("test_answers*.py"))
    derived = re.findall(r"expect\(\"(\d+\.\d+)\"", source)
    assert sorted(derived) == sorted(exercises()), "each exercise exactly once"


def test_who_is_the_primary_after_a_year() -> None:
    """The first primary, deleted once, comes back in another role; so no name is certain."""
    assert "redis-0 says it is a master" in said("05", "roles")
    assert "pod/redis-0 deletion asked for" in said("05", "polite")
    (role,) = re.findall(r"its role is now: (\w+)", said("05", "back"))
    expect("5.1", "redis-0" if role == "primary" else "unknown")


def test_how_many_voters_may_fail_after_shrinking() -> None:
    known = ast.literal_eval(said("05", "three").rpartition(": ")[2])
    assert known == [max(known)] * 3
    expect("5.2", 3 - _majority(max(known)))


def test_the_part_that_can_choose_a_primary() -> None:
    asked = question("5.4")
    assert "Seven voters" in asked and "three voters in one part and four in the other" in asked
    voters, parts = 7, (3, 4)
    (able,) = [part for part in parts if part >= _majority(voters)]
    expect("5.4", able)


def _majority(voters: int) -> int:
    return voters // 2 + 1


def test_a_name_without_a_record_of_that_type(zone: Zone) -> None:
    zone.serve("shop IN A 192.0.2.21")
    expect("6.1", zone.resolver.resolve("shop.lab.example.", "AAAA").status)


def test_questions_over_two_aliases(zone: Zone) -> None:
    zone.serve(*re.findall(r"`(\w+ IN \w+ \S+)`", question("6.2")))
    answer = zone.resolver.resolve("a.lab.example.")
    assert answer.records == ("192.0.2.50",)
    expect("6.2", answer.questions)


def test_seconds_with_the_old_address(zone: Zone) -> None:
    (ttl,) = re.findall(r"TTL of (\d+)", question("6.3"))
    zone.serve(f"www {ttl} IN A 192.0.2.21")
    zone.resolver.resolve("www.lab.example.")
    zone.serve(f"www {ttl} IN A 192.0.2.99")
    while zone.resolver.resolve("www.lab.example.").records != ("192.0.2.99",):
        zone.now += 1
        assert zone.now < 1000
    expect("6.3", zone.now)


def test_the_port_of_most_clients() -> None:
    rows = said("06", "srv").splitlines()
    records = srv.parse(row for row in rows if re.match(r"\d+ +\d+ +\d+ ", row))
    assert len(records) == 3
    counted = srv.shares(srv.choose, records)
    expect("6.4", max(counted, key=lambda record: counted[record]).port)


def test_a_function_that_chooses() -> None:
    expect("8.1", srv.judge(srv.choose))


def test_the_longest_outage() -> None:
    """Second by second: the site dies just after a test; a client asks at any time until the next one sees it."""
    interval, ttl = map(int, re.findall(r"\d+", question("8.2")))
    deaths = range(interval)
    expect("8.2", max(asks + ttl - dies for dies in deaths for asks in range(dies, interval + 1)))


def test_the_share_of_the_lowest_priority() -> None:
    numbers = re.findall(r"priority (\d+) weight (\d+)", question("8.3"))
    records = [srv.Srv(int(p), int(w), port, f"site-{port}.") for port, (p, w) in enumerate(numbers)]
    counted = srv.shares(srv.choose, records)
    expect("8.3", 100 * counted[records[-1]] // sum(counted.values()))


def test_keys_that_share_a_slot() -> None:
    key, *others = re.findall(r"`([^`]+)`", question("9.1"))
    expect("9.1", [other for other in others if slot_of(other) == slot_of(key)])


def test_redirects_without_a_map() -> None:
    """The node that is asked first serves the first tenth of the slots; every key beyond that is sent on."""
    keys = [f"key:{number}" for number in range(100_000)]
    sent_on = sum(slot_of(key) >= SLOTS / 10 for key in keys) / len(keys)
    expect("9.2", round(100 * sent_on) * 10)


def test_what_is_said_before_the_command() -> None:
    asked = re.findall(r"is asked (.+?) and answers (\w+)", said("09", "talk-figure"))
    before = next(n for n, (_, answer) in enumerate(asked) if answer == "ASK") + 1
    command, answer = asked[before]
    assert answer == "OK" and asked[before + 1][0].startswith("GET ")
    expect("9.3", command)


def test_the_map_after_an_ask() -> None:
    """A key that has not left is with the old owner; where the map led to the new one, it would not be found."""
    (row,) = [line for line in said("09", "ask-table").splitlines() if line.startswith("GET {basket}:19 ")]
    _, old, _, new_after_asking = re.split(r"  +", row.strip())
    assert old == "the value"
    expect("9.4", new_after_asking == old)


def _manifest(name: str, kind: str) -> list[JSON]:
    documents = yaml.safe_load_all((FOLDER / "manifests" / name).read_text())
    return [document for document in documents if document["kind"] == kind]


def _node_ports(name: str) -> int:
    return sum("nodePort" in port for service in _manifest(name, "Service") for port in service["spec"]["ports"])


def _replicas(name: str) -> int:
    (members,) = _manifest(name, "StatefulSet")
    return int(members["spec"]["replicas"])


def test_node_ports_of_six_pods() -> None:
    assert "(c)" in question("10.2")
    for_each = (_node_ports("10_doors.yaml") + _node_ports("10_bus.yaml")) / _replicas("10_cache.yaml")
    expect("10.2", int(6 * for_each))


def test_the_redirect_that_a_remapping_client_does_not_survive() -> None:
    survived = {}
    for word in ("ASK", "MOVED"):
        with redirecting_cluster(word) as ways:
            host, port = ways[NOWHERE["a"]]
            client = redis.RedisCluster(host, port, protocol=2, socket_timeout=30, address_remap=partial(_way, ways))
            try:
                survived[word] = client.get("key") == b"value"
            except AttributeError:
                survived[word] = False
    (killer,) = [word for word, alive in survived.items() if not alive]
    expect("10.4", killer)


def _way(ways: dict[Address, Address], announced: Address) -> Address:
    return ways.get(announced, announced)


def test_listeners_for_nine_pods() -> None:
    """Of the entry points of the rules for plain TCP each leads to one member."""
    rules = _manifest("11_listeners.yaml", "IngressRouteTCP")
    for_each = len(_entry_points(rules)) / _replicas("11_redis.yaml")
    expect("11.1", int(9 * for_each))


def test_ports_for_nine_pods_with_tls() -> None:
    """All rules share their entry point, however many members there are."""
    rules = _manifest("11_tls.yaml", "IngressRouteTCP")
    assert len(rules) == _replicas("11_redis.yaml")
    expect("11.2", len(_entry_points(rules)))


def _entry_points(rules: list[JSON]) -> set[str]:
    return {point for rule in rules for point in rule["spec"]["entryPoints"]}


def test_the_proxy_for_a_client_that_knows_no_cluster() -> None:
    """Three keys of three members: through one proxy they all arrive, and come back by MGET; not so by the other."""
    arrived = {"Envoy": "stored: 3" in said("11", "envoy-keys"), "Traefik": "stored: 3" in said("11", "entrance-keys")}
    assert "MGET a b c: ['A', 'B', 'C']" in said("11", "envoy-keys")
    (proxy,) = [proxy for proxy, all_three in arrived.items() if all_three]
    expect("11.4", proxy)
