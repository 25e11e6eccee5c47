"""Undo, retag and changed settings, with real parts in one process and with the commands."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path

import pytest

from photoramd import cli
from photoramd.config.schema import Config
from photoramd.database import backups
from photoramd.database.connection import Database
from photoramd.database.requests import Request, submit
from photoramd.search import queries
from tests.support.album import (
    Scan,
    ask_again,
    changed,
    keywords,
    snapshot,
    states,
    take_back,
    written,
)
from tests.support.files import sidecar_of
from tests.support.taggers import CountingTagger
from tests.support.xmp import provenance, subjects, values

Put = Callable[[str, str], Path]
Configure = Callable[..., Config]

USERS = """<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="5"
   xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:lr="http://ns.adobe.com/lightroom/1.0/">
   <dc:subject><rdf:Bag><rdf:li>Oma</rdf:li></rdf:Bag></dc:subject>
   <lr:hierarchicalSubject><rdf:Bag><rdf:li>Family|Oma</rdf:li></rdf:Bag></lr:hierarchicalSubject>
   <!-- kept -->
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""


def test_undo_leaves_the_album_as_it_was(
    scan: Scan, configure: Configure, put: Put, album: Path
) -> None:
    mine, users = put("cat", "cat.png"), put("china", "sub/china.jpg")
    sidecar_of(users).write_text(USERS)
    before = {path: path.read_bytes() for path in album.rglob("*") if path.is_file()}
    scan(configure())
    assert "cat" in keywords(mine)
    assert len(keywords(users)) > 1
    outcomes = take_back(configure(), album)
    assert [each.error for each in outcomes] == [None, None]
    assert {path: path.read_bytes() for path in album.rglob("*") if path.is_file()} == before
    removed = {each.path: each for each in outcomes}
    assert "cat" in removed[mine].removed
    assert removed[mine].removed_sidecar
    assert not removed[users].removed_sidecar


def test_undone_photos_get_no_tags_until_they_are_asked_for(
    scan: Scan, configure: Configure, put: Put, tagger: CountingTagger
) -> None:
    photo = put("cat", "cat.png")
    scan(configure())
    tags = keywords(photo)
    take_back(configure(), photo)
    with closing(queries.open_readonly(configure().state.path)) as connection:
        details = queries.photo(connection, photo)
        assert queries.find(connection, queries.parse("cat")) == []
    assert details is not None
    assert details.undone_at == 1e9
    os.utime(photo)
    scan(configure())
    scan(changed(configure(), parent="Auto"))
    assert not sidecar_of(photo).exists()
    ask_again(configure(), photo.parent)
    assert written(scan(configure())) == ["cat.png"]
    assert keywords(photo) == tags
    assert tagger.inferred == 1
    assert states(configure()) == {"written": 1}


def test_a_dry_run_says_the_same_and_changes_nothing(
    scan: Scan, configure: Configure, put: Put, album: Path
) -> None:
    photo = put("cat", "cat.png")
    scan(configure())
    before = snapshot(album)
    said = take_back(configure(), photo, dry_run=True)
    assert snapshot(album) == before
    assert take_back(configure(), photo) == said
    assert said[0].files == (sidecar_of(photo),)


def test_what_the_user_added_afterwards_stays(
    scan: Scan, configure: Configure, put: Put, exiftool: Callable[..., str]
) -> None:
    photo = put("cat", "cat.png")
    scan(configure())
    exiftool("-q", "-overwrite_original", "-Subject+=Opa", "-Rating=4", sidecar_of(photo))
    take_back(configure(), photo)
    assert keywords(photo) == ("Opa",)
    assert exiftool("-s3", "-Rating", sidecar_of(photo)) == "4\n"
    assert not provenance(sidecar_of(photo).read_bytes())


def test_a_sidecar_that_another_program_rewrote_goes_if_it_holds_nothing(
    scan: Scan, configure: Configure, put: Put, exiftool: Callable[..., str]
) -> None:
    photo = put("cat", "cat.png")
    scan(configure())
    exiftool("-q", "-overwrite_original", "-Subject+=Opa", sidecar_of(photo))
    exiftool("-q", "-overwrite_original", "-Subject-=Opa", sidecar_of(photo))
    take_back(configure(), photo)
    assert not sidecar_of(photo).exists()


