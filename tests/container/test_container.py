"""The image, built and run: users and their files, stopping, upgrades, limits, compose.yaml.

It takes some minutes and fetches 0.2 GB when it runs for the first time, so `make test` leaves it
out; `make test-container` runs it.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.container.podman import IMAGE, Container, Podman
from tests.support.clock import bound
from tests.support.debian import REPOSITORY, progress, wait_for
from tests.support.documents import blocks
from tests.support.programs import free_port
from tests.support.xmp import subjects

pytestmark = pytest.mark.timeout(1800)

OWNER, GROUP = 1026, 100
LIMIT_BYTES = 500_000_000

# As compose.yaml has it: all that root may still do is to become the user.
HARDENED = (
    *("--network=none", "--read-only", "--tmpfs=/tmp", "--security-opt=no-new-privileges"),
    *("--cap-drop=ALL", "--cap-add=CHOWN", "--cap-add=SETGID", "--cap-add=SETUID"),
)


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    with Podman(tmp_path_factory.mktemp("podman")) as made:
        made.build()
        yield made


@dataclass
class Volumes:
    """The two directories of a NAS, and what goes into them."""

    photos: Path
    config: Path
    samples: dict[str, Path]

    def options(self, mode: str = "rw") -> tuple[str, str]:
        return f"--volume={self.photos}:/photos:{mode}", f"--volume={self.config}:/config"

    def put(self, sample: str, name: str) -> Path:
        """A photo arrives, from its owner."""
        target = self.photos / name
        shutil.copyfile(self.samples[sample], target)
        os.chown(target, OWNER, GROUP)
        return target

    def sidecars(self) -> dict[Path, tuple[int, int]]:
        """The sidecars, by inode and date."""
        found = {path: path.stat() for path in self.photos.glob("*.xmp")}
        return {path: (status.st_ino, status.st_mtime_ns) for path, status in found.items()}


@pytest.fixture
def volumes(tmp_path: Path, samples: dict[str, Path]) -> Volumes:
    """The photos belong to somebody; the other directory was just made by root, as docker does."""
    photos, config = tmp_path / "photos", tmp_path / "config"
    photos.mkdir()
    os.chown(photos, OWNER, GROUP)
    config.mkdir()
    return Volumes(photos, config, samples)


@pytest.fixture
def daemon(podman: Podman, volumes: Volumes) -> Iterator[Container]:
    """A daemon as the photos' owner, hardened."""
    with as_owner(podman, volumes) as container:
        yield container


@contextmanager
def as_owner(podman: Podman, volumes: Volumes, *options: str) -> Iterator[Container]:
    user = ("--env", f"PUID={OWNER}", "--env", f"PGID={GROUP}")
    with podman.running(*HARDENED, *user, *volumes.options(), *options) as container:
        yield container


def sidecar(photo: Path) -> Path:
    return photo.with_name(f"{photo.name}.xmp")


def wait_for_tags(photo: Path) -> tuple[str, ...]:
    wait_for(lambda: sidecar(photo).exists(), f"the sidecar of {photo}")
    return subjects(sidecar(photo).read_bytes())


