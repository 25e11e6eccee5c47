"""`photoramd doctor`, with what is really wrong: rights, mounts, limits, packages, programs."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from photoramd.cli import Settings
from photoramd.cli.doctor import _become, _findings
from photoramd.doctor.finding import Finding
from photoramd.doctor.packages import Package
from photoramd.doctor.systemd_unit import examine_service, parse
from photoramd.doctor.weights import examine_weights
from photoramd.models.weights.catalog import MODELS, RAM_PLUS, Model, PinnedFile
from photoramd.models.weights.store import default_store
from tests.support.daemons import Photoramd, unprivileged

Make = Callable[..., Photoramd]
Put = Callable[[str, str], Path]


@pytest.fixture
def make(tmp_path: Path, album: Path) -> Iterator[Make]:
    """photoramd with a command before it: make("setpriv", ..., watch="...")."""
    made: list[Photoramd] = []

    def build(*prefix: str, **sections: str) -> Photoramd:
        made.append(Photoramd(tmp_path, album, *prefix, **sections))
        return made[-1]

    yield build
    for instance in made:
        instance.close()


def private(setup: str) -> list[str]:
    """A prefix that runs a command in a mount namespace of its own, after a setup."""
    return ["unshare", "-m", "--", "sh", "-c", f'{setup} && exec "$@"', "sh"]


def diagnose(photoramd: Photoramd, code: int, *prefix: str, **environment: str) -> list[Finding]:
    """What the doctor finds, in a process of its own that ends with this code."""
    command = [*prefix, *photoramd.command("doctor", "--json")]
    environment = {**os.environ, **environment}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["good"] == (code == 0)
    return [Finding(**each) for each in answer["findings"]]


def of(findings: list[Finding], subject: object, *grades: str) -> list[Finding]:
    """The findings about something; those that are not ok if no grade is given."""
    wanted = grades or ("warning", "error")
    return [each for each in findings if each.subject == str(subject) and each.grade in wanted]


def test_where_all_is_well_every_subject_is_ok_and_nothing_is_left(
    make: Make, put: Put, album: Path
) -> None:
    put("cat", "deep/er/cat.png")
    photoramd = make()
    before = sorted(album.rglob("*"))
    findings = diagnose(photoramd, 0)
    assert {each.grade for each in findings} == {"ok"}
    subjects = [
        "python",
        "packages",
        "workers",
        "configuration",
        "model",
        "exiftool",
        "raw",
        str(album),
    ]
    assert {each.subject for each in findings} >= {*subjects, "inotify", "database", "space"}
    assert any("3 directories to watch" in each.text for each in findings)
    assert sorted(album.rglob("*")) == before
    text = photoramd.run("doctor")
    assert text.returncode == 0
    assert text.stdout.splitlines()[-1] == "errors: 0, warnings: 0"


def test_beside_the_running_daemon_it_names_it_and_disturbs_nothing(
    make: Make, put: Put, album: Path
) -> None:
    put("cat", "cat.png")
    photoramd = make()
    photoramd.start()
    photoramd.wait_for_states(written=1)
    findings = diagnose(photoramd, 0)
    assert photoramd.process is not None
    (database,) = of(findings, "database", "ok")
    assert f"held by process {photoramd.process.pid}, 1 photos" in database.text
    assert photoramd.states() == {"written": 1}
    assert photoramd.stop() == 0


@pytest.mark.parametrize(
    ("setup", "text"),
    [
        ("mount --bind {0} {0} && mount -o remount,bind,ro {0}", "may only read"),
        ("mount -t tmpfs none {0}", "sees another directory"),
    ],
)
def test_what_the_running_daemon_sees_differently_is_an_error(
    make: Make, album: Path, setup: str, text: str
) -> None:
    # As a hardened unit shows it, or one that was started before a share was mounted.
    photoramd = make(*private(setup.format(album)))
    photoramd.start()
    photoramd._prefix = []
    (error,) = of(diagnose(photoramd, 4), album, "error")
    assert text in error.text


def test_directories_that_this_user_may_not_write_are_errors_with_the_remedy(
    make: Make, put: Put, tmp_path: Path, album: Path
) -> None:
    nobody = unprivileged(tmp_path)
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o777)
    put("cat", "theirs/cat.png")
    photoramd = make()
    (error,) = of(diagnose(photoramd, 4, *nobody), album)
    assert "Permission denied" in error.text
    assert f'setfacl -R -m u:nobody:rwX -m d:u:nobody:rwX "{album}"' in (error.remedy or "")
    assert "--user" not in (error.remedy or ""), "root must not run it"
    os.chown(album, pwd.getpwnam("daemon").pw_uid, -1)
    (error,) = of(diagnose(photoramd, 4, *nobody), album)
    assert (error.remedy or "").startswith(
        "run it as daemon, whom it belongs to (contrib/install.sh --user daemon), or setfacl"
    )
    album.chmod(0o777)
    (error,) = of(diagnose(photoramd, 4, *nobody), album)
    assert "1 of its 2 directories" in error.text
    assert str(album / "theirs") in error.text
    (album / "theirs").chmod(0o700)
    (warning,) = of(diagnose(photoramd, 0, *nobody), album)
    assert warning.grade == "warning"
    assert "cannot be read" in warning.text
    (album / "theirs").chmod(0o755)
    album.chmod(0o755)
    (tmp_path / "state").chmod(0o755)
    photoramd = make(watch="write = 'none'")
    findings = diagnose(photoramd, 4, *nobody)
    assert not of(findings, album)
    (error,) = of(findings, "database")
    assert "cannot be made by user nobody" in error.text


def test_a_read_only_mount_is_an_error_and_a_silent_one_is_polled(make: Make, album: Path) -> None:
    photoramd = make()
    readonly = private(f"mount --bind {album} {album} && mount -o remount,bind,ro {album}")
    (error,) = of(diagnose(photoramd, 4, *readonly), album)
    assert "Read-only file system" in error.text
    layers = "lowerdir=/mnt/l,upperdir=/mnt/u,workdir=/mnt/w"
    below = "mount -t tmpfs none /mnt && mkdir /mnt/l /mnt/u /mnt/w"
    overlay = private(f"{below} && mount -t overlay none -o {layers} {album}")
    findings = diagnose(photoramd, 0, *overlay)
    assert any("on overlay" in each.text and "polled" in each.text for each in findings)
    assert any("0 directories to watch" in each.text for each in findings)
    never = make(watch="poll = 'never'")
    (warning,) = of(diagnose(never, 0, *overlay), album)
    assert "not all changes are reported" in warning.text


def test_too_few_watches_are_a_warning_that_names_the_setting(make: Make, album: Path) -> None:
    for number in range(12):
        (album / f"{number}").mkdir()
    limit = 'echo 6 > /proc/sys/user/max_inotify_watches; exec "$@"'
    (warning,) = of(diagnose(make(), 0, "unshare", "-Ur", "--", "sh", "-c", limit, "sh"), "inotify")
    assert warning.grade == "warning"
    assert "13 directories to watch, 6 watches allowed" in warning.text
    assert "fs.inotify.max_user_watches" in (warning.remedy or "")
    limit = 'echo 0 > /proc/sys/user/max_inotify_instances; exec "$@"'
    (warning,) = of(diagnose(make(), 0, "unshare", "-Ur", "--", "sh", "-c", limit, "sh"), "inotify")
    assert "max_user_instances" in (warning.remedy or "")


def test_in_a_container_the_remedies_are_those_of_containers(
    make: Make, put: Put, tmp_path: Path, album: Path
) -> None:
    put("cat", "cat.png")
    os.chown(album, 1026, 100)
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o777)
    nobody = unprivileged(tmp_path)
    findings = diagnose(make(), 4, *nobody, container="docker")
    (error,) = of(findings, album)
    assert "PUID=1026 and PGID=100" in (error.remedy or "")
    assert "docs/container.md" in (error.remedy or "")
    (service,) = of(findings, "service", "ok")
    assert service.text == "in a container, which starts it"
    os.chown(album, 0, 0)
    limit = 'echo 0 > /proc/sys/user/max_inotify_watches; exec "$@"'
    few = ["unshare", "-Ur", "--", "sh", "-c", limit, "sh"]
    (warning,) = of(diagnose(make(), 0, *few, container="docker"), "inotify")
    assert "of the host" in (warning.remedy or "")


@pytest.mark.parametrize(("megabytes", "grade"), [(20, "error"), (400, "warning")])
def test_scarce_space_is_named(make: Make, album: Path, megabytes: int, grade: str) -> None:
    small = private(f"mount -t tmpfs -o size={megabytes}m none {album}")
    (finding,) = of(diagnose(make(), 4 if grade == "error" else 0, *small), "space")
    assert finding.grade == grade
    assert str(album) in finding.text


def test_on_a_full_disk_the_remedy_is_room_and_not_rights(make: Make, album: Path) -> None:
    full = f"mount -t tmpfs -o size=1m none {album} && ! head -c 2M /dev/zero > {album}/full"
    findings = diagnose(make(), 4, *private(f"{full} 2>/dev/null"))
    (error,) = of(findings, album, "error")
    assert "No space left" in error.text
    assert "free some space" in (error.remedy or "")
    assert "setfacl" not in (error.remedy or "")
    # Nothing is written there, so nothing is missed.
    assert not of(diagnose(make(watch="write = 'none'"), 0, *private(f"{full} 2>/dev/null")), album)


def test_a_disk_without_room_for_a_further_file_is_named(make: Make, album: Path) -> None:
    setup = f"mount -t tmpfs -o size=2g,nr_inodes=2 none {album} && touch {album}/last"
    (error,) = of(diagnose(make(), 4, *private(setup)), "space")
    assert "no inode is free" in error.text


def test_room_for_a_database_that_is_not_made_yet_is_looked_at(make: Make, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    photoramd = make(state=f"path = '{disk}/not/yet/photoramd.db'")
    small = private(f"mount -t tmpfs -o size=20m none {disk}")
    (error,) = of(diagnose(photoramd, 4, *small), "space")
    assert str(disk) in error.text


def test_the_service_is_checked_with_its_configuration_and_not_its_users_own(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photoramd = make(watch="write = 'none'")
    monkeypatch.setattr("photoramd.system.paths.SYSTEM_CONFIG", photoramd.config)
    own = tmp_path / "home" / "photoramd" / "config.toml"
    own.parent.mkdir(parents=True)
    own.write_text("")
    monkeypatch.setenv("XDG_CONFIG_HOME", os.fspath(own.parents[1]))
    user = pwd.getpwuid(os.geteuid()).pw_name
    findings = list(_findings(Settings(None, False), parse(SHOWN | {"User": user}), lambda _: None))
    (found,) = of(findings, "configuration", "ok")
    assert str(photoramd.config) in found.text


def test_a_bad_configuration_ends_with_78_and_the_rest_is_still_looked_at(make: Make) -> None:
    photoramd = make(debounce="quiet_seconds = 'soon'", schedule="hours = ['noon']")
    findings = diagnose(photoramd, 78)
    assert len(of(findings, "configuration", "error")) == 2
    assert of(findings, "packages", "ok")
    photoramd.config.unlink()
    (error,) = of(diagnose(photoramd, 78), "configuration")
    assert "config init" in (error.remedy or "")


def test_a_directory_that_is_not_there_is_a_warning(make: Make, album: Path) -> None:
    album.rmdir()
    (warning,) = of(diagnose(make(), 0), album)
    assert warning.grade == "warning"


def test_a_model_that_is_missing_ends_with_3_and_the_command_that_brings_it(
    make: Make, tmp_path: Path
) -> None:
    photoramd = make(model="name = 'ram++'")
    (error,) = of(diagnose(photoramd, 3, XDG_DATA_HOME=os.fspath(tmp_path)), "model")
    assert "photoramd model fetch ram++" in (error.remedy or "")


@pytest.fixture
def dropped(checkpoint: PinnedFile) -> Model:
    """RAM++, in small, whose weights were deleted after a converted copy of them was made."""
    import torch

    from photoramd.models.layers.linear import Precision
    from photoramd.models.ram_plus.tagger import load_network
    from tests.support.random_weights import TINY

    load_network(checkpoint, TINY, Precision.best(torch.float32))
    default_store().path("ram++", "tiny.pth").unlink()
    return replace(RAM_PLUS, weights=checkpoint, companions=())


@pytest.mark.parametrize("precision", ["auto", "float32"])
def test_a_converted_copy_will_do_for_weights_that_were_dropped(
    dropped: Model, precision: str
) -> None:
    (finding,) = examine_weights(dropped, precision, str)
    assert finding.grade == "ok"
    assert "tiny.float32-1.safetensors" in finding.text


@pytest.mark.parametrize(
    ("precision", "text", "remedy"),
    [("bfloat16", "not installed", "make it again"), ("int8", "not calibrated", "calibrate ram++")],
)
def test_a_precision_that_no_copy_has_and_nothing_can_be_made_of_is_an_error(
    dropped: Model, precision: str, text: str, remedy: str
) -> None:
    (finding,) = examine_weights(dropped, precision, str)
    assert (finding.grade, finding.exit_code) == ("error", 3)
    assert text in finding.text
    assert remedy in (finding.remedy or "")


def test_weights_for_int8_are_not_what_a_start_takes_by_itself(dropped: Model) -> None:
    path = default_store().path("ram++", "tiny.float32-1.safetensors")
    path.rename(path.with_name("tiny.int8-1.safetensors"))
    (finding,) = examine_weights(dropped, "auto", str)
    assert finding.grade == "error"
    assert "not installed" in finding.text


def test_a_bad_converted_copy_is_an_error_with_its_remedy(dropped: Model) -> None:
    path = default_store().path("ram++", "tiny.float32-1.safetensors")
    path.chmod(0o664)
    (finding,) = examine_weights(dropped, "auto", str)
    assert (finding.grade, finding.exit_code) == ("error", 3)
    assert f"chmod go-w {path}" in (finding.remedy or "")


@pytest.mark.parametrize(("key", "value"), [("device", "cuda"), ("precision", "int8")])
def test_a_model_that_has_not_the_settings_ends_with_3_and_those_that_it_has(
    make: Make, key: str, value: str
) -> None:
    photoramd = make(model=f"{key} = '{value}'")
    (error,) = of(diagnose(photoramd, 3), "model")
    assert error.text == f"the model embedded has no {key} '{value}'"
    assert f"set model.{key} to one of: auto" in (error.remedy or "")
    checked = photoramd.run("config", "check")
    assert error.text in checked.stdout + checked.stderr


def test_exiftool_is_needed_only_where_keywords_are_embedded(make: Make, tmp_path: Path) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    assert not of(diagnose(make(), 0, PATH=os.fspath(empty)), "exiftool")
    embedding = make(watch="write = 'embed'")
    (error,) = of(diagnose(embedding, 4, PATH=os.fspath(empty)), "exiftool")
    assert "apt-get install" in (error.remedy or "")
    assert not of(diagnose(embedding, 0), "exiftool")


def test_raw_support_is_told_and_missed_only_where_there_are_raw_files(
    make: Make, put: Put, album: Path
) -> None:
    put("cat", "cat.png")
    photoramd = make()
    (found,) = of(diagnose(photoramd, 0), "raw", "ok")
    assert "camera RAW files are tagged" in found.text
    lacking = "import sys; sys.modules['rawpy'] = None; from photoramd.cli import main; main()"
    photoramd = make(program=lacking)
    assert photoramd.run("scan").returncode == 0
    (found,) = of(diagnose(photoramd, 0), "raw", "ok")
    assert "no camera RAW file" in found.text
    (album / "IMG.CR3").write_bytes(b"not looked into")
    assert photoramd.run("scan").returncode == 0
    (warning,) = of(diagnose(photoramd, 0), "raw")
    assert (warning.grade, warning.text[:2]) == ("warning", "1 ")
    assert "photoramd[raw]" in (warning.remedy or "")
    assert not of(diagnose(make(), 0), "raw")


def test_a_database_that_this_user_may_not_look_at_is_an_error(make: Make, tmp_path: Path) -> None:
    nobody = unprivileged(tmp_path)
    photoramd = make(watch="write = 'none'")
    photoramd.database.parent.mkdir(mode=0o700)
    (error,) = of(diagnose(photoramd, 4, *nobody), "database")
    assert "Permission denied" in error.text
    assert "only the user of the daemon may read it" in (error.remedy or "")


def test_a_group_of_the_service_that_does_not_exist_is_an_error() -> None:
    service = parse(SHOWN | {"User": "nobody", "SupplementaryGroups": "no-such-group"})
    assert service is not None
    found = _become(service)
    assert found.grade == "error"
    assert "no-such-group" in found.text


def test_a_database_that_is_another_programs_is_an_error(make: Make) -> None:
    photoramd = make()
    photoramd.database.parent.mkdir()
    photoramd.database.write_text("no database at all, whatever the name says" * 100)
    (error,) = of(diagnose(photoramd, 4), "database")
    assert "not a database" in error.text


def test_packages_that_do_not_fit_together_are_errors(make: Make, tmp_path: Path) -> None:
    note = tmp_path / "site" / "torchvision-0.29.2.dist-info" / "METADATA"
    note.parent.mkdir(parents=True)
    note.write_text(
        "Metadata-Version: 2.1\nName: torchvision\nVersion: 0.29.2\nRequires-Dist: torch==1.0\n"
    )
    path = os.pathsep.join([os.fspath(note.parents[1]), os.getcwd()])
    (error,) = of(diagnose(make(), 4, PYTHONPATH=path), "packages")
    assert "torchvision needs ==1.0" in error.text


WITHOUT_TORCH = """
import importlib.metadata, importlib.util
missing = ("torch", "torchvision")
find_spec, find_distribution = importlib.util.find_spec, importlib.metadata.distribution

