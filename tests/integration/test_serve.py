"""`photoramd serve`: its start, its end, where it listens, and who may look."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
import pytest

from tests.support.clock import bound
from tests.support.daemons import Photoramd, unprivileged, wait_for
from tests.support.gallery import Events, Gallery, new_token, seconds_of, status_of


@pytest.fixture
def photoramd(tmp_path: Path, album: Path) -> Iterator[Photoramd]:
    instance = Photoramd(tmp_path, album)
    yield instance
    instance.close()


def refusal(photoramd: Photoramd, *options: object) -> str:
    """What is said by a server that does not start."""
    done = photoramd.run("serve", *options)
    assert done.returncode in (2, 4, 78), done
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def outside() -> str:
    """An address that other machines could use, if there is one; else every address."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
            return str(probe.getsockname()[0])
        except OSError:
            return "0.0.0.0"  # noqa: S104


# Start and end


def test_it_answers_says_where_and_ends_with_0(photoramd: Photoramd) -> None:
    with Gallery(photoramd) as gallery:
        assert gallery.address == f"http://127.0.0.1:{gallery.port}/"
        with gallery.client() as client:
            assert client.get("healthz").text == "ok\n"
            # There is no database yet, and that is no reason not to start.
            answer = client.get("metrics")
            assert (answer.status_code, answer.json()["status"]) == (503, 503)
        assert gallery.stop() == 0
        assert "nothing has been tagged yet" in gallery.log
        assert gallery.log.count("\n") == 1


def test_ctrl_c_ends_it_with_0(photoramd: Photoramd) -> None:
    with Gallery(photoramd) as gallery:
        gallery.process.send_signal(signal.SIGINT)
        assert gallery.process.wait(30) == 0


def test_it_ends_at_once_though_pages_listen_to_events(photoramd: Photoramd) -> None:
    photoramd.run("scan")
    with Gallery(photoramd) as gallery:
        listeners = [Events(gallery) for _ in range(5)]
        assert listeners[0].until("status", running=False)
        assert seconds_of(gallery.stop) < 2
        assert gallery.process.returncode == 0
        for each in listeners:
            assert each.ends()
            each.close()
        assert gallery.log == ""


def test_what_is_not_installed_is_named(photoramd: Photoramd, tmp_path: Path) -> None:
    hide = tmp_path / "hide"
    hide.mkdir()
    (hide / "sitecustomize.py").write_text(
        "import importlib.util\n"
        "real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: "
        "None if name == 'uvicorn' else real(name, *more)\n"
    )
    done = subprocess.run(
        photoramd.command("serve"),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([os.fspath(hide), *sys.path])},
    )
    assert done.returncode == 4
    assert "what is not installed: uvicorn" in done.stderr
    assert "-m pip install 'photoramd[web]'" in done.stderr


# Where it listens


def test_a_port_that_is_taken(photoramd: Photoramd) -> None:
    with Gallery(photoramd) as gallery:
        said = refusal(photoramd, "--listen", f"127.0.0.1:{gallery.port}")
        assert "another process listens there" in said


@pytest.mark.parametrize("listen", ["nas.lan:8700", "8700", "unix:relative"])
def test_addresses_that_are_malformed(photoramd: Photoramd, listen: str) -> None:
    assert "allowed: " in refusal(photoramd, "--listen", listen)


def test_a_socket_is_its_group_s_and_goes_with_the_server(
    photoramd: Photoramd, tmp_path: Path
) -> None:
    path = tmp_path / "gallery.sock"
    before = os.umask(0)
    try:
        for _ in range(2):
            # The first is killed and leaves its socket behind.
            with Gallery(photoramd, listen=f"unix:{path}") as gallery:
                assert gallery.address == f"unix:{path}"
                assert stat.S_IMODE(path.stat().st_mode) == 0o660
                transport = httpx2.HTTPTransport(uds=os.fspath(path))
                with httpx2.Client(transport=transport, base_url="http://localhost") as client:
                    assert client.get("/healthz").text == "ok\n"
                    evil = client.get("/healthz", headers={"Host": "evil.example"})
                    assert evil.status_code == 421
                assert "another process listens" in refusal(photoramd, "--listen", f"unix:{path}")
            assert path.exists()
        with Gallery(photoramd, listen=f"unix:{path}") as gallery:
            assert gallery.stop() == 0
        assert not path.exists()
        path.write_text("not a socket")
        assert "no socket" in refusal(photoramd, "--listen", f"unix:{path}")
        assert path.read_text() == "not a socket"
    finally:
        os.umask(before)


