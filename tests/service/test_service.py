"""photoramd as a service on a real systemd, from contrib/install.sh to --uninstall.

The tests are one story: each goes on where the one before ended. They take some minutes and
fetch 0.7 GB when they run for the first time, so `make test` leaves them out; `make
test-systemd` runs them.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.machine import Machine, booted
from tests.support.clock import bound
from tests.support.debian import REPOSITORY, progress, wait_for
from tests.support.documents import blocks
from tests.support.torch_index import write_index
from tests.support.xmp import subjects

pytestmark = pytest.mark.timeout(1800)

PHOTOS = "/srv/My Photos"
PICTURES = "/home/anna/Pictures"
ANNA, USERS = 1000, 100
WELL = "errors: 0, warnings: 0\n\n== What now?\n"
"""What the installer says at its end if doctor finds nothing."""

Put = Callable[..., Path]


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A NAS: anna's photos belong to her and to a group, her pictures are in her home."""
    with booted() as running:
        running.run(
            f"useradd --create-home --uid {ANNA} --gid {USERS} anna;"
            f" install -d -o anna -g users -m 2775 '{PHOTOS}' '{PHOTOS}/2024';"
            f" install -d -o anna -g users -m 2775 {PICTURES}; chmod 755 /home/anna"
        )
        yield running


@pytest.fixture
def put(machine: Machine, samples: dict[str, Path]) -> Put:
    """A photo of anna's arrives: put("cat", "/srv/My Photos/cat.png")."""

    def copy(sample: str, inside: str) -> Path:
        target = machine.path(inside)
        shutil.copyfile(samples[sample], target)
        os.chown(target, ANNA, USERS)
        target.chmod(0o664)
        return target

    return copy


def sidecar(photo: Path) -> Path:
    return photo.with_name(f"{photo.name}.xmp")


def wait_for_tags(photo: Path) -> tuple[str, ...]:
    wait_for(lambda: sidecar(photo).exists(), f"the sidecar of {photo}")
    return subjects(sidecar(photo).read_bytes())


def snapshot(machine: Machine, *below: str) -> dict[str, tuple[int, int, bytes]]:
    """Inode, date and content of every file below directories of the machine."""
    return {
        os.fspath(path): (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes())
        for top in below
        for path in machine.path(top).rglob("*")
        if path.is_file()
    }


def states(machine: Machine) -> dict[str, int]:
    photos = json.loads(machine.run("photoramd status --json"))["photos"]
    return {state: count for state, count in photos.items() if count}


def journal(machine: Machine, since: str = "") -> list[dict[str, Any]]:
    """The service's entries in the journal, oldest first."""
    lines = machine.run(f"journalctl --no-pager -o json -u photoramd.service {since}").splitlines()
    return [json.loads(line) for line in lines]


def install(machine: Machine, *options: str) -> str:
    wheels = "PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels"
    return machine.run(f"{wheels} /src/contrib/install.sh {' '.join(options)} 2>&1", timeout=1500)


def test_the_installer_ends_with_a_doctor_who_finds_all_well(machine: Machine) -> None:
    refused = machine.try_("/src/contrib/install.sh")
    assert refused.returncode == 1
    assert "--photos DIR" in refused.stderr
    started = time.monotonic()
    output = install(machine, "--photos", f"'{PHOTOS}'", PICTURES, "--group", "users")
    progress(f"installed in {time.monotonic() - started:.0f} s")
    assert WELL in output, output
    advice = output.partition(WELL)[2]
    assert f"copy a photo into {PHOTOS}: " in advice
    assert "no photo is tagged" in machine.try_("sudo -u photoramd photoramd query cat").stderr
    assert "sudo -u photoramd photoramd query cat" in advice
    assert "checked as photoramd" in output
    assert machine.show("ActiveState", "UnitFileState") == {
        "ActiveState": "active",
        "UnitFileState": "enabled",
    }