def owner(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid


def status_of(container: Container) -> dict[str, Any]:
    done = container.photoramd("status", "--json")
    answer: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    return answer


def roots_of(container: Container, key: str) -> list[Any]:
    return [root[key] for root in status_of(container).get("roots", [])]


def watches(container: Container) -> Callable[[], bool]:
    return lambda: any(roots_of(container, "scanned_at"))


# What the image is


def test_the_image_is_smaller_than_500_mb(podman: Podman) -> None:
    size = int(podman("image", "inspect", "--format={{.Size}}", IMAGE))
    progress(f"the image has {size / 1e6:.0f} MB")
    assert size < LIMIT_BYTES


def test_a_build_is_given_only_what_is_copied(podman: Podman, tmp_path: Path) -> None:
    container_file = tmp_path / "Containerfile"
    container_file.write_text(f"FROM {IMAGE}\nCOPY . /context\n")
    options = ("--format=docker", "--tag=localhost/photoramd-context", f"--file={container_file}")
    podman("build", *options, os.fspath(REPOSITORY))
    find = ("--entrypoint=find", "localhost/photoramd-context", "/context", "-maxdepth", "1")
    names = {Path(line).name for line in podman("run", "--rm", *find).split()} - {"context"}
    assert names == {
        "LICENSE",
        "README.md",
        "constraints.txt",
        "contrib",
        "photoramd",
        "pyproject.toml",
    }


def test_all_that_is_needed_is_there_and_photos_are_read_by_sealed_processes(
    podman: Podman, volumes: Volumes, daemon: Container
) -> None:
    wait_for_tags(volumes.put("cat", "cat.png"))
    done = daemon.photoramd("doctor", "--json")
    findings = {each["subject"]: each for each in json.loads(done.stdout)["findings"]}
    assert {each["grade"] for each in findings.values()} == {"ok"}, done.stdout
    assert "can open no file" in findings["workers"]["text"]
    assert "system calls are filtered" in findings["workers"]["text"]
    assert "rawpy" in findings["raw"]["text"]
    assert findings["exiftool"]["text"][0].isdigit()
    assert findings["service"]["text"] == "in a container, which starts it"


# Users and their files


def test_photos_get_sidecars_of_their_owner_and_all_else_is_theirs(
    volumes: Volumes, daemon: Container
) -> None:
    photo = volumes.put("cat", "cat.png")
    assert "cat" in wait_for_tags(photo)
    assert owner(sidecar(photo)) == (OWNER, GROUP)
    assert {owner(path) for path in [volumes.config, *volumes.config.rglob("*")]} == {
        (OWNER, GROUP)
    }
    text = (volumes.config / "config.toml").read_text()
    assert 'path = "/photos"' in text
    assert "#quiet_seconds = 5" in text  # commented, to be edited
    assert (volumes.config / "photoramd.db").exists()


def test_no_process_has_rights_and_what_is_run_inside_is_the_user(
    volumes: Volumes, daemon: Container
) -> None:
    photo = volumes.put("cat", "cat.png")
    wait_for_tags(photo)
    found = list(daemon.processes())
    assert found
    for command, status in found:
        assert status["Uid"].split() == [str(OWNER)] * 4, command
        assert status["Gid"].split() == [str(GROUP)] * 4, command
        assert status["Groups"].split() in ([], [str(GROUP)]), command
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0, command
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2"), command
    assert "/photos/cat.png" in daemon.photoramd("query", "cat").stdout
    copied = daemon.photoramd("db", "backup", "/config/copy.db")
    assert copied.returncode == 0, copied.stderr
    assert owner(volumes.config / "copy.db") == (OWNER, GROUP)


def test_further_groups_are_kept_but_not_roots(podman: Podman, volumes: Volumes) -> None:
    with as_owner(podman, volumes, "--group-add=4711") as container:
        wait_for(watches(container), "the first scan")
        for _, status in container.processes():
            assert status["Groups"].split() == ["4711"]


def test_it_runs_without_root_from_the_start(podman: Podman, volumes: Volumes) -> None:
    os.chown(volumes.config, OWNER, GROUP)
    options = ("--network=none", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL")
    user = f"--user={OWNER}:{GROUP}"
    with podman.running(*options, user, *volumes.options()) as container:
        photo = volumes.put("cat", "cat.png")
        assert "cat" in wait_for_tags(photo)
        assert owner(sidecar(photo)) == (OWNER, GROUP)
        assert container.stop(30) == 0


def test_the_umask_is_as_it_is_told(podman: Podman, volumes: Volumes) -> None:
    with as_owner(podman, volumes, "--env=UMASK=027") as container:
        wait_for(watches(container), "the first scan")
        assert (volumes.config / "cache").stat().st_mode & 0o777 == 0o750
        assert {status["Umask"] for _, status in container.processes()} == {"0027"}


# What cannot work


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--env=PUID=anna"], "PUID and PGID must be numbers, not anna:1000"),
        (["--env=PUID=0"], "it must not run as root"),
        (["--env=PUID=00"], "it must not run as root"),
        (["--env=PUID=4294967296"], "it must not run as root"),
        (["--env=UMASK=8"], "UMASK must be three digits from 0 to 7"),
        (["--env=PUID=77"], "user 77:1000 may not write in /config, which belongs to 1026:100"),
        (["--user=77"], "user 77:0 may not write in /config"),
    ],
)
def test_what_is_set_wrong_is_refused_with_the_remedy(
    podman: Podman, volumes: Volumes, options: list[str], text: str
) -> None:
    os.chown(volumes.config, OWNER, GROUP)
    (volumes.config / "something").touch()
    with podman.running(*HARDENED, *volumes.options(), *options) as container:
        assert container.exit_code() == 78
        assert text in container.log()
    assert owner(volumes.config) == (OWNER, GROUP)


