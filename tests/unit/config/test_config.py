from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest

from photoramd.config import loader, schema
from photoramd.config.loader import load
from photoramd.config.sample import sample
from photoramd.config.schema import Config
from photoramd.config.tables import format_value, tables
from photoramd.errors import ConfigError
from photoramd.system import paths

KEYS = [key for table in tables() for key in table.keys]


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the configuration of whoever runs the tests out of them."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(paths, "SYSTEM_CONFIG", tmp_path / "etc" / "config.toml")
    monkeypatch.setattr(paths, "SYSTEM_DATABASE", tmp_path / "var" / "photoramd.db")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    directory = tmp_path / "photos"
    directory.mkdir()
    return directory


def write(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "config.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def problems(tmp_path: Path, text: str) -> list[str]:
    return list(loader.examine(write(tmp_path, text), need_watch=False).problems)


def watch(*paths: Path | str) -> str:
    return "".join(f"[[watch]]\npath = {format_value(str(path))}\n" for path in paths)


# Values


def test_a_file_with_one_directory_has_all_defaults(tmp_path: Path, photos: Path) -> None:
    found = load(write(tmp_path, watch(photos)), need_watch=True)
    assert [each.path for each in found.watch] == [photos]
    first = found.watch[0]
    assert (first.write, first.sidecar_names, first.exclude, first.poll) == (
        "sidecar",
        "full",
        (),
        "auto",
    )
    debounce = found.debounce
    assert (debounce.quiet_seconds, debounce.max_wait_seconds, debounce.batch_size) == (5, 60, 8)
    model = found.model
    assert (model.name, model.device, model.precision) == ("embedded", "auto", "auto")
    assert (model.threshold, model.top_n, model.idle_unload_minutes) == ("calibrated", 15, 0)
    assert model.threads == 0
    assert (found.tags.overrides, found.tags.allow, found.tags.deny) == (None, (), ())
    assert found.tags.parent == ""
    assert found.decode.max_pixels == 120_000_000
    assert found.schedule.hours == ()
    assert found.scan.interval_minutes == 60


def test_every_value_can_be_given(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "words.json").write_text('{"dog": "Hund", "lens cap": ""}')
    found = load(
        write(
            tmp_path,
            f"""
            [[watch]]
            path = {format_value(str(photos))}
            write = "none"
            sidecar_names = "lightroom"
            exclude = ["Export/**", "*.tmp.jpg"]
            poll = "never"
            [debounce]
            quiet_seconds = 0.5
            max_wait_seconds = 7
            batch_size = 2
            [scan]
            interval_minutes = 0
            [model]
            name = "embedded"
            device = "cpu"
            precision = "float32"
            threshold = 1
            top_n = 3
            threads = 2
            [tags]
            overrides = "words.json"
            allow = ["dog"]
            deny = ["cat"]
            parent = "auto"
            [decode]
            max_pixels = 1_000
            [state]
            path = "~/tags.db"
            """,
        )
    )
    assert found.watch[0].sidecar_names == "lightroom"
    assert found.watch[0].exclude == ("Export/**", "*.tmp.jpg")
    assert found.debounce == schema.Debounce(quiet_seconds=0.5, max_wait_seconds=7.0, batch_size=2)
    assert isinstance(found.model.threshold, float)
    assert found.tags == schema.Tags(
        overrides=tmp_path / "words.json", allow=("dog",), deny=("cat",), parent="auto"
    )
    assert found.state.path == tmp_path / "home" / "tags.db"


def test_values_are_frozen_and_equal_files_are_equal(tmp_path: Path, photos: Path) -> None:
    path = write(tmp_path, watch(photos))
    found = load(path)
    assert found == load(path)
    with pytest.raises(AttributeError):
        found.watch = ()  # type: ignore[misc]


# Places


def test_the_users_file_is_found_before_the_systems_and_both_after_an_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert paths.find_config() is None
    system = tmp_path / "etc" / "config.toml"
    system.parent.mkdir()
    system.touch()
    assert paths.find_config() == system
    user = tmp_path / "home" / ".config" / "photoramd" / "config.toml"
    user.parent.mkdir(parents=True)
    user.touch()
    assert paths.find_config() == user
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert paths.find_config() == system
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative/is/ignored")
    assert paths.find_config() == user
    assert paths.find_config(Path("asked.toml")) == Path("asked.toml")


def test_no_file_at_all_is_an_error_that_tells_how_to_make_one_or_means_defaults() -> None:
    with pytest.raises(ConfigError, match="no configuration file") as caught:
        load()
    assert "photoramd config init" in (caught.value.remedy or "")
    assert caught.value.exit_code == 78
    assert load(need_file=False).model == schema.Model()


def test_a_file_that_was_asked_for_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file") as caught:
        load(tmp_path / "none.toml", need_file=False)
    assert caught.value.path == str(tmp_path / "none.toml")


def test_the_database_is_the_systems_for_root_and_its_configuration_else_the_users(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, own = tmp_path / "var" / "photoramd.db", write(tmp_path, watch(photos))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert load(own).state.path == system
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    user = tmp_path / "home" / ".local" / "state" / "photoramd" / "photoramd.db"
    assert load(own).state.path == user
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert load(own).state.path == tmp_path / "state" / "photoramd" / "photoramd.db"
    paths.SYSTEM_CONFIG.parent.mkdir()
    paths.SYSTEM_CONFIG.write_text(watch(photos))
    assert load().state.path == system
    system.parent.mkdir()
    assert load(own).state.path == system


def test_the_cache_is_the_systems_for_root_and_its_configuration_else_the_users(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = write(tmp_path, watch(photos))
    monkeypatch.setattr(paths, "SYSTEM_CACHE", tmp_path / "var-cache")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert load(own).gallery.cache == tmp_path / "var-cache"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert load(own).gallery.cache == tmp_path / "home" / ".cache" / "photoramd"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert load(own).gallery.cache == tmp_path / "xdg" / "photoramd"
    own = write(tmp_path, watch(photos) + "[gallery]\ncache = '~/small'\ncache_size = '500 MB'\n")
    assert load(own).gallery.cache == tmp_path / "home" / "small"
    assert load(own).gallery.cache_bytes == 500_000_000


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("cache = 'small'", 'gallery.cache: "small" is a relative path'),
        ("cache = '/mnt/nas/small'", "gallery.cache: /mnt/nas/small is on a file system of type"),
        ("cache = '/dev/null'", "gallery.cache: /dev/null is a file"),
        ("cache_size = '0 GB'", 'gallery.cache_size: "0 GB" is not allowed'),
        ("cache_size = 2", "gallery.cache_size: 2 is not allowed; allowed: a size such as"),
        ("cache_size = '2GB'", None),
        ("cache_size = '1 TB'", None),
    ],
)
def test_a_cache_that_cannot_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, problem: str | None
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_bytes(MOUNTINFO)
    monkeypatch.setattr(paths, "MOUNTS", mounts)
    found = problems(tmp_path, f"[gallery]\n{line}")
    assert [each.startswith(problem or "") for each in found] == [True] * (problem is not None)


def test_where_no_gallery_is_the_cache_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_bytes(MOUNTINFO)
    monkeypatch.setattr(paths, "MOUNTS", mounts)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CACHE_HOME", "/mnt/nas")
    state = f"[state]\npath = '{tmp_path}/x.db'\n"
    assert not problems(tmp_path, state)
    (found,) = problems(tmp_path, f"{state}[gallery]\nthumbnails = true\n")
    assert found.startswith("gallery.cache: /mnt/nas/photoramd is on a file system of type nfs4")


def test_a_user_without_a_home_gets_the_systems_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "nowhere")
    assert paths.default_config() == paths.SYSTEM_CONFIG
    assert paths.default_database(None) == paths.SYSTEM_DATABASE
    assert paths.find_config() is None


