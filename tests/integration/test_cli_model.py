"""The command `photoramd model`, in a process of its own, against a local server."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from photoramd.cli.model import command
from photoramd.models.weights.catalog import EMBEDDED, MODELS
from photoramd.models.weights.converted import CopyName
from photoramd.models.weights.download import MIRROR_VARIABLE
from tests.support.clock import bound
from tests.support.fake_models import HOST, MODEL, TAGS, WEIGHTS, ZOO, content, served
from tests.support.hub_server import REPOSITORY, REVISION, Fault, HubServer

# The command with other models and another place for the store.
PROGRAM = """
import sys
from pathlib import Path
from photoramd import cli
from photoramd.models.weights import catalog, store
from tests.support import fake_models as fakes
store.SYSTEM_STORE = Path(sys.argv.pop(1))
catalog.MODELS = {model.name: model for model in fakes.MODELS}
sys.argv[0] = "photoramd"
cli.main()
"""

BIG = content(5, 3_000_000)

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def server() -> Iterator[HubServer]:
    with served() as running:
        yield running


@pytest.fixture
def environment(server: HubServer, tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "HOME"}}
    return kept | {
        "HF_ENDPOINT": server.endpoint,
        "HF_HOME": str(tmp_path / "hf"),
        "PHOTORAMD_MIRROR": server.mirror,
        "XDG_DATA_HOME": str(tmp_path / "xdg"),
        "PYTHONPATH": os.getcwd(),
    }


def command_line(tmp_path: Path, *arguments: object) -> list[str]:
    return [sys.executable, "-c", PROGRAM, str(tmp_path / "models"), "model", *map(str, arguments)]


@pytest.fixture
def model(tmp_path: Path, environment: dict[str, str]) -> Command:
    """Run the command: model("list", "--json")."""

    def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = command_line(tmp_path, *arguments)
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=bound(60)
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


def test_a_model_is_fetched_through_the_clients_own_settings(
    model: Command, server: HubServer, tmp_path: Path, environment: dict[str, str]
) -> None:
    environment["HF_TOKEN"] = "hf_secret"  # noqa: S105
    done = model("fetch", "fake++")
    weights = tmp_path / "models" / "fake++" / "weights.pth"
    assert done.stdout.splitlines() == [
        f"weights.pth: installed, verified ({weights})",
        f"tags.txt: installed, verified ({weights.with_name('tags.txt')})",
        'fake++ is complete; the configuration chooses it: name = "fake++" under [model]',
    ]
    assert weights.read_bytes() == WEIGHTS
    assert server.requests[0].path == f"/{REPOSITORY}/resolve/{REVISION}/weights.pth"
    assert server.requests[0].headers["authorization"] == "Bearer hf_secret"
    assert server.requests[0].headers["user-agent"].startswith("photoramd/")
    assert not any("torch" in seen.headers["user-agent"] for seen in server.requests)
    assert len(server.requests) == 4  # and nothing else is asked
    again = model("fetch", "fake++")
    assert again.stdout.startswith(f"weights.pth: already installed, verified ({weights})\n")


def test_a_daemon_whose_model_runs_elsewhere_needs_no_weights(
    model: Command, tmp_path: Path
) -> None:
    done = json.loads(model("fetch", "fake++", "--without-weights", "--json").stdout)
    assert [(each["file"], each["how"]) for each in done] == [("tags.txt", "fetched")]
    assert not list((tmp_path / "models").rglob("weights.pth"))
    again = model("fetch", "fake++", "--without-weights").stdout.splitlines()
    assert "tags.txt: already installed" in again[0]
    assert again[1] == "fake++: what is needed here is there; its weights are the workers' affair"


def test_fetching_tells_programs_what_it_did(model: Command, tmp_path: Path) -> None:
    first = json.loads(model("fetch", "torchvision:fake", "--json").stdout)
    path = str(tmp_path / "models" / "zoo" / "zoo.pth")
    told = {"name": "torchvision:fake", "file": "zoo.pth", "path": path}
    assert first == [told | {"how": "fetched"}]
    assert json.loads(model("fetch", "torchvision:fake", "--json").stdout) == [
        told | {"how": "kept"}
    ]


def test_wrong_bytes_end_with_code_3_and_both_digests(model: Command, server: HubServer) -> None:
    wrong = bytes(len(WEIGHTS))
    server.faults["cdn"].append(Fault(body=wrong))
    done = model("fetch", "fake++", code=3)
    assert hashlib.sha256(wrong).hexdigest() in done.stderr
    assert hashlib.sha256(WEIGHTS).hexdigest() in done.stderr
    assert done.stdout == ""


def test_an_expired_token_ends_with_code_3_and_the_remedy(
    model: Command, server: HubServer
) -> None:
    server.faults["hub"].append(Fault(status=401))
    done = model("fetch", "fake++", code=3)
    assert "401" in done.stderr
    assert "HF_TOKEN" in done.stderr


def test_interrupting_keeps_what_was_received(
    model: Command, server: HubServer, tmp_path: Path, environment: dict[str, str]
) -> None:
    release = threading.Event()
    server.faults["cdn"].append(Fault(hold=release))
    # A test run in the background of a shell has the signal ignored, and so its children.
    command = ["env", "--default-signal=INT", *command_line(tmp_path, "fetch", "fake++")]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert server.held.wait(60)
    partial = tmp_path / "models" / ".partial"
    while not any(path.stat().st_size == 150_000 for path in partial.iterdir()):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=bound(60))
    release.set()
    assert process.returncode == 130
    assert "Interrupted; run the command again to go on.\n" in said
    server.requests.clear()
    model("fetch", "fake++")
    assert [get.headers["range"] for get in server.gets("cdn")] == ["bytes=150000-"]


def test_a_full_disk_is_said_and_what_was_received_is_kept(
    server: HubServer, tmp_path: Path, environment: dict[str, str]
) -> None:
    """A tiny file system; the check beforehand is told that there is room."""
    assert os.geteuid() == 0, "this test needs root"
    program = PROGRAM.replace(
        'sys.argv[0] = "photoramd"', "store.ModelStore.free_bytes = lambda self: 10**12"
    )
    script = 'mount -t tmpfs -o size=200k tmpfs "$1" && "$2" -c "$3" "$1" model fetch fake++'
    script += '; echo "$?" $(ls -s --block-size=1k "$1/.partial")'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", tmp_path, sys.executable, program],
        env=environment, capture_output=True, text=True, check=True, timeout=bound(60),
    )  # fmt: skip
    assert "the disk became full while weights.pth was fetched" in done.stderr
    assert "it goes on where it stopped" in done.stderr
    code, _, _, kilobytes, name = done.stdout.split()
    assert code == "3"
    assert name.startswith("weights.pth-")
    assert 0 < int(kilobytes) <= 200


def test_a_disk_that_is_too_small_is_said_beforehand(
    server: HubServer, tmp_path: Path, environment: dict[str, str]
) -> None:
    assert os.geteuid() == 0, "this test needs root"
    script = 'mount -t tmpfs -o size=200k tmpfs "$1" && exec "$2" -c "$3" "$1" model fetch fake++'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", tmp_path, sys.executable, PROGRAM],
        env=environment, capture_output=True, text=True, check=False, timeout=bound(60),
    )  # fmt: skip
    assert done.returncode == 3
    assert "not enough room: 0.3 MB and 67.1 MB in reserve are needed, 0.2 MB are free" in (
        done.stderr
    )
    assert server.requests == []


def test_progress_is_shown_on_a_terminal(
    server: HubServer, tmp_path: Path, environment: dict[str, str]
) -> None:
    """Large enough to be worth a bar."""
    server.files["weights.pth"] = BIG
    program = PROGRAM.replace(
        "catalog.MODELS =",
        "from dataclasses import replace\n"
        "import hashlib\n"
        "from tests.integration.test_cli_model import BIG\n"
        "pin = replace(fakes.MODEL.weights, size_bytes=len(BIG),"
        " sha256=hashlib.sha256(BIG).hexdigest())\n"
        "fakes.MODELS = (replace(fakes.MODEL, weights=pin),)\n"
        "catalog.MODELS =",
    )
    master, slave = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "models", "model", "fetch", "fake++"],
        env=environment | {"TERM": "xterm", "COLUMNS": "120"},
        stdout=subprocess.PIPE, stderr=slave, check=True, timeout=bound(60),
    )  # fmt: skip
    os.close(slave)
    shown = os.read(master, 1 << 20).decode()
    os.close(master)
    assert "fetch weights.pth" in shown
    assert "3.0" in shown
    assert b"weights.pth: installed" in done.stdout


def test_files_are_imported_whatever_their_names_and_what_is_missing_is_said(
    model: Command, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(WEIGHTS)
    (tmp_path / "b").write_bytes(TAGS)
    store = tmp_path / "models" / "fake++"
    done = model("import", tmp_path / "a")
    assert done.stdout.splitlines() == [
        f"{tmp_path}/a: weights.pth of fake++, installed ({store}/weights.pth)",
        "fake++: still missing: tags.txt",
    ]
    done = model("import", "--json", tmp_path / "b")
    assert json.loads(done.stdout) == [
        {"name": "fake++", "file": "tags.txt", "path": f"{store}/tags.txt"}
    ]
    assert json.loads(model("verify", "fake++", "--json").stdout)[0]["good"] is True


def test_an_unknown_file_ends_with_code_3_and_the_others_are_imported(
    model: Command, tmp_path: Path
) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"photo")
    (tmp_path / "tags").write_bytes(TAGS)
    done = model("import", tmp_path / "photo.jpg", tmp_path / "tags", code=3)
    assert "tags.txt of fake++, installed" in done.stdout
    assert "photo.jpg: not a file of any model" in done.stderr
    assert hashlib.sha256(WEIGHTS).hexdigest() in done.stderr


def test_the_list_shows_what_is_there(model: Command, tmp_path: Path) -> None:
    (tmp_path / "tags").write_bytes(TAGS)
    model("import", tmp_path / "tags")
    lines = model("list").stdout.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["embedded", "fake++", "torchvision:fake"]
    states = {each["name"]: each["state"] for each in json.loads(model("list", "--json").stdout)}
    assert states == {
        "embedded": "installed",
        "fake++": "incomplete",
        "torchvision:fake": "not installed",
    }


def test_the_description_says_where_files_can_be_had_and_what_they_must_be(
    model: Command, tmp_path: Path
) -> None:
    text = model("info", "fake++").stdout
    assert hashlib.sha256(WEIGHTS).hexdigest() in text
    assert f"https://huggingface.co/{REPOSITORY}/resolve/{REVISION}/weights.pth" in text
    assert f"https://{HOST}/tags.txt" in text
    assert "300,000 bytes" in text
    zoo = json.loads(model("info", "torchvision:fake", "--json").stdout)
    assert zoo["files"] == [
        {
            "file": "zoo.pth",
            "size_bytes": 100_000,
            "size_is_exact": False,
            "sha256": hashlib.sha256(ZOO).hexdigest()[:8],
            "sha256_is_whole": False,
            "source": "the tests",
            "url": f"https://{HOST}/zoo.pth",
            "path": None,
        }
    ]


def test_verify_checks_every_file_of_every_installed_model(model: Command, tmp_path: Path) -> None:
    model("fetch", "fake++")
    assert model("verify").stdout.count("good") == 3
    (tmp_path / "models" / "fake++" / "tags.txt").write_bytes(TAGS[::-1])
    done = model("verify", code=3)
    assert done.stdout.count("good") == 2
    assert "fake++: BAD" in done.stdout
    assert hashlib.sha256(TAGS[::-1]).hexdigest() in done.stderr
    reports = json.loads(model("verify", "--json", code=3).stdout)
    assert [report["good"] for report in reports] == [True, False]
    assert [file["good"] for file in reports[1]["files"]] == [True, False]


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A converted copy of the weights, without them."""
    import torch

    from photoramd.models.weights.convert import write_copy
    from photoramd.models.weights.safetensors import TensorEntry

    monkeypatch.setattr("photoramd.models.weights.store.SYSTEM_STORE", tmp_path / "models")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    name = CopyName(MODEL.weights, "bfloat16-1")
    entries = {"a": TensorEntry(torch.bfloat16, (100_000,))}
    return write_copy(name, entries, lambda _: torch.zeros(100_000, dtype=torch.bfloat16))