def test_tags_that_the_user_took_out_stay_out_after_undo_and_retag(
    scan: Scan, configure: Configure, put: Put, exiftool: Callable[..., str]
) -> None:
    photo = put("cat", "cat.png")
    scan(configure())
    tags = keywords(photo)
    exiftool("-q", "-overwrite_original", "-Subject-=cat", sidecar_of(photo))
    take_back(configure(), photo)
    assert not sidecar_of(photo).exists()
    ask_again(configure(), photo)
    scan(configure())
    assert set(keywords(photo)) == set(tags) - {"cat"}


def test_changed_settings_reach_the_files_from_stored_scores(
    scan: Scan, configure: Configure, put: Put, tagger: CountingTagger, album: Path
) -> None:
    photo = put("cat", "cat.png")
    scan(configure())
    before, all_tags = snapshot(album), keywords(photo)
    scan(configure(top_n=1))
    assert len(keywords(photo)) == 1
    denied = changed(configure(), deny=("cat",))
    scan(denied)
    assert set(keywords(photo)) == set(all_tags) - {"cat"}
    scan(configure())
    assert set(keywords(photo)) == set(all_tags)
    again = snapshot(album)
    assert scan(configure()) == []
    assert snapshot(album) == again
    assert again.keys() == before.keys()
    assert tagger.inferred == 1


def test_a_parent_moves_to_the_hierarchical_fields(
    scan: Scan, configure: Configure, put: Put, tagger: CountingTagger
) -> None:
    photo = put("cat", "cat.png")
    sidecar_of(photo).write_text(USERS)
    scan(configure())
    scan(changed(configure(), parent="Auto", fields=("digiKam:TagsList",)))
    found = values(sidecar_of(photo).read_bytes())
    assert found["dc:subject"][0] == "Oma"
    assert "cat" in found["dc:subject"]
    assert found["lr:hierarchicalSubject"][0] == "Family|Oma"
    assert all(path.startswith("Auto|") for path in found["lr:hierarchicalSubject"][1:])
    assert any(path.endswith("|cat") for path in found["lr:hierarchicalSubject"])
    assert found["digiKam:TagsList"][0] == "Family/Oma"
    assert any(path.endswith("/cat") for path in found["digiKam:TagsList"])
    assert tagger.inferred == 1
    take_back(configure(), photo)
    assert sidecar_of(photo).read_text() == USERS


def test_mode_none_stops_writing_and_leaves_what_is_there(
    scan: Scan, configure: Configure, put: Put, album: Path
) -> None:
    photo = put("cat", "cat.png")
    scan(configure())
    before = snapshot(album)
    scan(configure(write="none", top_n=1))
    assert snapshot(album) == before
    take_back(configure(write="none"), photo)
    assert not sidecar_of(photo).exists()


def test_a_failure_costs_one_photo_and_can_be_repeated(
    scan: Scan, configure: Configure, put: Put, album: Path
) -> None:
    bad, good = put("cat", "bad.png"), put("china", "good.jpg")
    scan(configure())
    whole = sidecar_of(bad).read_bytes()
    sidecar_of(bad).write_bytes(b"not XML")
    outcomes = {each.path: each for each in take_back(configure(), album)}
    assert outcomes[bad].error is not None
    assert outcomes[good].removed_sidecar
    assert sidecar_of(bad).read_bytes() == b"not XML"
    sidecar_of(bad).write_bytes(whole)
    assert [each.path for each in take_back(configure(), album) if each.files] == [bad]


@pytest.fixture
def command(
    configure: Configure,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., tuple[int, str, str]]:
    # An earlier test's model may hang in this process, which must not end at once for that.
    monkeypatch.setattr(cli, "end", sys.exit)
    config = configure()
    file = tmp_path / "config.toml"
    file.write_text(
        f"[[watch]]\npath = {json.dumps(str(config.watch[0].path))}\n"
        f"[state]\npath = {json.dumps(str(config.state.path))}\n"
    )

    def run(*arguments: object) -> tuple[int, str, str]:
        words = ["photoramd", "--config", str(file), *map(str, arguments)]
        sys_argv, sys.argv = sys.argv, words
        try:
            with pytest.raises(SystemExit) as ended:
                cli.main()
        finally:
            sys.argv = sys_argv
        out, err = capfd.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return code, out, err

    return run


