"""Requests as no client would send them, what their answers must be, and values that nobody expects.

The examples are few and always the same ones in `make test`. HOSTILE_EXAMPLES=2000 makes them many and new.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import ssl
from urllib.parse import quote, urlencode, urlsplit

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from tests.running_lab import SECONDS, RunningLab

EXAMPLES = int(os.environ.get("HOSTILE_EXAMPLES", "40"))
FEW = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=EXAMPLES < 100,
    phases=[Phase.explicit, Phase.generate],  # a cluster has changed by the time that an example would be shrunk
    print_blob=True,
)

http.client._MAXHEADERS = 1000  # type: ignore[attr-defined]  # an answer may have hundreds of warnings

_NOT_HTTP = "aiohttp.http_exceptions."  # aiohttp logs what it refuses before there is a request


def words(text: str) -> st.SearchStrategy[str]:
    """One of the words of a text."""
    return st.sampled_from(text.split())


WORDS = words(
    "metadata name namespace labels annotations finalizers ownerReferences spec status template "
    "containers image ports replicas selector matchLabels serviceName volumes data type resources "
    "requests storage accessModes uid kind resourceVersion deletionTimestamp generateName managedFields "
    "updateStrategy rollingUpdate partition op path value volumeClaimTemplates env command args lifecycle "
    "preStop readinessProbe exec httpGet port clusterIP apiVersion $patch $setElementOrder/containers "
    "$retainKeys conditions minAvailable completions subsets addresses "
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["", "x", "a/b", "1Gi", "-1", "redis", "../..", "\u0000", "replace", "/spec/replicas", "None"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(WORDS, st.text(max_size=5)), inner, max_size=4)
    ),
    max_leaves=20,
)


class Raw:
    """Requests as they come, with the administrator's certificate or with none."""

    def __init__(self, lab: RunningLab, *, certificate: bool = True) -> None:
        address = urlsplit(lab.client.configuration.host)
        self.host, self.port = str(address.hostname), int(address.port or 443)
        self.context = ssl.create_default_context(cafile=str(lab.state / "pki" / "ca.crt"))
        if certificate:
            self.context.load_cert_chain(lab.state / "pki" / "admin.crt", lab.state / "pki" / "admin.key")

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """(status, body); headers as keywords, `_` for `-`."""
        connection = http.client.HTTPSConnection(self.host, self.port, context=self.context, timeout=SECONDS)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            given_headers = {"Host": "localhost", **{k.replace("_", "-"): v for k, v in headers.items()}}
            if body is not None:
                given_headers.setdefault("Content-Length", str(len(body)))
            for name, value in given_headers.items():
                connection.putheader(name, value.encode())
            connection.endheaders()
            try:
                if body is not None:
                    connection.send(body)
            except OSError:
                pass  # refused before all was read
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    @staticmethod
    def path(path: str, query: dict[str, str]) -> str:
        """A path with a query, both as they go on the wire."""
        return quote(path) + (f"?{urlencode(query)}" if query else "")

    def bytes(self, sent: bytes) -> bytes:
        """What comes back for bytes on the wire, until the server has nothing more to say."""
        plain = socket.create_connection((self.host, self.port), SECONDS)
        with self.context.wrap_socket(plain, server_hostname=self.host) as wrapped:
            wrapped.sendall(sent)
            return wrapped.recv(65536)


def logged_errors(lab: RunningLab, since: int) -> list[str]:
    """The errors that the daemon has logged after so many characters of its log, each with what follows it."""
    parts = re.split(r"(?m)^(?=\d{4}-\d\d-\d\d )", (lab.state / "daemon.log").read_text()[since:])
    return [part[:3000] for part in parts if re.match(r"\S+ \S+ [EC] ", part) and _NOT_HTTP not in part]


def check(answer: tuple[int, bytes]) -> int:
    """No 500; a refusal is a Status that says why."""
    code, body = answer
    assert code < 500 or code == 501, body[:2000]  # 501: what the embedded cluster does not serve
    if code >= 400:
        status = json.loads(body)
        assert (status["kind"], status["code"]) == ("Status", code)
        assert status["message"]
    return code
