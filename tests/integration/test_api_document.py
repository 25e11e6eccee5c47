"""The examples of docs/api.md, asked of a real server by a real curl."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from photoramd.database.connection import Database
from photoramd.web import openapi
from tests.support.daemons import wait_for
from tests.support.documents import ROOT
from tests.support.known_photos import fill
from tests.support.programs import free_port

TEXT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ (curl .*)$", TEXT, re.MULTILINE)
ADDRESS = "127.0.0.1:8700"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where a server of photos of all kinds is."""
    path = tmp_path / "photoramd.db"
    with Database(path) as database:
        fill(database)
    config = tmp_path / "config.toml"
    config.write_text(f'[[watch]]\npath = "{tmp_path}"\n[state]\npath = "{path}"\n')
    found = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "photoramd", "--config", str(config), "serve"]
    process = subprocess.Popen([*command, "--listen", found], stdout=subprocess.DEVNULL)
    try:
        host, port = found.split(":")

        def answers() -> bool:
            with closing(socket.socket()) as probe:
                return probe.connect_ex((host, int(port))) == 0

        wait_for(answers, "the server")
        yield found
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_the_examples_do_what_is_said_of_them(address: str) -> None:
    assert shutil.which("curl"), "the tests need curl: apt-get install curl"

    def run(command: str) -> Any:
        assert ADDRESS in command
        done = subprocess.run(
            ["bash", "-c", command.replace(ADDRESS, address)],
            capture_output=True,
            check=True,
            env={"PATH": os.environ["PATH"]},
        )
        return json.loads(done.stdout)

    page, facets, edit, latest, problem = map(run, COMMANDS)
    assert (page["total"], len(page["photos"])) == (2, 2)
    assert facets["total"] == 2
    assert (edit["photos"], latest["id"], latest["pending"]) == (2, edit["id"], 2)
    assert problem["position"] == 0
    assert "folder" in problem["detail"]
    assert run(f"curl -s http://{ADDRESS}/api/v1/openapi.json") == openapi.document()


def test_every_operation_is_named() -> None:
    named = set(re.findall(r"`([^`]*)`", TEXT))
    words = " ".join(named).replace("ID", "{id}")
    for path in openapi.document()["paths"]:
        name = path.removeprefix("/api/v1/").removeprefix("photos/{id}/")
        assert name in words or name == "openapi.json", name