def test_the_commands_undo_and_retag(
    scan: Scan,
    configure: Configure,
    put: Put,
    command: Callable[..., tuple[int, str, str]],
    tagger: CountingTagger,
) -> None:
    photo = put("cat", "cat.png")
    scan(configure())
    code, out, _ = command("undo", "--dry-run", photo)
    assert code == 0
    assert "cat" in out
    assert sidecar_of(photo).exists()
    code, out, _ = command("undo", "--json", photo.parent)
    assert code == 0
    answer = json.loads(out)
    assert [each["file"] for each in answer["undone"]] == [str(photo)]
    assert answer["undone"][0]["removed_sidecar"] is True
    assert not sidecar_of(photo).exists()
    code, out, _ = command("show", photo)
    assert "undone" in out
    code, out, _ = command("retag", "--json", photo)
    assert code == 0, out
    assert json.loads(out) == {
        "tagged": 1, "inferred": 0, "not_written": 0, "failed": 0, "undone": 0, "completed": True,
    }  # fmt: skip
    assert "cat" in subjects(sidecar_of(photo).read_bytes())
    assert command("undo", "--quiet", photo)[:2] == (0, "")


@pytest.mark.parametrize("mode", ["sidecar", "embed"])
def test_a_daemon_that_is_asked_takes_back_and_tags_again(
    mode: str, scan: Scan, configure: Configure, put: Put, album: Path, tagger: CountingTagger
) -> None:
    config = configure(write=mode)
    photo, users = put("china", "a.jpg"), put("cat", "sub/cat.png")
    sidecar_of(users).write_text(USERS)
    before = {path: path.read_bytes() for path in album.rglob("*.*")}
    scan(config)
    assert before != {path: path.read_bytes() for path in album.rglob("*.*")}
    submit(config.state.path, [Request(str(album), is_undo=True)])
    scan(config)
    after = {path: path.read_bytes() for path in album.rglob("*.*")}
    assert after.keys() == before.keys()
    assert after[photo] == before[photo]
    assert after[sidecar_of(users)] == before[sidecar_of(users)]
    assert states(config) == {"written": 2}
    with Database(config.state.path) as database:
        assert database.rows("SELECT * FROM ledger") == []
        assert database.rows("SELECT * FROM keywords") == []
    assert scan(config) == []
    submit(config.state.path, [Request(str(photo))])
    assert "a.jpg" in written(scan(config))
    assert tagger.inferred == 2


def test_a_daemon_takes_back_the_tags_of_a_photo_that_was_damaged_since(
    scan: Scan, configure: Configure, put: Put, album: Path
) -> None:
    config = configure()
    photo = put("china", "a.jpg")
    whole = photo.read_bytes()
    scan(config)
    photo.write_bytes(whole[:5000])
    submit(config.state.path, [Request(str(album), is_undo=True)])
    scan(config)
    assert list(album.iterdir()) == [photo]
    assert states(config) == {"written": 1}
    submit(config.state.path, [Request(str(album))])
    scan(config)
    assert states(config) == {"failed": 1}
    assert list(album.iterdir()) == [photo]