def test_a_converted_copy_stands_for_weights_that_were_dropped(
    model: Command, tmp_path: Path, copy: Path
) -> None:
    (tmp_path / "tags").write_bytes(TAGS)
    assert "fake++ is complete" in model("import", tmp_path / "tags").stdout
    states = {each["name"]: each["state"] for each in json.loads(model("list", "--json").stdout)}
    assert states["fake++"] == "installed"
    described = json.loads(model("info", "fake++", "--json").stdout)
    assert described["files"][0]["path"] is None
    assert described["copies"] == [
        {
            "file": "weights.bfloat16-1.safetensors",
            "precision": "bfloat16",
            "size_bytes": copy.stat().st_size,
            "path": str(copy),
        }
    ]
    text = model("info", "fake++").stdout
    assert "not installed; a converted copy serves" in text
    assert f"path:           {copy}" in text
    assert model("verify", "fake++").stdout.splitlines() == [
        f"fake++: good ({tmp_path}/models/fake++/tags.txt, "
        f"SHA-256 {hashlib.sha256(TAGS).hexdigest()})",
        f"fake++: good ({copy}, SHA-256 {hashlib.sha256(copy.read_bytes()).hexdigest()})",
    ]


def test_a_bad_converted_copy_is_told_with_the_remedy(model: Command, copy: Path) -> None:
    data = bytearray(copy.read_bytes())
    data[-1] ^= 1
    copy.write_bytes(data)
    done = model("verify", "fake++", code=3)
    assert f"fake++: BAD ({copy}: SHA-256 is" in done.stdout
    model("fetch", "fake++")
    assert f"rm {copy}" in model("verify", code=3).stderr