def test_overrides_are_looked_up_beside_the_file_then_in_the_users_folder(
    tmp_path: Path, photos: Path
) -> None:
    path = write(tmp_path, watch(photos))
    folder = tmp_path / "home" / ".config" / "photoramd"
    folder.mkdir(parents=True)
    (folder / "overrides.json").write_text("{}")
    assert load(path).tags.overrides == folder / "overrides.json"
    (tmp_path / "overrides.json").write_text("{}")
    assert load(path).tags.overrides == tmp_path / "overrides.json"
    (tmp_path / "elsewhere.json").write_text("{}")
    absolute = f'[tags]\noverrides = "{tmp_path}/elsewhere.json"'
    assert load(write(tmp_path, absolute)).tags.overrides == tmp_path / "elsewhere.json"


def test_paths_may_begin_with_a_tilde_and_lose_their_detours(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "a").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    (home / "link").symlink_to(tmp_path / "b")
    found = load(write(tmp_path, watch("~/a//./", "~/link/../photos", f"/{home}/c")))
    assert [each.path for each in found.watch] == [home / "a", tmp_path / "photos", home / "c"]
    assert str(found.watch[2].path) == f"{home}/c"


# Errors


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "[debounce]\nquiet_secs = 5",
            "debounce.quiet_secs: unknown key; did you mean quiet_seconds?",
        ),
        ("[debonce]\n", "debonce: unknown section; did you mean debounce?"),
        ("top_n = 5", "top_n: unknown section; did you mean model.top_n?"),
        ("[tags]\nthreshold = 1", "tags.threshold: unknown key; did you mean model.threshold?"),
        ("[decode]\nxyz = 1", "decode.xyz: unknown key; allowed: max_pixels"),
        ("[[watch]]\n", "watch[0].path: missing; allowed: an absolute path, or one below ~"),
        (
            '[[watch]]\npath = "x"\nwritten = 1',
            "watch[0].written: unknown key; did you mean write?",
        ),
        (
            '[watch]\npath = "/x"',
            "watch: written [[watch]], with two brackets, for it can be repeated",
        ),
        ("watch = [3]", "watch[0]: 3 is not a section; allowed: [[watch]] with keys"),
        ("debounce = 5", "debounce: 5 is not a section; allowed: [debounce] with keys"),
        (
            "[debounce]\nquiet_seconds = 0",
            "debounce.quiet_seconds: 0 is not allowed; allowed: a number above 0 to 3600",
        ),
        (
            "[debounce]\nquiet_seconds = nan",
            "debounce.quiet_seconds: nan is not allowed; allowed: a number above 0 to 3600",
        ),
        (
            "[debounce]\nmax_wait_seconds = inf",
            "debounce.max_wait_seconds: inf is not allowed; allowed: a number above 0 to 86400",
        ),
        (
            "[debounce]\nbatch_size = 2.5",
            "debounce.batch_size: 2.5 is not allowed; allowed: a whole number from 1 to 256",
        ),
        (
            "[debounce]\nbatch_size = true",
            "debounce.batch_size: true is not allowed; allowed: a whole number from 1 to 256",
        ),
        (
            '[model]\nthreshold = "high"',
            'model.threshold: "high" is not allowed; allowed: "calibrated" or a number from 0 to 1',
        ),
        (
            "[model]\nthreshold = 1.01",
            'model.threshold: 1.01 is not allowed; allowed: "calibrated" or a number from 0 to 1',
        ),
        (
            '[model]\nname = "resnet"',
            'model.name: "resnet" is not allowed; '
            'allowed: "embedded", "ram++" or "torchvision:NAME", as `photoramd model list` '
            "names them",
        ),
        (
            '[model]\nname = "embedded\\n"',
            'model.name: "embedded\\n" is not allowed; '
            'allowed: "embedded", "ram++" or "torchvision:NAME", as `photoramd model list` '
            "names them",
        ),
        (
            '[[watch]]\npath = "/x"\nwrite = "xmp"',
            'watch[0].write: "xmp" is not allowed; allowed: "sidecar", "embed" or "none"',
        ),
        (
            '[[watch]]\npath = ""',
            'watch[0].path: "" is not allowed; allowed: an absolute path, or one below ~',
        ),
        (
            '[[watch]]\npath = "/a\\u0000b"',
            'watch[0].path: "/a\\u0000b" is not allowed; allowed: an absolute path, or one below ~',
        ),
        (
            "[[watch]]\npath = 3",
            "watch[0].path: 3 is not allowed; allowed: an absolute path, or one below ~",
        ),
        (
            '[[watch]]\npath = "photos"',
            'watch[0].path: "photos" is a relative path; allowed: an absolute path, or one below ~',
        ),
        (
            '[state]\npath = "~nobody-of-this-name/x.db"',
            'state.path: "~nobody-of-this-name/x.db" is a relative path; '
            "allowed: an absolute path, or one below ~",
        ),
        (
            '[tags]\nallow = "dog"',
            'tags.allow: "dog" is not allowed; allowed: a list of texts in quotes',
        ),
        (
            '[tags]\ndeny = [""]',
            'tags.deny: [""] is not allowed; allowed: a list of texts in quotes',
        ),
        (
            '[schedule]\nhours = ["22:00-25:00"]',
            'schedule.hours: ["22:00-25:00"] is not allowed; '
            'allowed: a list of spans of time, such as ["22:00-07:00"]',
        ),
        (
            "[debounce]\nquiet_seconds = 90",
            "debounce.max_wait_seconds: 60 is less than debounce.quiet_seconds; "
            "allowed: 90 or more",
        ),
        (
            "[decode]\nmax_pixels = 1979-05-27",
            "decode.max_pixels: 1979-05-27 is not allowed; "
            "allowed: a whole number from 1 to 4_000_000_000",
        ),
    ],
)
def test_a_problem_names_key_value_and_what_is_allowed(
    tmp_path: Path, text: str, problem: str
) -> None:
    assert problems(tmp_path, text) == [problem]
    path = tmp_path / "config.toml"
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: {problem}"