def test_a_directory_that_is_closed_to_others_stays_its_owners(
    podman: Podman, volumes: Volumes
) -> None:
    # Root without its capabilities cannot see that it is not empty.
    os.chown(volumes.config, 77, 77)
    (volumes.config / "something").touch()
    volumes.config.chmod(0o700)
    with as_owner(podman, volumes) as container:
        assert container.exit_code() == 78
        assert "user 1026:100 may not write in /config, which belongs to 77:77" in container.log()
    assert owner(volumes.config) == (77, 77)


def test_without_a_volume_for_the_database_it_does_not_start(
    podman: Podman, volumes: Volumes
) -> None:
    with podman.running(*HARDENED, volumes.options()[0]) as container:
        assert container.exit_code() == 78
        assert "/config must be a volume" in container.log()


def test_photos_that_it_may_not_write_beside_are_named_and_tagged_all_the_same(
    podman: Podman, volumes: Volumes
) -> None:
    volumes.put("cat", "cat.png")
    with podman.running(*HARDENED, *volumes.options()) as container:
        wait_for(lambda: "cat" in container.photoramd("query", "cat").stdout, "the tags")
        assert "user 1000:1000 may not write in /photos, which belongs to 1026:100" in (
            container.log()
        )
        done = container.photoramd("doctor")
        assert "set PUID=1026 and PGID=100" in done.stdout
        assert status_of(container)["photos"]["tagged"] == 1


def test_without_photos_it_says_so(podman: Podman, volumes: Volumes) -> None:
    with podman.running(*HARDENED, volumes.options()[1]) as container:
        wait_for(lambda: "there are no photos" in container.log(), "the word")


def test_the_hosts_limits_of_inotify_count_and_the_remedy_says_so(
    podman: Podman, volumes: Volumes
) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
    with all_instances(OWNER, limit), as_owner(podman, volumes) as container:
        photo = volumes.put("cat", "cat.png")
        wait_for(lambda: any(roots_of(container, "remedy")), "the remedy")
        (remedy,) = roots_of(container, "remedy")
        assert "limit of the host: sysctl fs.inotify.max_user_instances" in remedy
        assert "cat" in wait_for_tags(photo)  # it is polled


@contextmanager
def all_instances(user: int, count: int) -> Iterator[None]:
    """Another program of a user, outside of the container, takes all instances of inotify."""
    libc = ctypes.CDLL(None, use_errno=True)
    process = os.fork()
    if not process:
        os.setresuid(user, user, user)
        for _ in range(count):
            libc.inotify_init()
        time.sleep(600)
        os._exit(0)
    try:
        descriptors = Path(f"/proc/{process}/fd")
        wait_for(lambda: len(list(descriptors.iterdir())) >= count, "the instances")
        yield
    finally:
        os.kill(process, 9)
        os.waitpid(process, 0)


# Its life


def test_it_stops_cleanly_in_the_midst_of_work(
    podman: Podman, volumes: Volumes, daemon: Container
) -> None:
    wait_for(watches(daemon), "the first scan")
    for number in range(60):
        volumes.put("coffee", f"{number}.png")
        with (volumes.photos / f"{number}.png").open("ab") as file:
            file.write(b"%d" % number)
    wait_for(volumes.sidecars, "the first sidecar")
    began = time.monotonic()
    assert daemon.stop(30) == 0
    assert time.monotonic() - began < bound(10)
    assert {path.suffix for path in volumes.photos.iterdir()} == {".png", ".xmp"}
    assert not (volumes.config / "photoramd.db-wal").exists()


