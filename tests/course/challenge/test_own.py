"""The learner's own designs: nothing that anybody wrote is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbtutor.core import ConfigError
from lbtutor.course.challenge.design import find_design
from lbtutor.course.challenge.own import OwnFile, own_copy, own_designs, own_folder


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LBTUTOR_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def test_a_copy_of_a_shipped_design_is_made_once_and_kept(state: Path) -> None:
    shipped = find_design("chapter")
    path = own_copy(shipped)
    assert path == state / "designs" / "my-chapter.toml"
    assert path.read_text(encoding="utf-8") == shipped.read_text(encoding="utf-8")
    path.write_text("mine", encoding="utf-8")
    assert own_copy(shipped).read_text(encoding="utf-8") == "mine"
    assert own_designs() == {"my-chapter": path}


def test_without_a_folder_there_are_no_designs() -> None:
    assert own_designs() == {}


def test_what_somebody_else_wrote_meanwhile_is_set_aside() -> None:
    path = own_copy(find_design("chapter"))
    file = OwnFile(path)
    path.write_text("theirs", encoding="utf-8")
    file.write("ours")
    assert path.read_text(encoding="utf-8") == "ours"
    assert file.set_aside is not None
    assert file.set_aside.read_text(encoding="utf-8") == "theirs"
    file.write("ours again")
    assert len(list(own_folder().iterdir())) == 2, "what we wrote ourselves is not set aside"


def test_a_file_that_cannot_be_written_is_an_error_that_names_it(state: Path) -> None:
    state.write_text("in the way", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"mine\.toml: cannot be written"):
        OwnFile(own_folder() / "mine.toml", known="").write("text")


def test_a_file_that_is_not_there_is_an_error_that_names_it() -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml: cannot be read"):
        OwnFile(own_folder() / "gone.toml")


def test_bytes_that_are_no_text_are_shown_as_marks_and_not_lost() -> None:
    path = own_copy(find_design("chapter"))
    path.write_bytes(b"title = \xff")
    assert OwnFile(path).read() == "title = \N{REPLACEMENT CHARACTER}"