def test_all_problems_are_collected_and_the_first_raised(tmp_path: Path) -> None:
    text = "[model]\ntop_n = 0\ndevise = 1\n[decode]\nmax_pixels = -1\n[[watch]]\n"
    found = problems(tmp_path, text)
    assert [each.split(":")[0] for each in found] == [
        "model.top_n",
        "model.devise",
        "decode.max_pixels",
        "watch[0].path",
    ]
    with pytest.raises(ConfigError, match=re.escape("model.top_n")) as caught:
        load(tmp_path / "config.toml")
    assert caught.value.remedy == "photoramd config check names 3 more"


@pytest.mark.parametrize("text", ["", "watch = []"])
def test_a_directory_must_be_watched_only_where_that_is_needed(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    assert load(path).watch == ()
    with pytest.raises(ConfigError, match="watch: missing"):
        load(path, need_watch=True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[model\n", "not valid TOML: .*line 1, column"),
        (b"a = 1\nb = \n", "not valid TOML: .*line 2, column"),
        (b"[model]\n[model]\n", "not valid TOML: .*line 2"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"a = " + b"9" * 5000, "not valid TOML"),
        (b"# ok\n# caf\xe9\n", "not UTF-8 in line 2"),
        (b"#" * (2 << 20), "larger than 1 MiB"),
    ],
)
def test_a_file_that_is_no_toml_is_our_error(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load(write(tmp_path, content))
    assert caught.value.path == str(tmp_path / "config.toml")


def test_a_byte_order_mark_of_a_windows_editor_is_no_error(tmp_path: Path, photos: Path) -> None:
    assert load(write(tmp_path, b"\xef\xbb\xbf" + watch(photos).encode())).watch


def test_a_directory_or_a_locked_file_in_place_of_the_file_is_our_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory"):
        load(tmp_path)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(ConfigError, match="cannot be read: Too many levels"):
        load(loop)


def test_directories_must_not_overlap_by_their_real_paths(tmp_path: Path, photos: Path) -> None:
    inner = photos / "2024"
    inner.mkdir()
    link = tmp_path / "link"
    link.symlink_to(photos)
    sibling = tmp_path / "photos2"
    [inside] = problems(tmp_path, watch(photos, inner))
    assert inside.startswith(f"watch[1].path: {inner} is inside watch[0].path ({photos})")
    [contains] = problems(tmp_path, watch(inner, photos))
    assert contains.startswith(f"watch[1].path: {photos} contains watch[0].path ({inner})")
    [same] = problems(tmp_path, watch(photos, f"{photos}/"))
    assert "is the same directory as" in same
    [linked] = problems(tmp_path, watch(inner, link))
    assert linked.startswith(f"watch[1].path: {link} contains")
    assert problems(tmp_path, watch(photos, sibling)) == []


def test_a_file_in_place_of_a_directory_is_a_problem_and_a_missing_one_a_warning(
    tmp_path: Path, photos: Path
) -> None:
    file = tmp_path / "file"
    file.touch()
    assert problems(tmp_path, watch(file)) == [f"watch[0].path: {file} is not a directory"]
    assert problems(tmp_path, f'[state]\npath = "{photos}"') == [
        f"state.path: {photos} is a directory; allowed: the path of a file"
    ]
    report = loader.examine(write(tmp_path, watch(photos, tmp_path / "gone")))
    assert report.config is not None
    [warning] = report.warnings
    assert warning.startswith(f"watch[1].path: {tmp_path}/gone is not there now")
    assert report.warnings == loader.warnings(report.config)


def test_a_name_too_long_for_the_file_system_is_a_warning_and_no_crash(tmp_path: Path) -> None:
    [warning] = loader.examine(write(tmp_path, watch(f"/{'x' * 5000}"))).warnings
    assert "not readable" in warning


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"dog": 3}', "dog"),
        ('["dog"]', "not an object"),
        ("{", "not JSON"),
        (None, "No such file"),
    ],
)
def test_overrides_must_be_an_object_of_texts(
    tmp_path: Path, content: str | None, words: str
) -> None:
    overrides = tmp_path / "words.json"
    if content is not None:
        overrides.write_text(content)
    [problem] = problems(tmp_path, '[tags]\noverrides = "words.json"')
    assert problem.startswith(f"tags.overrides: {overrides}: ")
    assert words in problem