LAUNCH = """
import os, sys
for target, source in enumerate(map(int, sys.argv[1].split(",")), 3):
    os.dup2(source, target)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=sys.argv[2])
os.execv(sys.argv[3], sys.argv[3:])
"""
"""What systemd does before it starts a service with sockets, in the service's own process."""


def launch(sockets: list[socket.socket]) -> list[str]:
    numbers = ",".join(str(each.fileno()) for each in sockets)
    return [sys.executable, "-c", LAUNCH, numbers, str(len(sockets))]


def test_sockets_of_systemd(photoramd: Photoramd, tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        closing(socket.socket(socket.AF_UNIX)) as unix,
    ):
        unix.bind(os.fspath(tmp_path / "s"))
        unix.listen()
        # Kept away from 3 and 4, as the launcher puts them there one after the other.
        sockets = [socket.socket(fileno=os.dup(each.fileno())) for each in (tcp, unix)]
        with Gallery(
            photoramd, prefix=launch(sockets), pass_fds=[each.fileno() for each in sockets]
        ) as gallery:
            assert gallery.port == tcp.getsockname()[1]
            assert status_of(gallery.get("/healthz")) == 200
            transport = httpx2.HTTPTransport(uds=os.fspath(tmp_path / "s"))
            with httpx2.Client(transport=transport, base_url="http://localhost") as client:
                assert client.get("/healthz").text == "ok\n"
            assert gallery.stop() == 0
        # They are systemd's, and stay.
        assert (tmp_path / "s").exists()
        for each in sockets:
            each.close()


