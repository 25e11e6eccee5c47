"""Hooks of the real daemon and of a scan: what hangs, fails or is named oddly costs only itself."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from photoramd.config.hooks import Hooks
from photoramd.doctor.finding import Finding
from photoramd.doctor.hooks import examine_hooks
from photoramd.doctor.systemd_unit import Unit, parse
from tests.support.clock import bound
from tests.support.daemons import Photoramd, wait_for
from tests.support.receiver import receiving
from tests.support.xmp import subjects

Put = Callable[[str, str], Path]

STOP_SECONDS = 30.0
"""What a stop may take on a busy machine; a hook that was waited for would take ten minutes."""


@pytest.fixture
def photoramd(tmp_path: Path, album: Path) -> Iterator[Photoramd]:
    instance = Photoramd(tmp_path, album)
    yield instance
    instance.close()


def configure(photoramd: Photoramd, tagged: str | list[str], settings: str = "") -> None:
    photoramd.configure(hooks=f"tagged = {json.dumps(tagged)}\nwait_seconds = 0.1\n{settings}")


def script(tmp_path: Path, text: str) -> str:
    path = tmp_path / "hook"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return os.fspath(path)


def test_photos_of_any_name_are_announced_once_and_nothing_of_a_name_is_run(
    photoramd: Photoramd, put: Put, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    configure(photoramd, [script(tmp_path, f"printf '%s\\0' \"$@\" >> '{out}'"), "{path}"])
    names = ["$(touch x).png", "-rf.png", "a\nb.png", "; id;.png", os.fsdecode(b"\xff.png")]
    photoramd.start()
    photos = [put("cat", name) for name in names]
    photoramd.wait_for_states(written=len(names))
    expected = sorted(os.fsencode(photo) for photo in photos)
    wait_for(lambda: out.exists() and out.read_bytes().count(b"\0") == len(names))
    assert photoramd.stop() == 0
    # A restart scans them again, and writes nothing.
    photoramd.start()
    later = put("coffee", "later.png")
    wait_for(lambda: b"later" in out.read_bytes())
    assert photoramd.stop() == 0
    told = out.read_bytes().split(b"\0")[:-1]
    assert sorted(told) == sorted([*expected, os.fsencode(later)])
    assert not list(tmp_path.rglob("x"))


def test_a_hook_that_hangs_delays_neither_tagging_nor_a_stop(
    photoramd: Photoramd, put: Put, tmp_path: Path, album: Path
) -> None:
    started = tmp_path / "started"
    configure(
        photoramd, [script(tmp_path, f"touch '{started}'; sleep 600")], "timeout_seconds = 600"
    )
    photoramd.start()
    put("cat", "first.png")
    wait_for(started.exists, "the hook")
    began = time.monotonic()
    for number, name in enumerate(["china", "coffee", "rocket"]):
        put(name, f"{number}.jpg")
        photoramd.wait_for_states(written=number + 2)
    assert time.monotonic() - began < bound(120)
    assert subjects((album / "0.jpg.xmp").read_bytes())
    began = time.monotonic()
    assert photoramd.stop() == 0
    assert time.monotonic() - began < bound(STOP_SECONDS)
    assert "Not announced before photoramd stopped: 4 photos" in photoramd.log.read_text()


def test_a_server_is_told_what_query_shows(photoramd: Photoramd, put: Put) -> None:
    with receiving() as receiver:
        configure(photoramd, receiver.address)
        photoramd.start()
        put("cat", "cat.png")
        wait_for(lambda: receiver.requests)
        assert photoramd.stop() == 0
    ((_, _, body),) = receiver.requests
    (found,) = photoramd.ask("query", "cat")
    shown = {key: found[key] for key in ("file", "state", "tags", "confidences")}
    assert body == {"version": 1, "photos": [shown]}


def test_a_reload_replaces_a_hook_that_fails_and_the_photos_come_to_the_new_one(
    photoramd: Photoramd, put: Put, tmp_path: Path
) -> None:
    out, failed = tmp_path / "out", tmp_path / "failed"
    configure(photoramd, ["sh", "-c", f"touch '{failed}'; exit 1"])
    photoramd.start()
    photo = put("cat", "cat.png")
    wait_for(failed.exists)
    configure(photoramd, ["sh", "-c", f"cat >> '{out}'"])
    photoramd.send(signal.SIGHUP)
    wait_for(lambda: out.exists() and out.read_text())
    assert json.loads(out.read_text())["file"] == os.fspath(photo)
    assert photoramd.stop() == 0
    assert "Not announced" not in photoramd.log.read_text()


def test_a_scan_announces_everything_before_it_ends(
    photoramd: Photoramd, put: Put, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    program = script(tmp_path, f"sleep 0.2; echo \"$@\" >> '{out}'")
    configure(photoramd, [program, "{path}"], "max_photos = 1")
    photos = [put("cat", f"{number}.png") for number in range(3)]
    assert photoramd.run("scan").returncode == 0
    assert sorted(out.read_text().split()) == sorted(map(os.fspath, photos))
    # Nothing was written this time.
    assert photoramd.run("scan").returncode == 0
    assert out.read_text().count("\n") == 3


def test_a_scan_whose_hook_fails_has_tagged_all_the_same(
    photoramd: Photoramd, put: Put, tmp_path: Path, album: Path
) -> None:
    configure(photoramd, ["/nonexistent/program"])
    put("cat", "cat.png")
    done = photoramd.run("scan")
    assert done.returncode == 0
    assert "/nonexistent/program: No such file" in done.stderr
    assert subjects((album / "cat.png.xmp").read_bytes())


# The doctor

HARDENED = parse(
    {
        "LoadState": "loaded",
        "PrivateNetwork": "yes",
        "RestrictAddressFamilies": "AF_UNIX",
        "ProtectHome": "yes",
        "NoNewPrivileges": "yes",
    }
)


def found(
    tagged: str | tuple[str, ...], unit: Unit | None = None, config: Path | None = None
) -> list[Finding]:
    return list(examine_hooks(Hooks(tagged=tagged), config, unit))


def test_the_doctor_names_a_program_that_cannot_be_started(
    photoramd: Photoramd, tmp_path: Path
) -> None:
    configure(photoramd, [os.fspath(tmp_path / "hook")])
    done = photoramd.run("doctor", "--json")
    assert done.returncode == 4
    findings = {each["subject"]: each for each in json.loads(done.stdout)["findings"]}
    assert findings["hooks"]["grade"] == "error"
    assert "is not there" in findings["hooks"]["text"]
    script(tmp_path, "")
    assert photoramd.run("doctor", "--json").returncode == 0
    assert found(())[0].text == "none is configured"


def test_the_doctor_knows_what_the_unit_keeps_from_a_hook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as receiver:
        (error,) = found(receiver.address, HARDENED)
        assert (error.grade, error.exit_code) == ("error", 4)
        assert "has no network" in error.text
        (good,) = found(receiver.address)
        assert good.grade == "ok"
        assert receiver.requests == []
    (warning,) = found(receiver.address)
    assert warning.grade == "warning"
    assert "does not answer" in warning.text
    (warning,) = found("http://not..a-name/")  # which Python cannot even ask for
    assert warning.grade == "warning"
    program = Path(script(tmp_path, ""))
    assert [each.grade for each in found((os.fspath(program),), HARDENED)] == ["ok"]
    with monkeypatch.context() as patch:
        # Where tests can make files there are seldom homes.
        patch.setattr("photoramd.doctor.hooks._HOMES", (f"{tmp_path.resolve()}/",))
        (error,) = found((os.fspath(program),), HARDENED)
        assert "home directories are hidden" in error.text
        assert [each.grade for each in found((os.fspath(program),))] == ["ok"]
    program.chmod(0o4755)
    (error,) = found((os.fspath(program),), HARDENED)
    assert "setuid" in error.text
    assert [each.grade for each in found((os.fspath(program),))] == ["ok"]


@pytest.mark.parametrize(
    ("shown", "has_network"),
    [
        ({}, True),
        ({"RestrictAddressFamilies": "~"}, True),
        ({"RestrictAddressFamilies": "AF_UNIX AF_INET"}, True),
        ({"RestrictAddressFamilies": "AF_UNIX"}, False),
        ({"RestrictAddressFamilies": ""}, False),
        ({"RestrictAddressFamilies": "~AF_INET AF_INET6"}, False),
        ({"PrivateNetwork": "yes", "RestrictAddressFamilies": "~"}, False),
    ],
)
def test_whether_a_unit_has_a_network_is_read_as_systemctl_shows_it(
    shown: dict[str, str], has_network: bool
) -> None:
    unit = parse({"LoadState": "loaded", **shown})
    assert unit is not None
    assert unit.has_network == has_network


def test_the_doctor_warns_of_a_configuration_that_others_may_write(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.touch()
    config.chmod(0o664)
    _, warning = found(("true",), config=config)
    assert warning.grade == "warning"
    config.chmod(0o644)
    assert len(found(("true",), config=config)) == 1