def test_photos_get_sidecars_of_the_photos_group_and_mode(machine: Machine, put: Put) -> None:
    for photo, tag in (
        (put("cat", f"{PHOTOS}/2024/cat one.png"), "cat"),
        (put("coffee", f"{PICTURES}/coffee.png"), "cup"),
    ):
        before = photo.stat()
        assert tag in wait_for_tags(photo)
        status = sidecar(photo).stat()
        assert (status.st_gid, oct(status.st_mode)) == (USERS, oct(before.st_mode))
        owner = machine.run(f"stat -c %U '/{sidecar(photo).relative_to(machine.root)}'")
        assert owner.strip() == "photoramd"
        assert photo.stat() == before or photo.stat().st_mtime_ns == before.st_mtime_ns
    assert "cat one.png" in machine.run("photoramd query cat")
    # The service's own filter lets the processes that read photos give up what is left to them.
    assert not [each for each in journal(machine) if "could open files" in str(each["MESSAGE"])]


def test_the_service_says_what_it_does(machine: Machine) -> None:
    text = machine.run("systemctl status --no-pager photoramd.service")
    (status,) = [line for line in text.splitlines() if "Status:" in line]
    progress(status.strip())
    assert "Watching 2 directories" in status
    entries = [each for each in journal(machine) if "PHOTO" in each]
    assert {each["PHOTO"] for each in entries} == {
        f"{PHOTOS}/2024/cat one.png",
        f"{PICTURES}/coffee.png",
    }
    for each in entries:
        assert {"TAGS", "ROOT", "DURATION"} <= each.keys(), each
        assert each["PHOTO"].startswith(each["ROOT"])
        assert float(each["DURATION"]) > 0


def test_killed_it_is_started_again_and_does_nothing_twice(machine: Machine, put: Put) -> None:
    before = snapshot(machine, PHOTOS, PICTURES)
    restarts = int(machine.show("NRestarts")["NRestarts"])
    machine.run("systemctl kill --kill-who=main --signal=SIGKILL photoramd.service")
    while_down = put("rocket", f"{PHOTOS}/rocket.jpg")

    def is_back() -> bool:
        shown = machine.show("NRestarts", "ActiveState")
        return shown == {"NRestarts": str(restarts + 1), "ActiveState": "active"}

    wait_for(is_back, "the restart")
    wait_for_tags(while_down)
    wait_for(lambda: states(machine) == {"written": 3}, "three photos")
    after = snapshot(machine, PHOTOS, PICTURES)
    assert {path: after[path] for path in before} == before
    tagged = [each["PHOTO"] for each in journal(machine) if "PHOTO" in each]
    assert sorted(tagged) == sorted(set(tagged))


def test_a_blocked_worker_is_replaced_by_the_watchdog(machine: Machine, put: Put) -> None:
    machine.run(
        "mkdir -p /run/systemd/system/photoramd.service.d;"
        " printf '[Service]\nWatchdogSec=6\nTimeoutAbortSec=4\nRestartSec=1\n'"
        " > /run/systemd/system/photoramd.service.d/quick.conf;"
        " systemctl daemon-reload; systemctl restart photoramd.service"
    )
    process = machine.show("MainPID")["MainPID"]
    machine.run(f"kill -STOP {process}")
    photo = put("china", f"{PHOTOS}/china.jpg")

    def is_another() -> bool:
        shown = machine.show("MainPID", "ActiveState")
        return shown["ActiveState"] == "active" and shown["MainPID"] not in ("0", process)

    wait_for(is_another, "the watchdog's restart")
    assert "Watchdog timeout" in machine.run("journalctl --no-pager -u photoramd.service")
    wait_for_tags(photo)
    # In a quiet minute it pings all the same.
    process = machine.show("MainPID")["MainPID"]
    time.sleep(15)
    assert machine.show("MainPID")["MainPID"] == process
    machine.run(
        "rm /run/systemd/system/photoramd.service.d/quick.conf; systemctl daemon-reload;"
        " systemctl restart photoramd.service"
    )