def test_a_socket_of_systemd_for_other_machines_needs_a_token_too(photoramd: Photoramd) -> None:
    with socket.create_server(("0.0.0.0", 0)) as tcp:  # noqa: S104
        done = subprocess.run(
            [*launch([tcp]), *photoramd.command("serve")],
            pass_fds=[tcp.fileno()],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 78
    assert "needs a token" in done.stderr


def test_systemd_is_told_when_it_is_ready(photoramd: Photoramd, tmp_path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(os.fspath(tmp_path / "notify"))
        manager.settimeout(60)
        environment = {"NOTIFY_SOCKET": os.fspath(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"}
        with Gallery(photoramd, environment=environment):
            seen = b""
            while b"READY=1" not in seen or b"WATCHDOG=1" not in seen:
                seen += manager.recv(4096)


# The token


def test_other_machines_need_a_token(photoramd: Photoramd, tmp_path: Path) -> None:
    for listen in (f"{outside()}:0", "0.0.0.0:0", "[::]:0"):
        said = refusal(photoramd, "--listen", listen)
        assert "other machines can reach this address, so the gallery needs a token" in said
        assert "--new-token" in said
    token = new_token(photoramd, tmp_path / "token")
    address = outside()
    options = ["--token-file", tmp_path / "token"]
    with Gallery(photoramd, *options, listen="0.0.0.0:0") as gallery:
        with httpx2.Client(
            base_url=f"http://{address}:{gallery.port}", trust_env=False, timeout=bound(30)
        ) as client:
            assert client.get("/metrics").status_code == 401
            bearer = {"Authorization": f"Bearer {token}"}
            assert client.get("/metrics", headers=bearer).status_code == 503  # no database yet
            assert client.post("/api/v1/login", json={"token": token}).status_code == 204
            assert client.get("/metrics").status_code == 503
            assert client.get("/metrics", params={"token": token}).status_code == 400
        assert gallery.stop() == 0
        assert token not in gallery.log
        assert "a token in its address was refused" in gallery.log


def test_the_token_is_asked_for_on_this_machine_too_where_there_is_one(
    photoramd: Photoramd, tmp_path: Path
) -> None:
    new_token(photoramd, tmp_path / "token")
    photoramd.configure(gallery=f"token_file = {json.dumps(os.fspath(tmp_path / 'token'))}")
    with Gallery(photoramd) as gallery:
        assert status_of(gallery.get("/api/v1/photos")) == 401
        assert status_of(gallery.get("/metrics")) == 401
        assert status_of(gallery.get("/api/v1/events")) == 401
        answer = gallery.get("/tags?q=a")
        assert status_of(answer) == 303
        assert b"\r\nlocation: /login?next=tags%3Fq%3Da\r\n" in answer


def test_tokens_that_are_no_secret_are_refused(photoramd: Photoramd, tmp_path: Path) -> None:
    path = tmp_path / "token"
    assert "there is no such file" in refusal(photoramd, "--token-file", path)
    new_token(photoramd, path)
    path.chmod(0o644)
    assert "others may read the token" in refusal(photoramd, "--token-file", path)
    path.chmod(0o600)
    path.write_text("secret\n")
    assert "too easy to guess" in refusal(photoramd, "--token-file", path)
    assert "there is a file already" in refusal(photoramd, "--new-token", path)
    assert path.read_text() == "secret\n"


# Read-only


GROUP = 4321


def test_another_user_may_look_and_change_nothing(samples: dict[str, Path]) -> None:
    # Not in pytest's own directory, which the next run closes to others.
    with TemporaryDirectory(prefix="photoramd-serve.") as name:
        directory = Path(name).resolve()
        album, state = directory / "album", directory / "state"
        for each in (album, state):
            each.mkdir()
        prefix = [*unprivileged(directory)[:-2], "--groups", str(GROUP), "--"]
        os.chown(state, -1, GROUP)
        state.chmod(0o2755)  # new files get the group
        shutil.copyfile(samples["cat"], album / "a.jpg")
        photoramd = Photoramd(directory, album)
        # The pictures' cache belongs to whom the server belongs, who has none here.
        photoramd.configure(
            state=f"path = {json.dumps(os.fspath(photoramd.database))}\nreadable_by_group = true",
            gallery=f"cache = {json.dumps(os.fspath(directory / 'none' / 'cache'))}",
        )
        assert photoramd.run("scan").returncode == 0
        looks_only(photoramd, prefix, samples["coffee"])


def looks_only(photoramd: Photoramd, prefix: list[str], another: Path) -> None:
    with Gallery(photoramd, prefix=prefix) as gallery:
        assert status_of(gallery.get("/metrics")) == 200
        with gallery.client() as client:
            answer = client.post("api/v1/edits", json={})
            assert answer.status_code == 403
            assert "another user's" in answer.json()["detail"]
            assert client.get("api/v1/photos/1/thumbnail").status_code == 200
        # The daemon goes on beside it, and is seen to.
        with closing(Events(gallery)) as listener:
            listener.until("status", running=False, failed=0)
        shutil.copyfile(another, photoramd.album / "b.jpg")
        assert photoramd.run("scan").returncode == 0
        wait_for(lambda: b'photoramd_photos{state="written"} 2.0' in gallery.get("/metrics"))
    # Where a look fell into the scan's end its log is left, which the next scan needs.
    owners = {each.stat().st_uid for each in photoramd.database.parent.iterdir()}
    assert owners == {os.geteuid()}, "nothing of the reader's is left"
    assert photoramd.run("scan").returncode == 0


def test_read_only_when_asked_for(photoramd: Photoramd) -> None:
    with Gallery(photoramd, "--read-only") as gallery, gallery.client() as client:
        answer = client.post("api/v1/retry", json={})
        assert answer.status_code == 403
        assert answer.json()["detail"] == "it was started with --read-only"