def distribution(name):
    if name in missing:
        raise importlib.metadata.PackageNotFoundError(name)
    return find_distribution(name)

importlib.metadata.distribution = distribution
importlib.util.find_spec = lambda name, *more: None if name in missing else find_spec(name, *more)
from photoramd.cli import main
main()
"""


def test_torch_is_missed_only_by_the_models_that_need_it(make: Make) -> None:
    findings = diagnose(make(program=WITHOUT_TORCH), 0)
    (packages,) = of(findings, "packages", "ok")
    assert "onnxruntime" in packages.text
    assert "torch" not in packages.text
    (error,) = of(diagnose(make(program=WITHOUT_TORCH, model="name = 'ram++'"), 3), "model")
    assert "the model ram++ needs torch and torchvision" in error.text
    assert (error.remedy or "").endswith("pip install 'photoramd[torch]'")


def test_a_build_for_another_processor_counts_as_its_version() -> None:
    assert Package("torch", "==2.15.0", "2.15.0+cpu", "torchvision").is_good
    assert not Package("torch", "==2.15.0", "2.14.0", "torchvision").is_good
    assert not Package("torch", "", None, "photoramd").is_good


SHOWN = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "UnitFileState": "enabled",
    "Result": "success",
    "User": "photoramd",
    "SupplementaryGroups": "users media",
    "StatusText": "12 photos tagged, nothing waits",
}
"""What systemctl shows of a unit; recorded, for not every machine that tests runs systemd."""


@pytest.mark.parametrize(
    ("changes", "grade", "text"),
    [
        ({}, "ok", "runs as photoramd: 12 photos tagged"),
        ({"ActiveState": "failed", "Result": "watchdog"}, "error", "failed (watchdog)"),
        ({"ActiveState": "inactive"}, "warning", "is inactive"),
        ({"ActiveState": "activating"}, "warning", "is starting"),
        ({"UnitFileState": "disabled"}, "warning", "does not start with the machine"),
    ],
)
def test_the_state_of_the_service_is_told(changes: dict[str, str], grade: str, text: str) -> None:
    found = list(examine_service(parse(SHOWN | changes), has_systemd_python=True))
    assert [(each.grade, text in each.text) for each in found] == [(grade, True)]
    assert bool(found[0].remedy) == (grade != "ok")


def test_a_service_without_its_python_package_is_an_error() -> None:
    first, _ = examine_service(parse(SHOWN), has_systemd_python=False)
    assert first.grade == "error"
    assert parse({"LoadState": "not-found"}) is None
    (none,) = examine_service(None, has_systemd_python=False)
    assert none.grade == "ok"


def test_every_error_says_what_to_do(make: Make, album: Path) -> None:
    shutil.rmtree(album)
    album.write_text("no directory")
    for finding in diagnose(make(model="name = 'ram++'"), 78):
        assert finding.grade == "ok" or finding.remedy, finding


def test_packages_are_installed_where_photoramd_is() -> None:
    (first, _) = examine_service(parse(SHOWN), has_systemd_python=False)
    assert (first.remedy or "").startswith(f"{sys.executable} -m pip install ")
    assert MODELS["embedded"].weights.remedy.startswith(f"{sys.executable} -m pip install ")


def test_embedding_is_tried_with_a_photo_that_stays_as_it_is(
    make: Make, put: Put, album: Path
) -> None:
    photo = put("cat", "deep/cat.png")
    before = (photo.read_bytes(), photo.stat())
    photoramd = make(watch="write = 'embed'")
    findings = diagnose(photoramd, 0)
    assert any("can be embedded" in each.text for each in of(findings, album, "ok"))
    assert (photo.read_bytes(), photo.stat()) == before
    assert sorted(album.rglob("*")) == [photo.parent, photo]
    photo.with_name("link.png").hardlink_to(photo)
    (warning,) = of(diagnose(photoramd, 0), album)
    assert "hard links" in warning.text


def test_a_group_that_cannot_be_kept_is_found_by_trying(
    make: Make, put: Put, tmp_path: Path, album: Path
) -> None:
    nobody = unprivileged(tmp_path)
    photo = put("cat", "cat.png")
    os.chown(photo, 65534, 0)
    for directory in (tmp_path / "state", album):
        directory.mkdir(exist_ok=True)
        directory.chmod(0o777)
    photoramd = make(watch="write = 'embed'")
    (warning,) = of(diagnose(photoramd, 0, *nobody), album)
    assert "group 0" in warning.text
    assert "sidecars" in warning.text