def test_a_reload_takes_the_new_configuration_and_refuses_a_bad_one(
    machine: Machine, put: Put
) -> None:
    config = machine.path("/etc/photoramd/config.toml")
    good = config.read_text()
    process = machine.show("MainPID")["MainPID"]
    config.write_text(good.replace("#top_n = 15", "top_n = 1"))
    machine.run("systemctl reload photoramd.service")
    photo = put("motorcycle", f"{PHOTOS}/motorcycle.png")
    assert len(wait_for_tags(photo)) == 1
    config.write_text(good.replace("#top_n = 15", "top_n = 'many'"))
    machine.try_("systemctl reload photoramd.service")
    photo = put("imagenet_99", f"{PHOTOS}/goose.jpg")
    assert len(wait_for_tags(photo)) == 1
    assert any("top_n" in str(each.get("MESSAGE", "")) for each in journal(machine))
    assert machine.show("MainPID", "ActiveState") == {"MainPID": process, "ActiveState": "active"}
    config.write_text(good)
    machine.run("systemctl reload photoramd.service")
    wait_for(lambda: len(subjects(sidecar(photo).read_bytes())) > 1, "all tags again")


def test_it_stops_cleanly_under_load_and_goes_on_afterwards(machine: Machine, put: Put) -> None:
    done = states(machine)["written"]
    machine.run(f"install -d -o anna -g users -m 2775 '{PHOTOS}/import'")
    photos = [put("china", f"{PHOTOS}/import/{number}.jpg") for number in range(200)]
    for number, photo in enumerate(photos):
        with photo.open("ab") as file:
            file.write(b"%d" % number)
    wait_for(lambda: any(sidecar(photo).exists() for photo in photos), "the first sidecar")
    started = time.monotonic()
    machine.run("systemctl stop photoramd.service")
    progress(f"stopped after {time.monotonic() - started:.1f} s")
    shown = machine.show("Result", "ExecMainStatus", "ActiveState")
    assert shown == {"Result": "success", "ExecMainStatus": "0", "ActiveState": "inactive"}
    assert not list(machine.path(PHOTOS).rglob(".photoramd-*"))
    doctor = machine.try_("photoramd doctor")
    assert "systemctl start photoramd" in doctor.stdout
    machine.run("systemctl start photoramd.service")
    wait_for(lambda: states(machine) == {"written": done + len(photos)}, "all of them", 120)


def test_installed_again_for_another_user_it_goes_on_with_what_it_knows(
    machine: Machine, put: Put
) -> None:
    known = states(machine)
    before = snapshot(machine, PHOTOS, PICTURES)
    output = install(machine, "--user", "anna")
    assert WELL in output, output
    assert "checked as anna" in output
    assert "stays as it is" in output
    assert "it is there, from these very sources" in output
    assert states(machine) == known
    photo = put("rocket", f"{PICTURES}/rocket again.jpg")
    wait_for_tags(photo)
    assert (sidecar(photo).stat().st_uid, sidecar(photo).stat().st_gid) == (ANNA, USERS)
    after = snapshot(machine, PHOTOS, PICTURES)
    assert {path: after[path] for path in before} == before


def test_the_doctor_names_what_the_service_may_not_write(machine: Machine) -> None:
    machine.run("install -d -o anna -g users -m 2775 /srv/more")
    config = machine.path("/etc/photoramd/config.toml")
    good = config.read_text()
    config.write_text(good + '\n[[watch]]\npath = "/srv/more"\n')
    machine.run("systemctl restart photoramd.service")
    doctor = machine.try_("photoramd doctor")
    assert doctor.returncode == 4, doctor.stdout
    assert 'ReadWritePaths="-/srv/more"' in doctor.stdout
    config.write_text(good)
    machine.run("systemctl restart photoramd.service")


FETCH = """
import http.client, json, sys, urllib.error, urllib.request
try:
    answer = urllib.request.urlopen(sys.argv[1], timeout=60)
except urllib.error.HTTPError as error:
    answer = error
body = answer.read().decode("latin-1")
print(json.dumps([answer.status, {k.lower(): v for k, v in answer.headers.items()}, body]))
"""


