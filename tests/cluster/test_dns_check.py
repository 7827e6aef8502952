"""`lab dns-check`: the specification of Kubernetes' DNS holds, line by line."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.running_lab import RunningLab


def test_every_line_of_the_specification_holds(cluster: RunningLab) -> None:
    done = cluster.lab("dns-check")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split()[0] for line in done.stdout.splitlines() if line.startswith(("pass", "FAIL"))]
    assert len(rows) == 24 and set(rows) == {"pass"}


def test_a_wrong_answer_does_not_pass(cluster: RunningLab) -> None:
    code = (
        "from labsupport.domain_names import specification\n"
        "for text in ('1.1.0', '9.9'):\n"
        "    row = specification._asked('2.2', 'version', 'dns-version.cluster.local', 'TXT', [f'\"{text}\"'])\n"
        "    print(row.ok)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=cluster.environment, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "False"], done.stderr
