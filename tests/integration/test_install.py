"""contrib/install.sh as far as it goes without installing; tests/service does the rest."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.torch_index import add_wheel, write_index

ROOT = Path(__file__).resolve().parents[2]
NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]


def install(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installer as a user who can install nothing."""
    script = (ROOT / "contrib" / "install.sh").read_text()
    command = [*NOBODY, "bash", "-c", script, "install.sh", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")


def test_help_and_documentation_name_every_option() -> None:
    done = install("--help")
    assert done.returncode == 0
    options = set(re.findall(r"--[a-z]+", done.stdout))
    assert options == {
        *("--photos", "--user", "--group", "--prefix", "--model", "--gallery"),
        *("--uninstall", "--help"),
    }
    document = (ROOT / "docs" / "install.md").read_text()
    assert options - {"--help"} <= set(re.findall(r"--[a-z]+", document))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--photo", "/srv"], "unknown option: --photo"),
        (["--photos"], "--photos needs a directory"),
        (["--photos", "--user", "anna"], "--photos needs a directory"),
        (["--user", ""], "--user needs a value"),
        (["--model", "resnet"], "there is no model resnet"),
        (["--photos", "/srv", "--uninstall"], "exclude each other"),
        (["--uninstall", "--gallery"], "exclude each other"),
        (["--uninstall", "--prefix", "/opt/photoramd"], "exclude each other"),
        (["--photos", "/srv", "/mnt"], "must run as root"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(arguments: list[str], message: str) -> None:
    done = install(*arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert not done.stdout


def call(script: str, *values: object) -> subprocess.CompletedProcess[str]:
    """Run functions of the installer; $1 and so on are the values."""
    text = (ROOT / "contrib" / "install.sh").read_text()
    functions, last = text.rstrip().rsplit("\n", 1)
    assert last == 'main "$@"'
    command = ["bash", "-c", f"{functions}\n{script}", "install.sh", *map(str, values)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


PREFIX = "parse_options --photos /srv --prefix "


def test_a_prefix_with_other_things_in_it_is_refused(tmp_path: Path) -> None:
    assert call(f'{PREFIX}"$1"; check_prefix', tmp_path / "not" / "there").returncode == 0
    assert call(f'{PREFIX}"$1"; check_prefix', tmp_path).returncode == 0
    photo = tmp_path / "photo.jpg"
    photo.touch()
    for directory in (tmp_path, "/usr/local", "/usr", "/opt/../usr"):
        done = call(f'{PREFIX}"$1"; check_prefix', directory)
        assert (done.returncode, "has other things in it" in done.stderr) == (1, True), directory
    photo.rename(tmp_path / "pyvenv.cfg")
    assert call(f'{PREFIX}"$1"; check_prefix', tmp_path).returncode == 0


def test_a_prefix_where_somebody_else_could_put_what_root_runs_is_refused(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    for directory in (theirs, theirs / "photoramd"):
        done = call(f'{PREFIX}"$1"; check_prefix', directory)
        assert done.returncode == 1
        assert f"{theirs} does not belong to root" in done.stderr


def test_uninstalling_removes_what_was_installed_and_nothing_else(tmp_path: Path) -> None:
    prefix = tmp_path / "photoramd"
    make = 'make_environment() { mkdir -p "$1/bin" "$1/lib"; ln -s lib "$1/lib64"; }'
    call(f'prefix=$1; {make}; mark_prefix; make_environment "$1"; remove_program', prefix)
    assert not prefix.exists()
    # Somebody found it a good place for photos.
    call(f'prefix=$1; {make}; mark_prefix; make_environment "$1"', prefix)
    photo = prefix / "photos" / "lib" / "photo.jpg"
    photo.parent.mkdir(parents=True)
    photo.touch()
    assert "stays" in call("prefix=$1; remove_program", prefix).stdout
    assert photo.exists()
    assert not (prefix / "lib").exists()


def test_an_environment_that_was_there_before_stays(tmp_path: Path) -> None:
    (tmp_path / "pyvenv.cfg").touch()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "photoramd").touch()
    done = call("prefix=$1; mark_prefix; remove_program", tmp_path)
    assert "stays" in done.stdout
    assert (tmp_path / "bin" / "photoramd").exists()


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nUser=root"])
def test_names_that_a_unit_cannot_hold_are_refused_even_behind_a_link(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(name)
    done = call('parse_options --photos "$1"; check_photos', tmp_path / "link")
    assert done.returncode == 1
    assert "cannot be named in a unit" in done.stderr


def test_photos_with_spaces_and_percent_signs_are_named_as_systemd_reads_them(
    tmp_path: Path,
) -> None:
    script = 'UNITS=$1 DROPINS=$1/d; parse_options --photos "/srv/My 100%" "${@:2}"; install_unit'
    done = call(script, tmp_path, "/home/anna/a tmp", "/tmp/photos")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "d" / "photos.conf").read_text().splitlines()[1:] == [
        "[Service]",
        'ReadWritePaths="-/srv/My 100%%"',
        'BindPaths="-/home/anna/a tmp"',
        'BindPaths="-/tmp/photos"',
        "ProtectHome=tmpfs",
    ]
    assert call(script, tmp_path, "/tmp/photos").returncode == 0
    assert "ProtectHome" not in (tmp_path / "d" / "photos.conf").read_text()


@pytest.mark.parametrize("place", ["/home/anna/photoramd", "/root/p", "/tmp/p", "/var/tmp/p"])
def test_what_the_service_has_to_run_must_not_be_hidden_from_it(place: str) -> None:
    done = call('check_visible --prefix "$1"', place)
    assert done.returncode == 1
    assert f"the service cannot see {place}" in done.stderr
    for seen in ("/opt/photoramd", "/srv/home/photoramd", "/rooted"):
        assert call('check_visible --prefix "$1"', seen).returncode == 0


def test_a_colon_is_refused_where_a_directory_has_to_be_bound() -> None:
    with TemporaryDirectory(dir="/tmp", prefix="a:") as directory:
        done = call('parse_options --photos "$1"; check_photos', directory)
    assert done.returncode == 1
    assert "rename it without colons" in done.stderr


def test_an_environment_whose_python_is_gone_is_made_anew(tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    for name in ("lib/python3.9/site-packages/old", "bin/python"):
        (prefix / name).parent.mkdir(parents=True)
        (prefix / name).write_text("#!/bin/sh\nexit 1\n")
    (prefix / "bin" / "python").chmod(0o755)
    (prefix / "made-by-photoramds-install.sh").touch()
    (prefix / "pyvenv.cfg").touch()
    venv = tmp_path / "python3"
    venv.write_text('#!/bin/sh\nmkdir -p "$3/bin"; ln -s /bin/true "$3/bin/python"\n')
    venv.chmod(0o755)
    done = call(
        "LINK=$2/link prefix=$1 python=$2/python3 torch=none torch_before=none; install_program",
        prefix,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in prefix.iterdir()} == {
        *("bin", "made-by-photoramds-install.sh", "installed-by-photoramds-install.sh"),
    }


def test_a_later_run_keeps_the_user_unless_another_is_named(tmp_path: Path) -> None:
    drop_in = tmp_path / "user.conf"
    script = 'DROPINS=$1; parse_options "${@:2}"; make_user; install_user'
    assert call(script, tmp_path, "--user", "nobody").returncode == 0
    assert "User=nobody" in drop_in.read_text()
    before = drop_in.stat()
    assert "user nobody is there" in call(script, tmp_path).stdout
    assert drop_in.stat() == before
    assert call(script, tmp_path, "--group", "users").returncode == 0
    assert "User=nobody\n" in drop_in.read_text()
    assert "SupplementaryGroups=users\n" in drop_in.read_text()
    # So it does with the group.
    assert call(script, tmp_path, "--user", "daemon").returncode == 0
    assert "User=daemon\n" in drop_in.read_text()
    assert "SupplementaryGroups=users\n" in drop_in.read_text()
    assert call(script, tmp_path, "--group", "disk").returncode == 0
    assert drop_in.read_text().endswith("\nSupplementaryGroups=disk\n")


def test_a_user_who_is_not_there_is_refused_and_not_made(tmp_path: Path) -> None:
    script = f'{FAKES}useradd() {{ echo "$@" >{tmp_path}/made; }}; main "$@"'
    (tmp_path / "photos").mkdir()
    options = ["--photos", tmp_path / "photos", "--prefix", tmp_path / "prefix"]
    done = call(script, tmp_path, *options, "--user", "anan")
    assert (done.returncode, "there is no user anan" in done.stderr) == (1, True)
    # Nor is one whom an earlier run named.
    (tmp_path / "units" / "d").mkdir()
    (tmp_path / "units" / "d" / "user.conf").write_text("[Service]\nUser=anan\n")
    done = call(script, tmp_path, *options)
    assert (done.returncode, "there is no user anan" in done.stderr) == (1, True)
    assert not (tmp_path / "made").exists()
    assert not (tmp_path / "prefix").exists()
    assert call("parse_options --photos /srv --user photoramd; check_user").returncode == 0


def test_a_configuration_that_cannot_be_read_is_the_doctors_business(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[[watch]\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    done = call(
        'CONFIG=$1 ; parse_options --photos /srv --prefix "$2"; install_configuration',
        config, tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "cannot be read" in done.stdout


# What would change this machine, or takes minutes, is a FAKE; tests/service has it all.
FAKES = """
systemctl() { [ "$1" = show ] && echo "127.0.0.1:8700 (Stream)" || echo "systemctl $*"; }
check_machine() { :; }
check_visible() { :; }
install_limits() { :; }
cd "$1"; top=$1
CONFIG=$top/config.toml UNITS=$top/units DROPINS=$top/units/d LINK=$top/link
GALLERY=$top/units/photoramd-gallery WORKER=$top/units/photoramd-worker
SYSCTL=$top/sysctl SYSUSERS=$top/sysusers
BASH_COMPLETION=$top/shells/bash ZSH_COMPLETION=$top/shells/zsh FISH_COMPLETION=$top/shells/fish
MAN=$top/man NVIDIA=$top/nvidia0
installed_torch() { cat "$top/torch" 2>/dev/null || echo none; }
check_python() { python=$top/venv; }
cat >venv <<'END_OF_VENV'
#!/bin/sh
mkdir -p "$3/bin" "$3/lib" && touch "$3/pyvenv.cfg" "$3/.gitignore"  # as Python 3.13 does
printf '#!/bin/sh\\n' >"$3/bin/python"
printf '#!/bin/sh\\necho "photoramd $*"; [ "$1" != config ] || echo >"$4"' >"$3/bin/photoramd"
chmod +x "$3/bin/python" "$3/bin/photoramd"
END_OF_VENV
chmod +x venv; mkdir -p units; set -- "${@:2}"; cd "$OLDPWD/contrib"
"""


def test_a_later_run_keeps_the_prefix_or_moves_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    options = ["--photos", tmp_path / "photos", "--user", "nobody"]
    unit = tmp_path / "units" / "photoramd.service"
    first, second = tmp_path / "first", tmp_path / "second"
    for arguments, place in (
        ([*options, "--prefix", first], first),
        (options, first),
        (["--prefix", f"{first}/"], first),
        (["--prefix", second], second),
        ([], second),
    ):
        done = call(f'{FAKES}main "$@"', tmp_path, *arguments)
        assert (done.returncode, done.stderr) == (0, ""), arguments
        assert f"ExecStart={place}" in unit.read_text()
        assert [each for each in (first, second) if each.exists()] == [place], arguments
        assert (tmp_path / "link").resolve() == place / "bin" / "photoramd"


def printed_of_pip(place: Path, *arguments: object) -> str:
    """Run the installer with a Python that prints what it is told to install; what is printed."""
    python = 'echo "$*"'
    fakes = FAKES.replace("printf '#!/bin/sh\\n' >", f"printf '#!/bin/sh\\n{python}\\n' >")
    assert fakes != FAKES
    done = call(f'{fakes}main "$@"', place, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_gallery_comes_if_asked_for_and_stays_with_later_runs(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    units = tmp_path / "units"
    options = ["--photos", tmp_path / "photos", "--prefix", tmp_path / "prefix", "--user", "nobody"]
    run = partial(printed_of_pip, tmp_path)
    assert ".[raw,systemd]" in run(*options)
    assert not list(units.glob("*gallery*"))
    printed = run("--gallery")
    assert ".[raw,systemd,web]" in printed
    assert "systemctl enable --quiet photoramd-gallery.socket" in printed
    for arguments in (["--user", "daemon"], ["--prefix", tmp_path / "other"]):
        printed = run(*arguments)
        assert (".[raw,systemd,web]" in printed) == ("--prefix" in arguments)
        # One who has disabled it is not overruled.
        assert "enable --quiet photoramd-gallery" not in printed
        assert "systemctl try-restart photoramd-gallery.socket" in printed
    unit = (units / "photoramd-gallery.service").read_text()
    assert f"ExecStart={tmp_path}/other/bin/photoramd " in unit
    assert "User=daemon" in (units / "photoramd-gallery.service.d" / "10-user.conf").read_text()
    assert "disable --quiet --now photoramd-gallery.socket" in run("--uninstall")
    assert not list(units.iterdir())


def sources(place: Path) -> Path:
    """What the installer needs, with little of the program, in a place of its own."""
    for name in ("contrib/systemd", "contrib/man_pages.py", "contrib/install.sh", "photoramd/cli"):
        target = place / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target)
    for name in ("constraints.txt", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, place / name)
    return place


def test_without_a_network_a_later_run_changes_options_of_what_is_there(tmp_path: Path) -> None:
    place = sources(tmp_path / "source")
    for name in ("photos", "more"):
        (tmp_path / name).mkdir()
    prefix = tmp_path / "prefix"
    options = ["--photos", tmp_path / "photos", "--prefix", prefix, "--user", "nobody"]
    # There is no network as long as the file is there.
    python = f'[ "$2" != pip ] || ! [ -e {tmp_path}/offline ] || exit 1'
    fakes = FAKES.replace("printf '#!/bin/sh\\n' >", f"printf '#!/bin/sh\\n{python}\\n' >")
    assert fakes != FAKES
    fakes = fakes.replace('cd "$OLDPWD/contrib"', f"cd '{place}/contrib'")

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return call(f'{fakes}main "$@"', tmp_path, *arguments)

    assert run(*options).returncode == 0
    drop_ins = tmp_path / "units" / "d"
    (tmp_path / "offline").touch()
    done = run("--photos", tmp_path / "more", "--user", "daemon")
    assert (done.returncode, done.stderr) == (0, "")
    assert "it is there, from these very sources" in done.stdout
    assert "User=daemon\n" in (drop_ins / "user.conf").read_text()
    assert f"{tmp_path}/more" in (drop_ins / "photos.conf").read_text()
    # Whatever makes a difference needs pip; and where that fails, nothing is half applied.
    before = {path: path.read_text() for path in (tmp_path / "units").rglob("*") if path.is_file()}
    for new, options in (
        (prefix / "lib" / "new.py", []),
        (place / "photoramd" / "cli" / "new.py", []),
        (tmp_path / "unrelated", ["--gallery"]),
    ):
        new.touch()
        done = run("--user", "nobody", *options)
        assert done.returncode == 1
        assert "pip could not install photoramd" in done.stderr
        assert {path: path.read_text() for path in before} == before
        new.unlink()
    assert run().returncode == 0


def test_the_gallery_sees_photos_where_they_are_hidden_but_may_not_write_them(
    tmp_path: Path,
) -> None:
    script = """UNITS=$1 DROPINS=$1/d GALLERY=$1/gallery prefix=/opt/photoramd
    parse_options --gallery --photos /srv/photos "/home/anna/a b"; install_unit; install_gallery"""
    done = call(script, tmp_path)
    assert done.returncode == 0, done.stderr
    drop_in = tmp_path / "gallery.service.d" / "10-photos.conf"
    assert drop_in.read_text().splitlines()[1:] == [
        "[Service]",
        'BindReadOnlyPaths="-/home/anna/a b"',
        "ProtectHome=tmpfs",
    ]


def test_installed_twice_and_uninstalled_nothing_is_left_but_what_is_said(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    options = ["--photos", tmp_path / "photos", "--prefix", tmp_path / "prefix", "--user", "nobody"]
    for _ in range(2):
        done = call(f'{FAKES}main "$@"', tmp_path, *options)
        assert (done.returncode, done.stderr) == (0, "")
        assert "photoramd doctor\n\n== What now?\n" in done.stdout
        assert (tmp_path / "link").resolve() == tmp_path / "prefix" / "bin" / "photoramd"
        unit = (tmp_path / "units" / "photoramd.service").read_text()
        assert f"ExecStart={tmp_path}/prefix/bin/photoramd " in unit
        for shell in ("bash", "zsh", "fish"):
            assert (tmp_path / "shells" / shell).read_text() == f"photoramd completion {shell}\n"
    (tmp_path / "man" / "photoramd-query.1").touch()
    done = call(f'{FAKES}main "$@"', tmp_path, "--uninstall")
    assert (done.returncode, done.stderr) == (0, "")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"photos", "config.toml", "units", "venv", "shells", "man"}
    for directory in ("units", "shells", "man"):
        assert not list((tmp_path / directory).iterdir())


@pytest.mark.parametrize(
    ("fails", "options"),
    [
        ("restart photoramd.service", []),
        ("restart photoramd-gallery.socket", ["--gallery"]),
        ("try-restart photoramd-gallery.socket", []),
    ],
)
def test_what_did_not_start_is_told_at_the_end_though_the_doctor_only_warns(
    fails: str, options: list[str], tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    common = ["--photos", tmp_path / "photos", "--prefix", tmp_path / "prefix", "--user", "nobody"]
    gallery = ["--gallery"] if "gallery" in fails else []
    assert call(f'{FAKES}main "$@"', tmp_path, *common, *gallery).returncode == 0
    failing = FAKES.replace("systemctl() {", f'systemctl() {{ [ "$*" != "{fails}" ] || return 1;')
    assert failing != FAKES
    done = call(f'{failing}main "$@"', tmp_path, *options)
    assert done.returncode == 1
    assert f"this did not start: {fails.split()[1]}" in done.stderr
    # All else was done.
    assert "photoramd doctor" in done.stdout
    assert "What now?" not in done.stdout


def test_an_uninstallation_that_was_interrupted_goes_on_where_the_program_is(
    tmp_path: Path,
) -> None:
    (tmp_path / "photos").mkdir()
    options = ["--photos", tmp_path / "photos", "--prefix", tmp_path / "prefix", "--user", "nobody"]
    assert call(f'{FAKES}main "$@"', tmp_path, *options).returncode == 0
    interrupted = f'{FAKES}remove_program() {{ exit 1; }}; main "$@"'
    assert call(interrupted, tmp_path, "--uninstall").returncode == 1
    assert (tmp_path / "prefix" / "bin").exists()
    assert call(f'{FAKES}main "$@"', tmp_path, "--uninstall").returncode == 0
    assert not (tmp_path / "prefix").exists()
    assert not list((tmp_path / "units").iterdir())


def copy_worker(units: Path, prefix: Path) -> tuple[Path, Path]:
    """The units of a worker, as somebody has put them there by hand."""
    units.mkdir(exist_ok=True)
    pair = (units / "photoramd-worker.socket", units / "photoramd-worker.service")
    for unit in pair:
        text = (ROOT / "contrib" / "systemd" / unit.name).read_text()
        unit.write_text(text.replace("/opt/photoramd", str(prefix)))
    return pair


def test_a_worker_is_started_again_and_stopped_before_its_program_goes(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    options = ["--photos", tmp_path / "photos", "--prefix", tmp_path / "prefix", "--user", "nobody"]
    run = partial(printed_of_pip, tmp_path)
    assert ",worker" not in run(*options)
    socket, service = copy_worker(tmp_path / "units", tmp_path / "prefix")
    printed = run()
    assert ".[raw,systemd,worker]" in printed
    assert "systemctl try-restart photoramd-worker.service" in printed
    printed = run("--prefix", tmp_path / "other")
    assert f"ExecStart={tmp_path}/other/bin/photoramd " in service.read_text()
    assert printed.index("try-restart photoramd-worker.service") < printed.index("Removing the")
    printed = run("--uninstall")
    disabled = [f"disable --quiet --now {unit.name}" for unit in (socket, service)]
    places = [printed.index(text) for text in [*disabled, "Removing the program"]]
    assert places == sorted(places)
    assert not list((tmp_path / "units").iterdir())


def test_units_of_a_worker_that_are_the_users_own_stay(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    options = ["--photos", tmp_path / "photos", "--prefix", tmp_path / "prefix", "--user", "nobody"]
    assert call(f'{FAKES}main "$@"', tmp_path, *options).returncode == 0
    socket, service = copy_worker(tmp_path / "units", tmp_path / "prefix")
    service.write_text(f"{service.read_text()}# mine\n")
    done = call(f'{FAKES}main "$@"', tmp_path, "--uninstall")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{service} is not as it came with photoramd, and stays" in done.stdout
    assert "disable --quiet --now photoramd-worker.service" in done.stdout
    assert list((tmp_path / "units").iterdir()) == [service]
    # Nor is one touched that runs another program.
    copy_worker(tmp_path / "units", Path("/srv/worker"))
    for arguments in (options, ["--uninstall"]):
        assert "photoramd-worker" not in call(f'{FAKES}main "$@"', tmp_path, *arguments).stdout
    assert socket.exists()
    assert service.exists()


@pytest.mark.parametrize(
    ("options", "there", "said", "extras"),
    [
        ("", "none", [], "raw,systemd"),
        ("--model embedded", "none", [], "raw,systemd"),
        ("--model ram++", "none", ["for the processor", "3010 MB"], "raw,systemd,torch"),
        ("--model ram++", "cpu", ["3010 MB"], "raw,systemd,torch"),
        ("--model torchvision:swin_v2_b", "none", ["for the processor"], "raw,systemd,torch"),
        ("", "cpu", [], "raw,systemd,torch"),
        ("", "cuda", [], "raw,systemd,torch"),
    ],
)
def test_what_is_downloaded_is_said_before_and_depends_on_the_model(
    options: str, there: str, said: list[str], extras: str, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "torch").write_text(f"{there}\n")
    script = FAKES.replace("printf '#!/bin/sh\\n' >", "printf '#!/bin/sh\\necho \"$*\"\\n' >")
    assert script != FAKES
    arguments = ["--photos", tmp_path / "photos", "--prefix", tmp_path / "prefix"]
    arguments += ["--user", "nobody", *options.split()]
    done = call(f'{script}main "$@"', tmp_path, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    before, _, after = done.stdout.partition("-m pip install")
    assert "about 80 MB to download" in before
    assert f"-c constraints.txt .[{extras}]" in after
    notes = {"for the processor", "for NVIDIA devices", "3010 MB"}
    assert [note for note in sorted(notes) if note in before] == sorted(said)
    (tmp_path / "nvidia0").touch()
    if "for the processor" in said:
        (tmp_path / "torch").write_text("none\n")
        again = call(f'{script}main "$@"', tmp_path, *arguments).stdout
        assert "for NVIDIA devices: about 3000 MB" in again
        # The unit hides devices.
        hint = f"contrib/systemd/photos.conf.example (not tried), in {tmp_path}/units/d/gpu.conf"
        assert again.index(hint) < again.index("Installing the program")
        example = (ROOT / "contrib" / "systemd" / "photos.conf.example").read_text()
        lines = re.findall(r"^#((?:PrivateDevices|DeviceAllow)=.*)$", example, re.MULTILINE)
        (tmp_path / "units" / "d" / "gpu.conf").write_text("\n".join(["[Service]", *lines]))
        assert "gpu.conf" not in call(f'{script}main "$@"', tmp_path, *arguments).stdout
        assert "--index-url" not in again


def test_the_model_is_written_into_a_new_configuration_alone(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    options = ["--photos", tmp_path / "photos", "--prefix", tmp_path / "prefix"]
    options += ["--user", "nobody", "--model", "ram++"]
    stub = FAKES.replace('echo >"$4"', 'echo "$*" >"$4"')
    assert stub != FAKES
    first = call(f'{stub}main "$@"', tmp_path, *options)
    assert (first.returncode, first.stderr) == (0, "")
    config = tmp_path / "config.toml"
    assert config.read_text().endswith(f"--photos {tmp_path}/photos --model ram++\n")
    assert "photoramd model fetch ram++" in first.stdout
    assert "MemoryMax=6G" in (tmp_path / "units" / "d" / "10-model.conf").read_text()
    config.write_text("# mine\n")
    again = call(f'{stub}main "$@"', tmp_path, *options)
    assert 'name = "ram++" under [model] in it chooses that model' in again.stdout
    assert config.read_text() == "# mine\n"
    assert call(f'{stub}main "$@"', tmp_path, "--uninstall").returncode == 0
    assert not list((tmp_path / "units").iterdir())


def test_the_limits_of_memory_are_those_of_the_model_unless_they_are_the_users(
    tmp_path: Path,
) -> None:
    script = """CONFIG=$1/config.toml DROPINS=$1/d; parse_options --photos /srv "${@:2}"
    install_memory"""
    drop_in, config = tmp_path / "d" / "10-model.conf", tmp_path / "config.toml"

    def limits(*options: str) -> str:
        done = call(script, tmp_path, *options)
        assert (done.returncode, done.stderr) == (0, "")
        return " ".join(drop_in.read_text().splitlines()[1:]) if drop_in.exists() else ""

    config.write_text("[model]\n#name = 'ram++'\n")
    assert limits() == ""
    assert limits("--model", "ram++") == "[Service] MemoryHigh=4500M MemoryMax=6G"
    assert limits() == ""
    config.write_text('[model]\nname = "ram++"\n')
    assert limits() == "[Service] MemoryHigh=4500M MemoryMax=6G"
    config.write_text("[model]\nname = 'ram++'\nprecision = 'bfloat16'\n")
    assert limits() == "[Service] MemoryHigh=3G MemoryMax=4G"
    own = tmp_path / "d" / "override.conf"
    own.write_text("[Service]\nMemoryMax=8G\n")
    assert limits() == ""
    (tmp_path / "d" / "own.conf").write_text("MemoryHigh=7G\n")
    assert f"those of {own} {tmp_path}/d/own.conf;" in call(script, tmp_path).stdout
    # The documentation has these limits.
    text = (ROOT / "docs" / "install.md").read_text()
    assert "`MemoryHigh=3G` `MemoryMax=4G`" in text
    assert "`MemoryHigh=4500M` `MemoryMax=6G`" in text


def test_a_disk_without_room_for_it_is_said_before_anything_is_downloaded(tmp_path: Path) -> None:
    script = r"""df() { printf "Avail
1500
"; }; NVIDIA=$1/nvidia0
    parse_options --prefix "$1/p" "${@:2}"; choose_torch; check_sizes"""
    assert call(script, tmp_path).returncode == 0
    done = call(script, tmp_path, "--model", "ram++")
    assert done.returncode == 1
    assert f"1800 MB are needed for {tmp_path}/p, and 1500 MB are free" in done.stderr


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """Indexes of FAKE wheels, /cpu of PyTorch and /all of the rest; what was asked of them."""
    write_index(tmp_path / "index" / "cpu")
    everything = tmp_path / "index" / "all"
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    for name, version in re.findall(r"^(torch|torchvision)==(\S+)", pins, re.MULTILINE):
        add_wheel(everything, name, version, "typing-extensions")
    add_wheel(everything, "typing-extensions", "4.0")
    for version in ("1.0", "2.0"):
        add_wheel(everything, "builder", version)
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_request(self, code: object = "-", size: object = "-") -> None:
            asked.append(self.path)

        def log_message(self, *_: object) -> None:
            pass

    serve = partial(Handler, directory=os.fspath(tmp_path / "index"))
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


# What builds a FAKE of the program, which says with what it was built.
BACKEND = """
import importlib.metadata, zipfile
def build_wheel(directory, config_settings=None, metadata_directory=None):
    info, name = "photoramd-1.0.dist-info", "photoramd-1.0-py3-none-any.whl"
    builder = importlib.metadata.version("builder")
    files = {"METADATA": "Metadata-Version: 2.1\\nName: photoramd\\nVersion: 1.0\\n"
        f"Summary: built by {builder}\\nProvides-Extra: raw\\nProvides-Extra: systemd\\n"
        "Provides-Extra: torch\\nRequires-Dist: torch; extra == 'torch'\\n"
        "Requires-Dist: torchvision; extra == 'torch'\\n",
        "WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        "RECORD": ""}
    with zipfile.ZipFile(directory + "/" + name, "w") as wheel:
        for file, text in files.items():
            wheel.writestr(info + "/" + file, text)
    return name
"""


def test_pytorch_goes_only_when_its_other_build_is_there(
    tmp_path: Path, index: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    address, asked = index
    place = sources(tmp_path / "source")
    (place / "backend.py").write_text(BACKEND)
    (place / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["builder"]\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    pins = (place / "constraints.txt").read_text()
    pins = re.sub(r"^typing-extensions==\S+", "", pins, flags=re.MULTILINE)
    (place / "constraints.txt").write_text(f"{pins}\nbuilder==1.0\n")
    prefix = tmp_path / "prefix"
    subprocess.run([sys.executable, "-m", "venv", prefix], check=True)

    def run(torch: str, rest: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setenv("PHOTORAMD_TORCH_INDEX", torch)
        monkeypatch.setenv("PIP_INDEX_URL", rest)
        script = """cd "$1/source"; NVIDIA=$1/nvidia0; LINK=$1/link
        parse_options --prefix "$1/prefix" --model ram++
        choose_torch; echo "$torch_before $torch"; install_program"""
        asked.clear()
        return call(script, tmp_path)

    def there() -> tuple[str, str]:
        """Which build of PyTorch is there, and what the program was built with."""
        summary = "from importlib.metadata import metadata as m; print(m('photoramd')['Summary'])"
        script = 'prefix=$1; installed_torch; "$1/bin/python" -c "$2" 2>/dev/null || true'
        build, *built = call(script, prefix, summary).stdout.splitlines()
        return build, "".join(built)

    dead = f"{address}/dead"
    done = run(dead, f"{address}/all")
    assert (done.returncode, there()) == (1, ("none", ""))
    assert "PHOTORAMD_TORCH_INDEX names another index" in done.stderr
    done = run(f"{address}/cpu", f"{address}/all")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("none cpu\n")
    assert there() == ("cpu", "built by 1.0")
    assert {path.split("/")[2] for path in asked if path.startswith("/cpu/")} == {
        *("torch", "torchvision")
    }
    assert not [path for path in asked if path.startswith("/all/torch")]
    # With a device, it stays until all that the other build needs is there.
    (tmp_path / "nvidia0").touch()
    done = run(dead, dead)
    assert "pip could not fetch PyTorch" in done.stderr
    assert (done.returncode, there()[0]) == (1, "cpu")
    (tmp_path / "index" / "all" / "builder").rename(tmp_path / "builder")
    done = run(dead, f"{address}/all")
    assert "pip could not install photoramd" in done.stderr
    assert (done.returncode, there()[0]) == (1, "cpu")
    assert not (prefix / "fetched-by-photoramds-install.sh").exists()
    (tmp_path / "builder").rename(tmp_path / "index" / "all" / "builder")
    done = run(dead, f"{address}/all")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cpu cuda\n")
    assert there()[0] == "cuda"
    # Back again, and then neither is asked for anything.
    (tmp_path / "nvidia0").unlink()
    done = run(dead, f"{address}/all")
    assert (done.returncode, there()[0]) == (1, "cuda")
    assert run(f"{address}/cpu", f"{address}/all").returncode == 0
    assert there()[0] == "cpu"
    assert run(dead, dead).returncode == 0
    assert (asked, there()[0]) == ([], "cpu")
    # Nor for PyTorch when only the program is another.
    (place / "README.md").write_text("Another.\n")
    done = run(dead, f"{address}/all")
    assert done.returncode == 0, done.stderr
    assert there()[0] == "cpu"
    assert not [path for path in asked if "torch" in path]
    assert not (prefix / "fetched-by-photoramds-install.sh").exists()