def test_a_path_that_nothing_would_come_of_is_named_whether_a_daemon_runs_or_not(
    scan: Scan,
    configure: Configure,
    put: Put,
    tmp_path: Path,
    command: Callable[..., tuple[int, str, str]],
) -> None:
    photo = put("cat", "cat.png")
    outside, hidden = tmp_path / "outside", photo.parent / ".hidden"
    text = photo.with_suffix(".txt")
    for directory in (outside, hidden):
        directory.mkdir()
    text.touch()
    scan(configure())
    for is_running in (False, True):
        with Database(configure().state.path) if is_running else nullcontext():
            for path in (outside, hidden, text):
                code, _, err = command("undo", path)
                assert (code, "knows no photo" in err) == (1, True)
            code, _, err = command("retag", outside)
            assert (code, "does not watch it" in err, "photoramd scan" in err) == (1, True, True)
            for path in (hidden, text):
                code, _, err = command("retag", path)
                assert (code, "leaves it out" in err) == (1, True)
    # Known, from a scan on request, but the daemon does not look there.
    shutil.copyfile(photo, outside / "a.png")
    assert command("scan", "-q", outside)[0] == 0
    with Database(configure().state.path):
        code, _, err = command("retag", outside)
        assert (code, "daemon does not watch it" in err) == (1, True)
    assert command("retag", "-q", outside)[0] == 0


def test_a_directory_may_be_named_by_a_link(
    scan: Scan,
    configure: Configure,
    put: Put,
    tmp_path: Path,
    command: Callable[..., tuple[int, str, str]],
) -> None:
    photo = put("cat", "a/cat.png")
    scan(configure())
    link = tmp_path / "link"
    link.symlink_to(photo.parent)
    assert command("undo", "-q", link)[0] == 0
    assert not sidecar_of(photo).exists()
    assert command("retag", "-q", link)[0] == 0
    assert sidecar_of(photo).exists()


@pytest.mark.parametrize("mode", ["sidecar", "embed"])
@pytest.mark.parametrize("has_copy", [True, False])
def test_after_the_database_was_lost_or_an_old_copy_restored_undo_still_takes_back_all(
    mode: str,
    has_copy: bool,
    scan: Scan,
    configure: Configure,
    put: Put,
    album: Path,
    tmp_path: Path,
) -> None:
    database, copy = configure().state.path, tmp_path / "copy.db"
    before = {put("china", "known.jpg"): b"", put("rocket", "other.jpg"): b""}
    before = {path: path.read_bytes() for path in before}
    scan(configure(write=mode, top_n=1))
    with Database(database) as opened, opened.transaction() as db:
        db.execute("UPDATE photos SET written_at = written_at - 3600")  # an hour ago
    backups.copy(database, copy)
    new = put("coffee", "new.jpg")
    before[new] = new.read_bytes()
    scan(configure(write=mode, threshold=0.1, top_n=9))
    query_ledger = (
        "SELECT p.name, l.field, l.value FROM ledger l JOIN photos p ON p.id = l.photo_id"
    )
    with Database(database) as opened:
        known = sorted(opened.rows(query_ledger))
    if has_copy:
        backups.restore(copy, database)
    else:
        backups.set_aside(database)
    scan(configure(write=mode, threshold=0.1, top_n=9))
    with Database(database) as opened:
        assert sorted(opened.rows(query_ledger)) == known
    assert len(known) > 6
    take_back(configure(write=mode), album)
    assert {path: path.read_bytes() for path in album.iterdir()} == before


def test_the_commands_name_what_is_wrong(
    scan: Scan, configure: Configure, put: Put, command: Callable[..., tuple[int, str, str]]
) -> None:
    photo = put("cat", "cat.png")
    scan(configure())
    for name in ("undo", "retag"):
        code, _, err = command(name, photo.with_name("nothing.jpg"))
        assert code == 1
        assert "knows no photo" in err
    with Database(configure().state.path):
        # What reads only does not need the database for itself.
        code, out, _ = command("undo", "--dry-run", "--json", photo)
        assert code == 0
        assert "cat" in json.loads(out)["undone"][0]["tags"]
        assert sidecar_of(photo).exists()
        # What owns the database is asked, and has the request in its rows.
        assert command("retag", "--json", photo)[0] == 0
    sidecar_of(photo).write_bytes(b"not XML")
    code, _, err = command("undo", photo)
    assert code == 4
    assert "well-formed" in err
    shutil.rmtree(photo.parent)
    code, out, _ = command("undo", "--json", photo)
    assert code == 4
    assert "not there" in json.loads(out)["failed"][0]["error"]
    with Database(configure().state.path) as database:
        assert database.rows("SELECT count(*) FROM ledger")[0][0] > 0
