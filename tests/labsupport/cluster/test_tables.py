"""Tables as kubectl prints them: the server's, some of its columns, and plain facts."""

from __future__ import annotations

import pytest

from labsupport.cluster import tables
from labsupport.errors import Refused
from tests.labsupport.in_process_lab import InProcessLab

READY = {"conditions": [{"type": "Ready", "status": "True"}]}
RUNNING = {"name": "main", "image": "nginx", "imageID": "", "ready": True, "restartCount": 0, "state": {"running": {}}}


@pytest.fixture
def pods(lab: InProcessLab, chapter: str) -> None:
    for name, colour in (("web-0", "blue"), ("web-1", "red")):
        labels = {"colour": colour}
        lab.pod(chapter, name, labels=labels, phase="Running", containerStatuses=[RUNNING], podIP="10.244.1.7", **READY)


@pytest.mark.usefixtures("pods")
def test_chosen_columns_are_printed_as_the_server_has_them(capsys: pytest.CaptureFixture[str]) -> None:
    tables.get("pods", "NAME READY STATUS")
    assert capsys.readouterr().out == (
        "NAME    READY   STATUS\nweb-0   1/1     Running\nweb-1   1/1     Running\n"  # two rows, no trailing blanks
    )


@pytest.mark.usefixtures("pods")
def test_a_selector_chooses_rows(capsys: pytest.CaptureFixture[str]) -> None:
    tables.get("pods", "NAME", selector="colour=red")
    assert capsys.readouterr().out == "NAME\nweb-1\n"


@pytest.mark.usefixtures("pods")
def test_wide_has_the_columns_that_are_left_out_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    tables.get("po")
    narrow = capsys.readouterr().out.splitlines()[0].split()
    assert narrow == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    tables.get("po", wide=True)
    heading, row, _ = capsys.readouterr().out.splitlines()
    assert heading.split()[:6] == [*narrow, "IP"] and "10.244.1.7" in row


@pytest.mark.usefixtures("pods")
def test_a_word_in_a_heading_is_named_with_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    tables.get("pods", "NAME NOMINATED-NODE")
    assert capsys.readouterr().out.splitlines()[0] == "NAME    NOMINATED-NODE"


@pytest.mark.usefixtures("chapter")
def test_none_is_said_as_kubectl_says_it(chapter: str, capsys: pytest.CaptureFixture[str]) -> None:
    tables.get("pods")
    tables.get("persistentvolumes", selector="made-by=nobody")
    assert capsys.readouterr().out == f"No resources found in {chapter} namespace.\nNo resources found\n"


@pytest.mark.usefixtures("chapter")
def test_a_word_that_is_no_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"doesn't have a resource type 'pots'; `kubectl api-resources` lists them"):
        tables.get("pots")


@pytest.mark.usefixtures("chapter")
def test_a_selector_that_is_none_is_refused_in_the_servers_words() -> None:
    with pytest.raises(Refused, match=r"BadRequest \(400\): unable to parse requirement"):
        tables.get("pods", selector="colour in")


def test_facts_are_printed_under_their_headings(capsys: pytest.CaptureFixture[str]) -> None:
    tables.facts("pod | same name|count", [("web-0", True, 0), ("web-1", False, None), ("", "x", 1.5)])
    assert capsys.readouterr().out == (
        "POD      SAME NAME   COUNT\nweb-0    yes         0\nweb-1    no          <none>\n<none>   x           1.5\n"
    )
