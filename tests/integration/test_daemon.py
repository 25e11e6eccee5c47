"""The daemon in a process of its own: events, stops, restarts, faults and their messages."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.daemons import Photoramd, unprivileged, wait_for
from tests.support.xmp import add_subjects, subjects

Put = Callable[[str, str], Path]


@pytest.fixture
def photoramd(tmp_path: Path, album: Path) -> Iterator[Photoramd]:
    instance = Photoramd(tmp_path, album)
    yield instance
    instance.close()


def snapshot(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        os.fspath(path.relative_to(directory)): (
            path.stat().st_ino,
            path.stat().st_mtime_ns,
            path.read_bytes(),
        )
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_photos_that_are_there_and_that_arrive_are_tagged_once(
    photoramd: Photoramd, put: Put, album: Path
) -> None:
    put("cat", "there.png")
    photoramd.start()
    put("coffee", "arrives.png")
    put("china", "new/deep/arrives.jpg")
    moved = put("rocket", "../outside.jpg").rename(album / "moved-in.jpg")
    photoramd.wait_for_states(written=4)
    assert "cat" in subjects((album / "there.png.xmp").read_bytes())
    assert moved.with_name("moved-in.jpg.xmp").exists()
    assert photoramd.stop() == 0
    before = snapshot(album)
    # A restart scans everything again, and changes nothing.
    photoramd.start()
    put("astronaut", "later.jpg")
    photoramd.wait_for_states(written=5)
    assert photoramd.stop() == 0
    after = snapshot(album)
    assert {name: after[name] for name in before} == before
    assert photoramd.log.read_text().count("there.png: ") == 1


def test_a_file_that_is_written_slowly_is_tagged_when_it_is_whole(
    photoramd: Photoramd, samples: dict[str, Path], album: Path
) -> None:
    # It takes longer than the quiet period as a whole, but no pause does, on a busy machine too.
    photoramd.configure(debounce="quiet_seconds = 2\nmax_wait_seconds = 60")
    photoramd.start()
    content = samples["china"].read_bytes()
    with (album / "slow.jpg").open("wb", buffering=0) as file:
        for index in range(8):
            piece = len(content) // 8 + 1
            file.write(content[index * piece : (index + 1) * piece])
            time.sleep(0.3)
            assert not (album / "slow.jpg.xmp").exists()
    photoramd.wait_for_states(written=1)
    assert "failed" not in photoramd.log.read_text()


def test_a_bad_photo_is_named_with_its_reason_and_the_daemon_goes_on(
    photoramd: Photoramd, put: Put, album: Path
) -> None:
    photoramd.start()
    (album / "bad.jpg").write_text("no photo")
    put("cat", "good.png")
    photoramd.wait_for_states(written=1, failed=1)
    status = photoramd.ask("status")
    assert status["running"]
    (problem,) = status["problems"]
    assert problem["example"].endswith("bad.jpg")
    details = photoramd.ask("show", album / "bad.jpg")
    assert details["state"] == "failed"
    assert details["reason"]
    assert details["next_attempt"] > time.time()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly_in_the_middle_of_work(
    number: signal.Signals, photoramd: Photoramd, put: Put, samples: dict[str, Path], album: Path
) -> None:
    for name in samples:
        for copy in range(3):
            shutil.copyfile(samples[name], album / f"{copy}-{name}.jpg")
    photoramd.start()
    wait_for(lambda: list(album.glob("*.xmp")), "the first sidecar")
    assert photoramd.stop(number) == 0
    assert not list(album.glob(".photoramd-*"))
    photoramd.start()
    wait_for(lambda: photoramd.states().keys() == {"written"}, "the rest")


def test_a_stop_while_the_model_loads_is_a_clean_one(photoramd: Photoramd) -> None:
    with photoramd.log.open("wb") as log:
        photoramd.process = subprocess.Popen(photoramd.command("run"), stderr=log)
    wait_for(lambda: photoramd.database.exists(), "the database")
    while photoramd.process.poll() is None:  # as somebody does who is impatient
        photoramd.send(signal.SIGTERM)
        time.sleep(0.001)
    assert photoramd.stop() == 0
    assert "Traceback" not in photoramd.log.read_text()


def test_a_sidecar_that_is_mended_is_written_at_once(
    photoramd: Photoramd, put: Put, album: Path
) -> None:
    photoramd.start()
    (album / "cat.png.xmp").write_text("broken")
    put("cat", "cat.png")
    photoramd.wait_for_states(tagged=1)
    (album / "cat.png.xmp").write_bytes(add_subjects(None, ["Oma"]) or b"")
    photoramd.wait_for_states(written=1)
    assert subjects((album / "cat.png.xmp").read_bytes()) == ("Oma", "animal", "cat")


def test_killed_again_and_again_every_photo_ends_written_once(
    photoramd: Photoramd, samples: dict[str, Path], album: Path
) -> None:
    photos = [shutil.copyfile(samples[name], album / f"{name}.jpg") for name in samples]
    for round_ in range(4):
        photoramd.start()
        wait_for(lambda wanted=round_ * 5 + 1: len(list(album.glob("*.xmp"))) >= wanted)
        photoramd.stop(signal.SIGKILL)
    photoramd.start()
    photoramd.wait_for_states(written=len(photos))
    assert photoramd.stop() == 0
    connection = sqlite3.connect(photoramd.database)
    ledger = connection.execute(
        """SELECT p.name, l.value FROM ledger l JOIN photos p ON p.id = l.photo_id
           WHERE l.field <> 'seed'"""
    ).fetchall()
    connection.close()
    for photo in photos:
        sidecar = Path(f"{photo}.xmp")
        values = [value for name, value in ledger if os.fsdecode(name) == Path(photo).name]
        content = subjects(sidecar.read_bytes()) if sidecar.exists() else ()
        assert sorted(content) == sorted(values)


def test_a_second_instance_is_told_about_the_first(photoramd: Photoramd) -> None:
    photoramd.start()
    for arguments in (["run"], ["scan", photoramd.album]):
        done = photoramd.run(*arguments)
        assert done.returncode == 4
        assert photoramd.process is not None
        assert str(photoramd.process.pid) in done.stderr
        assert "Traceback" not in done.stderr


def test_its_own_writes_do_not_set_it_off(photoramd: Photoramd, put: Put, album: Path) -> None:
    put("cat", "cat.png")
    photoramd.start()
    photoramd.wait_for_states(written=1)
    before = snapshot(album)
    put("china", "marker.jpg")
    photoramd.wait_for_states(written=2)
    assert {name: snapshot(album)[name] for name in before} == before
    assert photoramd.log.read_text().count("cat.png: ") == 1


def test_odd_names_are_tagged_and_found(photoramd: Photoramd, put: Put, album: Path) -> None:
    names = ["-a.png", "@a.png", " a.png", "a\nb.png", "it's.png", os.fsdecode(b"\xff.png")]
    photoramd.start()
    for name in names:
        put("cat", name)
    photoramd.wait_for_states(written=len(names))
    assert sorted(path.name for path in album.iterdir()) == sorted(
        [*names, *(f"{name}.xmp" for name in names)]
    )
    done = subprocess.run(photoramd.command("query", "cat", "-0"), capture_output=True, check=True)
    found = [os.fsdecode(path) for path in done.stdout.rstrip(b"\0").split(b"\0")]
    assert sorted(found) == sorted(os.fspath(album / name) for name in names)


def test_a_wrong_configuration_ends_with_78_and_names_file_key_and_remedy(
    tmp_path: Path, album: Path
) -> None:
    instance = Photoramd(tmp_path, album, debounce="quiet_secs = 3")
    done = instance.run("run")
    assert done.returncode == 78
    assert str(instance.config) in done.stderr
    assert "debounce.quiet_secs" in done.stderr
    assert "quiet_seconds" in done.stderr


def test_a_foreign_database_ends_with_4_and_is_left_alone(photoramd: Photoramd) -> None:
    photoramd.database.parent.mkdir()
    photoramd.database.write_text("my diary")
    done = photoramd.run("run")
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    assert photoramd.database.read_text() == "my diary"


def test_directories_that_may_not_be_read_or_written_are_named_and_cost_only_themselves(
    tmp_path: Path, album: Path, put: Put
) -> None:
    put("cat", "open/cat.png")
    put("china", "locked/china.jpg")
    put("coffee", "readonly/coffee.png")
    (album / "locked").chmod(0o700)
    (album / "open").chmod(0o777)
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o777)
    instance = Photoramd(tmp_path, album, *unprivileged(tmp_path))
    done = instance.run("scan", "--json")
    assert done.returncode == 0, done.stderr
    assert (album / "open" / "cat.png.xmp").exists()
    status = instance.ask("status")
    assert status["photos"]["written"] == 1
    assert status["photos"]["tagged"] == 1
    (root,) = status["roots"]
    assert root["health"] == "degraded"
    assert "locked" in root["reason"]
    (problem,) = status["problems"]
    assert "Permission denied" in problem["reason"]
    # What was in the way is taken away, and the write happens without a new inference.
    (album / "readonly").chmod(0o777)
    (album / "locked").chmod(0o755)


def test_a_full_disk_keeps_the_result_and_the_photo_and_is_named(
    tmp_path: Path, album: Path, samples: dict[str, Path]
) -> None:
    # A real small file system, in a mount namespace of its own.
    unshare = shutil.which("unshare")
    assert unshare, "the tests need unshare: apt-get install util-linux"
    script = (
        'mount -t tmpfs -o size=700k tmpfs "$1" && cp "$2" "$1/cat.png" &&'
        ' { dd if=/dev/zero of="$1/ballast" bs=1k 2>/dev/null; shift 2;'
        ' "$@" scan --json; [ $? = 4 ]; }'
        ' && ls -A "$0"'
    )
    instance = Photoramd(tmp_path, album)
    done = subprocess.run(
        [unshare, "-m", "sh", "-c", script, album, album, samples["cat"], *instance.command()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert '"not_written": 1' in done.stdout
    assert done.stdout.split()[-2:] == ["ballast", "cat.png"]
    status = instance.ask("status")
    assert status["photos"]["tagged"] == 1
    assert "No space left" in status["problems"][0]["reason"]


def test_a_full_disk_under_the_database_ends_with_4(tmp_path: Path, album: Path, put: Put) -> None:
    put("cat", "cat.png")
    script = (
        'mkdir -p "$0" && mount -t tmpfs -o size=64k tmpfs "$0" &&'
        ' { dd if=/dev/zero of="$0/ballast" bs=1k 2>/dev/null; "$@" scan; }'
    )
    instance = Photoramd(tmp_path, album)
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, instance.database.parent, *instance.command()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert "full" in done.stderr or "No space" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_directory_behind_a_symbolic_link_is_one_directory(
    tmp_path: Path, album: Path, put: Put
) -> None:
    put("cat", "cat.png")
    link = tmp_path / "link"
    link.symlink_to(album)
    instance = Photoramd(tmp_path, link)
    for arguments in ([], [album], [link], [f"{link}/"]):
        assert instance.run("scan", *arguments).returncode == 0
    assert instance.states() == {"written": 1}
    assert instance.run("query", "cat", "--under", link).stdout == f"{album}/cat.png\n"
    assert instance.ask("show", link / "cat.png")["state"] == "written"
    instance.start()
    shutil.copyfile(album / "cat.png", album / "copy.png")
    instance.wait_for_states(written=2)
    assert instance.stop() == 0


def found(photoramd: Photoramd, tag: str) -> list[str]:
    done = photoramd.run("query", tag)
    return [os.path.basename(line) for line in done.stdout.splitlines()]


def test_a_deleted_photo_leaves_the_queries_and_comes_back_with_its_tags(
    photoramd: Photoramd, put: Put, album: Path
) -> None:
    photo, _ = put("cat", "cat.png"), put("rocket", "rocket.jpg")
    photoramd.start()
    photoramd.wait_for_states(written=2)
    assert found(photoramd, "cat") == ["cat.png"]
    kept = photo.rename(album.parent / "kept.png")
    photoramd.wait_for_states(written=1, missing=1)
    assert found(photoramd, "cat") == []
    kept.rename(photo)
    photoramd.wait_for_states(written=2)
    assert found(photoramd, "cat") == ["cat.png"]
    # A program that replaces a file by deleting it deletes no photo.
    content = photo.read_bytes()
    photo.unlink()
    photo.write_bytes(content)
    put("coffee", "marker.png")
    photoramd.wait_for_states(written=3)
    assert "missing" not in photoramd.ask("status")["photos"] or (
        photoramd.ask("status")["photos"]["missing"] == 0
    )


def test_a_keyword_that_another_program_takes_out_is_no_longer_found(
    photoramd: Photoramd, put: Put, exiftool: Callable[..., str]
) -> None:
    photo = put("cat", "cat.png")
    photoramd.start()
    photoramd.wait_for_states(written=1)
    assert found(photoramd, "cat") == ["cat.png"]
    exiftool("-q", "-overwrite_original", "-XMP-dc:Subject-=cat", f"{photo}.xmp")
    wait_for(lambda: found(photoramd, "cat") == [])
    shown = photoramd.ask("show", os.fspath(photo))
    assert "cat" not in shown["tags"]
    assert shown["rejected"] == ["cat"]
    assert found(photoramd, "animal") == ["cat.png"]
    assert photoramd.run("retag", os.fspath(photo)).returncode == 0
    put("rocket", "marker.jpg")
    photoramd.wait_for_states(written=2)
    assert found(photoramd, "cat") == []


def test_undo_and_retag_say_what_they_queued_and_wait(
    photoramd: Photoramd, put: Put, album: Path
) -> None:
    photo, _ = put("cat", "cat.png"), put("rocket", "rocket.jpg")
    photoramd.start()
    photoramd.wait_for_states(written=2)
    dry = photoramd.ask("undo", "--dry-run", os.fspath(album))
    assert len(dry["undone"]) == 2
    assert photo.with_name("cat.png.xmp").exists()
    done = photoramd.run("undo", "--wait", os.fspath(album))
    assert done.returncode == 0
    assert done.stdout.startswith("2 photos are queued")
    assert not photo.with_name("cat.png.xmp").exists()
    assert "no tags" not in photoramd.log.read_text()
    assert photoramd.ask("retag", "--wait", os.fspath(photo)) == {
        "daemon": True, "photos": 1, "done": True,
    }  # fmt: skip
    assert photo.with_name("cat.png.xmp").exists()
    assert not (album / "rocket.jpg.xmp").exists()


def test_a_photo_whose_group_cannot_be_kept_gets_a_sidecar_with_the_reason(
    tmp_path: Path, album: Path, put: Put
) -> None:
    photo = put("cat", "cat.png")
    os.chown(photo, 65534, 0)
    (tmp_path / "state").mkdir()
    for directory in (tmp_path / "state", album):
        directory.chmod(0o777)
    before = photo.read_bytes()
    instance = Photoramd(tmp_path, album, *unprivileged(tmp_path), watch='write = "embed"')
    assert instance.run("scan").returncode == 0
    assert photo.read_bytes() == before
    assert "cat" in subjects((album / "cat.png.xmp").read_bytes())
    status = instance.ask("status")
    assert status["photos"]["written"] == 1
    assert status["places"]["sidecar"] == 1
    (fallback,) = status["places"]["fallbacks"]
    assert "group 0" in fallback["reason"]
    assert instance.ask("show", os.fspath(photo))["fallback"] == fallback["reason"]