@pytest.mark.parametrize("parent", ["a/b", "a|b", " a", "x" * 65])
def test_the_parent_must_be_a_keyword(tmp_path: Path, parent: str) -> None:
    [problem] = problems(tmp_path, f'[tags]\nparent = "{parent}"')
    assert problem.startswith("tags.parent: ")
    assert "is not allowed; a keyword is" in problem


MOUNTINFO = rb"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
30 27 0:30 / /mnt/nas rw - autofs systemd-1 rw
31 27 0:31 / /mnt/nas rw,relatime shared:9 master:2 - nfs4 nas:/volume1 rw,vers=4.2
32 27 0:32 / /mnt/my\040share rw - cifs //nas/share rw
33 31 8:1 / /mnt/nas/disk rw - btrfs /dev/sda1 rw
34 27 0:34 / /mnt/union rw - fuse.mergerfs a:b rw
35 27 0:35 / /mnt/ntfs rw - fuseblk /dev/sdb1 rw
36 27 0:36 / /mnt/win rw - 9p drvfs rw
37 27 0:37 / /mnt/smb rw - smb3 //nas/share rw
"""


@pytest.mark.parametrize(
    ("path", "kind", "is_network"),
    [
        ("/var/lib/photoramd/x.db", "ext4", False),
        ("/mnt/nas/x.db", "nfs4", True),
        ("/mnt/nas/none/yet/x.db", "nfs4", True),
        ("/mnt/nas2/x.db", "ext4", False),
        ("/mnt/my share/x.db", "cifs", True),
        ("/mnt/nas/disk/x.db", "btrfs", False),
        ("/mnt/union/x.db", "fuse.mergerfs", True),
        ("/mnt/ntfs/x.db", "fuseblk", False),
        ("/mnt/win/x.db", "9p", True),
        ("/mnt/smb/x.db", "smb3", True),
    ],
)
def test_a_database_on_a_network_file_system_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, kind: str, is_network: bool
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_bytes(MOUNTINFO)
    monkeypatch.setattr(paths, "MOUNTS", mounts)
    assert paths.filesystem_type(Path(path)) == kind
    found = problems(tmp_path, f'[state]\npath = "{path}"')
    expected = f"state.path: {path} is on a file system of type {kind}"
    assert [each.startswith(expected) for each in found] == [True] * is_network


def test_the_type_of_this_file_system_is_that_of_the_kernels_own_tool(tmp_path: Path) -> None:
    told = subprocess.run(
        ["stat", "--file-system", "--format=%T", "/proc"], capture_output=True, check=True
    )
    assert paths.filesystem_type(Path("/proc/self")) == told.stdout.decode().strip() == "proc"
    assert paths.filesystem_type(tmp_path) != ""


# Sample and documentation


def test_the_sample_loads_with_one_directory_to_watch(tmp_path: Path) -> None:
    path = write(tmp_path, sample())
    report = loader.examine(path)
    assert report.problems == ()
    assert report.given == {"watch[0].path"}
    assert load(path).watch == (schema.Watch(path=Path("/volume1/photos")),)


def test_the_samples_lines_are_the_defaults_when_uncommented(tmp_path: Path) -> None:
    document = tomllib.loads(re.sub(r"(?m)^#(?=\w)", "", sample()))
    assert [f"{table.name}.{key.name}" for table in tables() for key in table.keys] == [
        f"{section}.{name}"
        for section, content in document.items()
        for name in (content[0] if isinstance(content, list) else content)
    ]
    del document["watch"][0]["path"]
    defaults = msgspec.convert({"watch": [{"path": "x"}]}, Config, dec_hook=_path)
    document["watch"][0]["path"] = "x"
    assert msgspec.convert(document, Config, dec_hook=_path) == defaults


def _path(kind: type, value: str) -> Path:
    return Path(value)


def test_the_sample_is_readable_in_a_terminal() -> None:
    assert max(map(len, sample().splitlines())) <= 92


def test_the_configuration_is_read_without_heavy_imports(tmp_path: Path, photos: Path) -> None:
    path = write(tmp_path, watch(photos))
    code = (
        "import sys; from pathlib import Path; from photoramd.config.loader import load;"
        "load(Path(sys.argv[1]));"
        "print({'torch', 'numpy', 'PIL', 'sqlite_utils', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, check=True, text=True
    )
    assert done.stdout == "set()\n"