def test_what_loses_its_parent_is_reaped(daemon: Container) -> None:
    wait_for(watches(daemon), "the first scan")
    daemon.run("sh", "-c", "sh -c 'sleep 0.3 & sleep 0.3 &'")

    # One that ended and was not reaped is still there, as a zombie of its name.
    def names() -> set[str]:
        return {status["Name"] for _, status in daemon.processes()}

    wait_for(lambda: "sleep" not in names(), "their end", 20)


def test_it_is_healthy_while_the_daemon_runs_and_not_otherwise(
    podman: Podman, volumes: Volumes, daemon: Container
) -> None:
    wait_for(daemon.is_healthy, "health")
    daemon.stop(30)
    user = ("--env", f"PUID={OWNER}", "--env", f"PGID={GROUP}")
    idle = ("--entrypoint=sleep", *HARDENED, *user, *volumes.options())
    with podman.running(*idle, command="infinity") as container:
        assert not container.is_healthy()
        # The configuration and the database are there: it is the daemon that is not.
        assert status_of(container)["running"] is False


@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_another_image_takes_the_database_over_and_nothing_is_done_twice(
    podman: Podman, volumes: Volumes, tmp_path: Path, mode: int
) -> None:
    volumes.config.chmod(mode)  # 0700: root without capabilities cannot look into it
    photo = volumes.put("cat", "cat.png")
    with as_owner(podman, volumes) as container:
        wait_for_tags(photo)
        wait_for(lambda: status_of(container)["photos"]["written"] == 1, "the photo")
        container.stop(30)
    before = volumes.sidecars()
    config = (volumes.config / "config.toml").read_bytes()
    (tmp_path / "Containerfile").write_text(f"FROM {IMAGE}\nENV NEXT=1\n")
    podman("build", "--format=docker", "--tag=localhost/photoramd-next", os.fspath(tmp_path))
    user = ("--env", f"PUID={OWNER}", "--env", f"PGID={GROUP}")
    options = (*HARDENED, *user, *volumes.options())
    with podman.running(*options, image="localhost/photoramd-next") as container:
        wait_for_tags(volumes.put("rocket", "rocket.jpg"))
        wait_for(lambda: status_of(container)["photos"]["written"] == 2, "two photos")
        assert "cat.png" not in container.log()
    assert {path: volumes.sidecars()[path] for path in before} == before
    assert (volumes.config / "config.toml").read_bytes() == config


# compose.yaml