def test_a_file_that_is_no_copy_is_not_taken_for_one(model: Command, copy: Path) -> None:
    copy.rename(copy.with_name("weights.backup.safetensors"))
    assert json.loads(model("info", "fake++", "--json").stdout)["copies"] == []
    assert "not installed" in model("verify", "fake++", code=3).stderr


def test_verifying_what_is_not_there_ends_with_code_3_and_the_command(model: Command) -> None:
    done = model("verify", "fake++", code=3)
    assert "not installed" in done.stderr
    assert "photoramd model fetch fake++" in done.stderr


def test_verifying_a_link_that_leads_nowhere_ends_with_code_3(
    model: Command, tmp_path: Path
) -> None:
    model("fetch", "fake++")
    tags = tmp_path / "models" / "fake++" / "tags.txt"
    tags.unlink()
    tags.symlink_to("nowhere")
    done = model("verify", "fake++", code=3)
    assert "fake++: BAD" in done.stdout
    assert "a symbolic link" in done.stderr


@pytest.mark.parametrize("name", ["info", "verify", "fetch"])
def test_an_unknown_model_is_named_with_the_known_ones(model: Command, name: str) -> None:
    done = model(name, "ram", code=3)
    assert "unknown model 'ram'" in done.stderr
    assert "known models: embedded, fake++, torchvision:fake" in done.stderr


