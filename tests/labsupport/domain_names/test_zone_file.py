"""A zone file to work on: copied, and edited in steps that show what they changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from labsupport import paths
from labsupport.domain_names import zone_file
from labsupport.domain_names.zone_file import NoSuchText

TEXT = """\
$ORIGIN lab.example.
@    IN A 192.0.2.10  ; the site
www  IN A 192.0.2.10
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "lab.zone"
    file.write_text(TEXT)
    return file


def test_a_copy_is_fresh_each_time_and_leaves_the_original(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "state_dir", lambda: tmp_path / "state")
    copy = zone_file.zone_copy(str(file))
    assert copy == tmp_path / "state" / "zones" / "lab.zone"
    assert copy.parent.stat().st_mode & 0o077 == 0
    copy.write_text("nonsense")
    assert file.read_text() == TEXT
    assert zone_file.zone_copy(str(file)).read_text() == TEXT


def test_a_text_is_replaced_once_and_the_line_is_shown_without_its_comment(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    zone_file.replace(file, "192.0.2.10", "192.0.2.77")
    assert file.read_text() == TEXT.replace("192.0.2.10  ;", "192.0.2.77  ;")
    assert capsys.readouterr().out == "- @    IN A 192.0.2.10\n+ @    IN A 192.0.2.77\n"


def test_a_text_that_is_not_there_is_not_replaced(file: Path) -> None:
    with pytest.raises(NoSuchText, match=r"lab\.zone does not hold '192\.0\.2\.99': make a fresh copy"):
        zone_file.replace(file, "192.0.2.99", "192.0.2.77")
    assert file.read_text() == TEXT


def test_lines_are_appended_and_shown(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zone_file.append(file, "shop IN A 192.0.2.11", "blog IN CNAME www")
    assert file.read_text() == TEXT + "shop IN A 192.0.2.11\nblog IN CNAME www\n"
    assert capsys.readouterr().out == "+ shop IN A 192.0.2.11\n+ blog IN CNAME www\n"


def test_a_line_is_removed_and_shown(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zone_file.append(file, "shop IN A 192.0.2.11")
    zone_file.remove(file, "shop IN A 192.0.2.11")
    assert file.read_text() == TEXT
    assert capsys.readouterr().out.splitlines()[1:] == ["- shop IN A 192.0.2.11"]


def test_of_two_equal_lines_one_is_removed(file: Path) -> None:
    zone_file.append(file, "shop IN A 192.0.2.11", "shop IN A 192.0.2.11")
    zone_file.remove(file, "shop IN A 192.0.2.11")
    assert file.read_text() == TEXT + "shop IN A 192.0.2.11\n"


def test_a_line_that_is_not_there_is_not_removed(file: Path) -> None:
    with pytest.raises(NoSuchText, match="has no line 'www IN A'"):
        zone_file.remove(file, "www IN A")
    assert file.read_text() == TEXT