@dataclass
class Gallery:
    """The gallery of compose.yaml, as browsers and programs see it.

    Attributes:
        port: Where it listens.
        host: By which name.
        token: What it asks for.
    """

    port: int
    host: str
    token: str

    def ask(self, path: str, body: object = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v1/{path}",
            None if body is None else json.dumps(body).encode(),
            {
                "Host": f"{self.host}:{self.port}",
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)


@pytest.fixture
def directory(tmp_path: Path, volumes: Volumes) -> Path:
    """What a user copies to the NAS: compose.yaml, and env.example, filled in."""
    place = tmp_path / "photoramd"
    place.mkdir()
    source = REPOSITORY / "contrib/container"
    shutil.copy(source / "compose.yaml", place)
    values = {
        "PHOTOS": os.fspath(volumes.photos),
        "CONFIG": os.fspath(volumes.config),
        "PUID": str(OWNER),
        "PGID": str(GROUP),
    }
    lines = (source / "env.example").read_text().splitlines()
    names = [line.partition("=")[0] for line in lines]
    assert values.keys() <= set(names)
    filled = [
        f"{name}={values[name]}" if name in values else line
        for name, line in zip(names, lines, strict=True)
    ]
    (place / ".env").write_text("\n".join(filled) + "\n")
    return place


def test_the_compose_file_brings_daemon_and_gallery(
    podman: Podman, volumes: Volumes, directory: Path
) -> None:
    photo = volumes.put("cat", "cat.png")
    port = free_port()
    named = podman.compose("config", cwd=directory, GALLERY_HOST="nas.example")
    assert "nas.example" in named
    environment = {"GALLERY_PORT": str(port)}
    podman.compose("up", "--detach", "--no-build", cwd=directory, **environment)
    try:
        names = podman("ps", "--format={{.Names}}").split()
        services = {each.split("_")[1]: Container(podman, each) for each in names}
        assert services.keys() == {"photoramd", "gallery"}  # and no worker
        daemon, server = services["photoramd"], services["gallery"]
        assert "cat" in wait_for_tags(photo)
        wait_for(server.is_healthy, "the gallery")
        token = (volumes.config / "gallery-token").read_text().strip()
        assert (volumes.config / "gallery-token").stat().st_mode & 0o777 == 0o600
        assert token not in server.log()
        gallery = Gallery(port, "192.168.1.20", token)  # as it is called from outside
        assert gallery.ask("status")["running"] is True
        for wrong, code in (("elsewhere.example", 421), ("", 401)):
            stranger = Gallery(port, wrong or "192.168.1.20", token if wrong else "no")
            with pytest.raises(urllib.error.HTTPError) as error:
                stranger.ask("status")
            with error.value as answer:  # its connection, too
                assert answer.code == code
        # It shows photos and can change none; what is asked of it the daemon does.
        (found,) = gallery.ask("photos?limit=9")["photos"]
        gallery.ask("edits", {"photos": [found["id"]], "add": ["whiskers"], "reject": []})
        added = lambda: "whiskers" in subjects(sidecar(photo).read_bytes())  # noqa: E731
        wait_for(added, "the new tag")
        with pytest.raises(AssertionError, match="Read-only file system"):
            server.run("touch", "/photos/new")
        networks = daemon.run("cat", "/proc/net/dev").splitlines()[2:]
        assert [line.split(":")[0].strip() for line in networks] == ["lo"]
    finally:
        podman.compose("down", "--timeout", "30", cwd=directory, **environment)
    assert not podman("ps", "--all", "--quiet")


def without_gpu(compose: Path) -> None:
    content = yaml.safe_load(compose.read_text())
    assert content["services"]["worker"].pop("deploy")
    compose.write_text(yaml.safe_dump(content))


def as_here(commands: str) -> str:
    """The commands of docs/container.md for a worker, with what is on this machine."""
    for theirs, ours in (
        ("docker compose", "podman-compose"),
        ("sudo ", ""),
        ("up -d worker", "up -d --no-build worker"),
        ("desktop.lan", "localhost"),
        ("worker model fetch ram++\n", ""),
        ("podman-compose --profile worker build worker\n", ""),
        (r'name = "ram++"\ndevice = "cuda"\nprecision = "bfloat16"', 'name = "embedded"'),
    ):
        assert theirs in commands
        commands = commands.replace(theirs, ours)
    return commands


def test_a_worker_of_the_compose_file_is_set_up_as_the_document_says(
    podman: Podman, directory: Path, tmp_path: Path
) -> None:
    podman.build("worker.Containerfile", "localhost/photoramd-worker", EXTRAS="worker")
    without_gpu(directory / "compose.yaml")
    text = (REPOSITORY / "docs/container.md").read_text(encoding="utf-8")
    [commands] = [block for _, block in blocks(text) if "worker token" in block]
    port = free_port()
    secrets = directory / "worker/secrets"
    configuration = tmp_path / "nas.toml"
    configuration.write_text(
        f"""
        [[watch]]
        path = "{tmp_path}"
        [state]
        path = "{tmp_path}/nas.db"
        [model]
        name = "embedded"
        [cluster]
        workers = ["https://localhost:{port}"]
        token_file = "{tmp_path}/worker-token"
        ca_file = "{tmp_path}/ca.pem"
        """
    )

    def answers() -> bool:
        words = ("-m", "photoramd", "--config", os.fspath(configuration), "worker", "check")
        return podman.try_(*words, program=sys.executable).returncode == 0

    try:
        done = podman.try_(
            *("-euc", as_here(commands)),
            program="bash",
            cwd=directory,
            PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            WORKER_PORT=str(port),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        for name in ("worker-token", "ca.pem"):  # copies, as the daemon's user must own the token
            shutil.copyfile(secrets / name, tmp_path / name)
            (tmp_path / name).chmod(0o600)
        wait_for(answers, "the worker", 120)
        assert {path.stat().st_uid for path in secrets.iterdir()} == {1000}
    finally:
        for name in podman("ps", "--all", "--format={{.Names}}").split():
            podman("rm", "--force", "--time=20", name)
        podman.try_("network", "rm", f"{directory.name}_default")