def test_the_documentation_names_every_model_command_and_variable() -> None:
    text = Path("docs/models.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip(" `"): line for line in text.splitlines() if "|" in line}
    for model in MODELS.values():
        size_bytes = sum(pin.needed_bytes for pin in model.files)
        size = "none" if model is EMBEDDED else f"{size_bytes / 1e6:.0f} MB"
        assert (f"{size_bytes / 1e9:.1f} GB" if size_bytes > 1e9 else size) in rows[model.name]
    for name in command.commands:
        assert f"- `photoramd model {name}" in text
    assert MIRROR_VARIABLE in rows
    assert "HF_HUB_DISABLE_TELEMETRY" in rows


@pytest.mark.parametrize(
    "name", ["list", "info", "verify", "fetch", "import", "compare", "calibrate", "eval"]
)
def test_every_command_has_help(model: Command, name: str) -> None:
    done = model(name, "--help")
    assert "Usage: photoramd model" in done.stdout
    assert "--json" in done.stdout


def test_the_demo_says_how_to_bring_a_model_that_is_not_there(tmp_path: Path) -> None:
    """With nothing in the system's place for models."""
    assert os.geteuid() == 0, "this test needs root"
    script = 'mount -t tmpfs tmpfs /var/lib && exec "$1" contrib/demo.py --model ram++'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", sys.executable],
        env=os.environ | {"XDG_DATA_HOME": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=bound(60),
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert done.stderr == ""
    for expected in (
        "ram_plus_swin_large_14m.pth, 3,010,210,801 bytes",
        "photoramd model fetch ram++",
        "photoramd model import FILE...",
    ):
        assert expected in done.stdout