def fetch(machine: Machine, path: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and content of what the gallery answers inside."""
    address = f"http://127.0.0.1:8700{path}"
    status, headers, body = json.loads(machine.run(f"python3 -c '{FETCH}' '{address}'"))
    return status, headers, body.encode("latin-1")


def ask(machine: Machine, path: str) -> Any:
    """What the gallery's API answers."""
    status, _, body = fetch(machine, f"/api/v1/{path}")
    assert status == 200, body
    return json.loads(body)


def show_gallery(machine: Machine, *properties: str) -> dict[str, str]:
    names = " ".join(f"-p {name}" for name in properties)
    lines = machine.run(f"systemctl show photoramd-gallery.service {names}").splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_the_gallery_starts_when_somebody_looks(machine: Machine) -> None:
    output = install(machine, "--gallery")
    assert "http://127.0.0.1:8700/" in output
    assert WELL in output, output
    assert show_gallery(machine, "ActiveState")["ActiveState"] == "inactive"
    began = time.monotonic()
    status, headers, body = fetch(machine, "/")
    progress(f"the gallery's first page after {time.monotonic() - began:.1f} s")
    assert (status, b"<title>" in body) == (200, True), body
    assert "default-src 'none'" in headers["content-security-policy"]
    assert show_gallery(machine, "ActiveState", "NRestarts") == {
        "ActiveState": "active",
        "NRestarts": "0",
    }


def test_the_gallery_shows_photos_even_those_of_a_home(machine: Machine) -> None:
    photos = ask(machine, "photos?limit=500")["photos"]
    assert len(photos) == len(ask(machine, "photos?q=state:written&limit=500")["photos"])
    for name in ("cat one.png", "coffee.png", "rocket again.jpg"):
        (photo, *_) = [each for each in photos if each["name"] == name]
        status, headers, body = fetch(machine, f"/{photo['thumbnail']}")
        assert (status, headers["content-type"], body[8:12]) == (200, "image/webp", b"WEBP")
    # The unit's filter lets the processes that read photos give up what is left to them.
    log = machine.run("journalctl --no-pager -u photoramd-gallery.service")
    assert "could open files" not in log
    assert "WARNING" not in log


def test_the_gallery_changes_no_photo_and_has_no_network(machine: Machine) -> None:
    process = show_gallery(machine, "MainPID")["MainPID"]
    user = machine.run(f"ps -o user= -p {process}").strip()
    assert user == "anna"
    inside = f"nsenter -t {process} -m -n --"
    for place in (PHOTOS, PICTURES, "/opt/photoramd", "/etc/photoramd"):
        refused = machine.try_(f"{inside} touch '{place}/new'")  # not even root
        assert "Read-only file system" in refused.stderr, place
    machine.run(f"{inside} sh -c 'echo >>/var/lib/photoramd/new; rm /var/lib/photoramd/new'")
    assert machine.run(f"{inside} ls /home").split() == ["anna"]
    assert machine.run(f"{inside} ls /home/anna").split() == ["Pictures"]
    networks = machine.run(f"{inside} cat /proc/net/dev").splitlines()[2:]
    assert [line.split(":")[0].strip() for line in networks] == ["lo"]


def test_what_is_changed_in_the_gallery_reaches_the_photo(machine: Machine) -> None:
    photos = ask(machine, "photos?limit=500")["photos"]
    # Its sidecar belongs to the user that the daemon now is.
    (photo,) = [each for each in photos if each["name"] == "rocket again.jpg"]
    body = json.dumps({"photos": [photo["id"]], "add": ["whiskers"], "reject": []})
    post = FETCH.replace(
        "sys.argv[1],",
        "urllib.request.Request(sys.argv[1], sys.argv[2].encode(),"
        ' {"Content-Type": "application/json"}),',
    )
    address = "http://127.0.0.1:8700/api/v1/edits"
    status, _, answer = json.loads(machine.run(f"python3 -c '{post}' {address} '{body}'"))
    assert status == 202, answer
    file = sidecar(machine.path(f"{PICTURES}/rocket again.jpg"))
    wait_for(lambda: "whiskers" in subjects(file.read_bytes()), "the new tag")


def test_killed_or_stopped_the_gallery_is_there_when_somebody_looks(machine: Machine) -> None:
    machine.run("systemctl kill --kill-who=main --signal=SIGKILL photoramd-gallery.service")
    assert fetch(machine, "/healthz")[0] == 200
    began = time.monotonic()
    machine.run("systemctl stop photoramd-gallery.service")
    assert time.monotonic() - began < bound(5)
    assert show_gallery(machine, "Result", "ActiveState") == {
        "Result": "success",
        "ActiveState": "inactive",
    }
    assert fetch(machine, "/healthz")[0] == 200


def test_a_gallery_that_hangs_is_replaced_by_the_watchdog(machine: Machine) -> None:
    runtime = "/run/systemd/system/photoramd-gallery.service.d"
    machine.run(
        f"mkdir -p {runtime};"
        f" printf '[Service]\\nWatchdogSec=8\\nTimeoutAbortSec=2\\n' > {runtime}/quick.conf;"
        " systemctl daemon-reload; systemctl restart photoramd-gallery.service"
    )
    process = show_gallery(machine, "MainPID")["MainPID"]
    time.sleep(12)  # it pings though nobody looks
    assert show_gallery(machine, "MainPID")["MainPID"] == process
    machine.run(f"kill -STOP {process}")
    # Whoever asked meanwhile is refused.
    healthy = f"python3 -c '{FETCH}' http://127.0.0.1:8700/healthz"
    wait_for(lambda: machine.try_(healthy).returncode == 0, "another process")
    assert show_gallery(machine, "MainPID")["MainPID"] not in ("0", process)
    machine.run(f"rm -r {runtime}; systemctl daemon-reload")


def test_a_gallery_with_a_wrong_configuration_says_so_and_listens_on(machine: Machine) -> None:
    config = machine.path("/etc/photoramd/config.toml")
    good = config.read_text()
    config.write_text(good.replace("#base_path", "base_path = 7 #"))
    assert config.read_text() != good
    machine.run("systemctl stop photoramd-gallery.service")
    assert machine.try_(f"python3 -c '{FETCH}' http://127.0.0.1:8700/healthz").returncode != 0
    wait_for(
        lambda: show_gallery(machine, "ExecMainStatus")["ExecMainStatus"] == "78", "the failure"
    )
    assert "gallery.base_path" in machine.run("journalctl --no-pager -u photoramd-gallery.service")
    # It does not try again and again.
    began = machine.run("journalctl --no-pager -u photoramd-gallery.service").count("Starting")
    time.sleep(5)
    log = machine.run("journalctl --no-pager -u photoramd-gallery.service")
    assert log.count("Starting") == began
    config.write_text(good)
    assert fetch(machine, "/healthz")[0] == 200


def test_a_gallery_that_is_another_user_may_only_look(machine: Machine) -> None:
    config = machine.path("/etc/photoramd/config.toml")
    good = config.read_text()
    config.write_text(good.replace("#readable_by_group = false", "readable_by_group = true"))
    assert config.read_text() != good
    drop_in = machine.path("/etc/systemd/system/photoramd-gallery.service.d/override.conf")
    text = (REPOSITORY / "docs" / "gallery.md").read_text(encoding="utf-8")
    (documented,) = [block for kind, block in blocks(text) if kind == "ini" and "User=" in block]
    drop_in.write_text(documented)
    machine.run(
        "useradd --system --no-create-home --shell /usr/sbin/nologin photoramd-gallery;"
        " systemctl daemon-reload; systemctl stop photoramd-gallery.service;"
        " systemctl restart photoramd.service"
    )
    photos = ask(machine, "photos?limit=500")["photos"]
    assert photos
    status, headers, _ = fetch(machine, f"/{photos[0]['thumbnail']}")
    assert (status, headers["content-type"]) == (200, "image/webp")
    shown = ask(machine, "status")
    assert (shown["running"], shown["can_edit"]) == (True, False)
    process = show_gallery(machine, "MainPID")["MainPID"]
    assert machine.run(f"ps -o user:20= -p {process}").strip() == "photoramd-gallery"
    assert list(machine.path("/var/cache/photoramd-gallery").iterdir())
    config.write_text(good)
    drop_in.unlink()
    machine.run("systemctl daemon-reload; systemctl restart photoramd.service")
    machine.run("systemctl stop photoramd-gallery.service")
    assert oct(machine.path("/var/lib/photoramd/photoramd.db").stat().st_mode)[-3:] == "600"


def test_a_later_run_renews_the_gallery_unless_it_was_disabled(machine: Machine) -> None:
    machine.run("systemctl disable --now photoramd-gallery.socket photoramd-gallery.service")
    install(machine)
    assert machine.try_("systemctl is-active photoramd-gallery.socket").stdout == "inactive\n"
    assert "http://127.0.0.1:8700/" in install(machine, "--gallery")
    assert fetch(machine, "/healthz")[0] == 200
    install(machine)
    assert fetch(machine, "/healthz")[0] == 200


def test_shells_complete_and_the_manual_is_there(machine: Machine) -> None:
    script = """. /usr/local/share/bash-completion/completions/photoramd
    COMP_LINE='photoramd q' COMP_POINT=11 COMP_WORDBREAKS=:
    _photoramd photoramd; echo "$COMPREPLY" """
    assert machine.run(f"bash -c {shlex.quote(script)}").strip() == "query"
    assert "#compdef photoramd" in machine.run("cat /usr/local/share/zsh/site-functions/_photoramd")
    assert "--command photoramd" in machine.run("cat /etc/fish/completions/photoramd.fish")
    assert "PHOTORAMD\\-QUERY 1" in machine.run("cat /usr/local/share/man/man1/photoramd-query.1")


def test_a_model_that_needs_pytorch_brings_its_build_for_processors(machine: Machine) -> None:
    config = machine.path("/etc/photoramd/config.toml")
    before = config.read_text()
    write_index(machine.path("/srv/index"))
    machine.run(
        "systemd-run --quiet --unit=index python3 -m http.server 9000"
        " --bind 127.0.0.1 --directory /srv/index"
    )
    index = "http://127.0.0.1:9000"
    machine.run(
        f"for n in 1 2 3 4 5; do python3 -c '{FETCH}' {index} && exit; sleep 1; done; exit 1"
    )
    output = machine.run(
        f"PHOTORAMD_TORCH_INDEX={index} PIP_INDEX_URL={index} PIP_FIND_LINKS=/wheels"
        " /src/contrib/install.sh --model ram++ 2>&1",
        timeout=1500,
    )
    assert "PyTorch for the processor, as there is no NVIDIA device: about 200 MB" in output
    assert 'name = "ram++" under [model] in it chooses that model' in output
    assert "later: sudo photoramd model fetch ram++" in output  # there is no network
    assert WELL in output, output
    assert config.read_text() == before
    assert machine.show("MemoryMax") == {"MemoryMax": str(6 << 30)}
    python = "/opt/photoramd/bin/python"
    version = f"{python} -c \"import importlib.metadata as m; print(m.version('torch'))\""
    assert machine.run(version).strip().endswith("+cpu")
    # A later run keeps what is there, and asks no index for it.
    machine.run("systemctl stop index")
    assert "PyTorch" not in install(machine)
    assert machine.run(version).strip().endswith("+cpu")
    assert machine.show("MemoryMax") == {"MemoryMax": str(3 << 30)}


def test_uninstalled_it_leaves_photos_configuration_and_database(machine: Machine) -> None:
    kept = snapshot(machine, PHOTOS, PICTURES, "/etc/photoramd")
    assert "/var/lib/photoramd" in machine.run("/src/contrib/install.sh --uninstall")
    assert snapshot(machine, PHOTOS, PICTURES, "/etc/photoramd") == kept
    assert machine.path("/var/lib/photoramd/photoramd.db").stat().st_size > 0
    assert machine.run("systemctl show -p LoadState photoramd.service") == "LoadState=not-found\n"
    for gone in ("/opt/photoramd", "/usr/local/bin/photoramd", "/etc/sysusers.d/photoramd.conf"):
        assert not os.path.lexists(machine.path(gone))
    for place in ("/etc/systemd/system", "/usr/local", "/etc/fish"):
        assert not list(machine.path(place).rglob("*photoramd*"))
    machine.run("/src/contrib/install.sh --uninstall")
