"""`lab open`: the JupyterLab that a learner gets, asked over HTTP as a browser asks it."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from tests.running_lab import BIN, SECONDS, RunningLab

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/lab/tree/\S+\?token=\w+")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address that `lab open` prints, while its JupyterLab runs."""
    scratch = tmp_path_factory.mktemp("open")
    own = {f"JUPYTER_{kind}_DIR": str(scratch / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    with subprocess.Popen(
        [BIN / "lab", "open", "--no-browser", "01_stateless_and_stateful.ipynb"],
        env={**RunningLab(scratch / "state").environment, **own},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as jupyter:
        assert jupyter.stdout is not None
        too_late = threading.Timer(SECONDS, jupyter.kill)  # ends the reading, too
        too_late.start()
        said = []
        for line in jupyter.stdout:
            said.append(line)
            if found := ADDRESS.search(line):
                break
        else:
            pytest.fail(f"no address within {SECONDS} s:\n{''.join(said)}")
        rest = threading.Thread(target=jupyter.stdout.read)  # a full pipe would stop it
        rest.start()
        wait_until_it_listens(found.group())
        yield found.group()
        jupyter.terminate()
        jupyter.wait(SECONDS)
        too_late.cancel()
        rest.join()


def wait_until_it_listens(address: str) -> None:
    """Connect again and again: Jupyter prints its address just before it listens, and says no more."""
    parts, deadline = urlsplit(address), time.monotonic() + SECONDS
    while True:
        try:
            return socket.create_connection((parts.hostname or "", parts.port or 0), SECONDS).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def get(address: str, path: str) -> str:
    """The text at `path` of the server at `address`, with its token."""
    parts = urlsplit(address)
    with urlopen(f"http://{parts.netloc}{path}?{parts.query}", timeout=SECONDS) as answer:
        text: str = answer.read().decode()
        return text


def test_the_address_leads_to_the_notebook(address: str) -> None:
    assert urlsplit(address).path == "/lab/tree/01_stateless_and_stateful.ipynb"
    model = json.loads(get(address, "/api/contents/01_stateless_and_stateful.ipynb"))
    assert model["type"] == "notebook"


def test_the_file_browser_lists_the_chapters_and_not_the_answers(address: str) -> None:
    names = {entry["name"] for entry in json.loads(get(address, "/api/contents/"))["content"]}
    assert {"00_start_here.ipynb", "manifests"} <= names
    assert "exercises" not in names


def test_a_folded_output_does_not_tell_its_first_line(address: str) -> None:
    assert 'href="/custom/custom.css"' in get(address, "/lab")
    assert re.search(r"\.jp-PlaceholderText \{\s*display: none", get(address, "/custom/custom.css"))


def test_it_asks_nobody_for_news(address: str) -> None:
    settings = json.loads(get(address, "/lab/api/settings/@jupyterlab/apputils-extension:notification"))
    default = {key: value["default"] for key, value in settings["schema"]["properties"].items() if "default" in value}
    assert (default["fetchNews"], default["checkForUpdates"]) == ("false", False)


def test_nobody_comes_in_without_the_token(address: str) -> None:
    with pytest.raises(OSError, match="403"):
        urlopen(f"http://{urlsplit(address).netloc}/api/contents", timeout=SECONDS)


def test_the_course_lies_where_the_pages_say(address: str) -> None:
    listed = {entry["name"] for entry in json.loads(get(address, "/api/contents"))["content"]}
    assert {path.name for path in Path("notebooks").glob("*.ipynb")} <= listed
