"""What kubectl printed in a scenario, without what differs by nature from cluster to cluster.

The tables below are all that is left out or renamed, each line with its reason.
"""

from __future__ import annotations

import json
import re
from functools import reduce
from typing import Any

from tests.cluster.trace_objects import RENAMED

JSON = dict[str, Any]

# Commands whose output is not compared.
NOT_COMPARED = {
    "version": "it names the versions",
    "get events": "Events are compared object by object, see trace_events.py",
    "get events --sort-by=.metadata.creationTimestamp": "the same",
}

# What kubectl itself says otherwise since it was recorded: 1.34 then, 1.37 now.
NEWER = {
    'error: no objects passed to scale statefulsets.apps "nosuch" not found\n': (
        'Error from server (NotFound): statefulsets.apps "nosuch" not found\n'
    ),
}


def _refused_object(match: re.Match[str]) -> str:
    """The object in the text of an error, without what differs, its keys sorted: Go prints them as its structs go.

    Of its managers only clients: what controllers write belongs to nobody here.
    """
    refused: JSON = json.loads(json.loads(match[1]))
    metadata = refused["metadata"]
    for key in ("uid", "resourceVersion", "creationTimestamp"):
        del metadata[key]
    clients = [e for e in metadata["managedFields"] if e["manager"] != "kube-controller-manager"]
    metadata["managedFields"] = [{k: v for k, v in e.items() if k != "time"} for e in clients]
    return json.dumps(refused, sort_keys=True)


# Of a text: what, by what, and why. In this order, before RENAMED of trace_objects.
RULES = (
    (r"(?<=patch: Invalid value: )(\".*\")(?=: json: )", _refused_object, "see there"),
    (r"(?ms)^@@ .*", "", "the API server shows the change in its internal structs, which no client ever sees"),
    (r"(?m)^ *(creationTimestamp|lastTransitionTime|startedAt|startTime): .*\n", "", "times"),
    (r"(?m)^ *endpoints.kubernetes.io/last-change-trigger-time: .*\n", "", "a time"),
    (r"(?m)^ *(resourceVersion|uid): .+\n", "", "made up by the cluster"),
    (r"(?m)^ *(- )?(containerID|image|imageID): (?!\w+(/\w+)?:[\d.]+\n).*\n", "", "another image, another runtime"),
    (r"(?m)^ *volume.kubernetes.io/selected-node: .*\n", "", "the recorded volumes were bound at once"),
    (r"(?m)^ *- configMap:\n.*\n.*service-ca.crt\n.*\n.*openshift-service-ca.crt\n", "", "added by OpenShift"),
    (r"(?m)^ *ConfigMapName: *openshift-service-ca.crt\n.*\n", "", "added by OpenShift"),
    (r"(?m)\n *\n    Possible enum values:\n(    .+\n)*", "\n", "the published schemas do not have this paragraph"),
    (r"(?<=\s)\d+s(?=\s)", "AGE", "a time"),
    (r"(?m) *$", "", "columns are as wide as their longest value"),
    (r"(?<=\S)  +", "  ", "columns are as wide as their longest value"),
)


def compared(text: str, names: dict[str, str]) -> str:
    """What is compared of an output; `names` are those that the cluster made up, and what they are called here."""
    text = NEWER.get(text, text)
    for what, by, _ in RULES:
        text = re.sub(what, by, text)  # type: ignore[arg-type]
    for name, called in names.items():
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", called, text)
    return reduce(lambda told, rule: re.sub(rule[0], rule[1], told), RENAMED, text)
