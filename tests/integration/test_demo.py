"""`make demo`, as somebody sees it who tries photoramd."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
MOST_LINES = 75
"""Two screens or so: what comes first is still to be found at the end."""


def test_the_demo_says_what_it_sees_as_it_goes_and_is_not_long(tmp_path: Path) -> None:
    command = [sys.executable, "contrib/demo.py"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    lines = []
    with subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "The daemon watches" in line:
                assert process.poll() is None, "it has said nothing before its end"
                assert list(tmp_path.iterdir()), "it is still at work"
            lines.append(line)
    assert process.returncode == 0
    text = "".join(lines)
    assert "  cat.png          animal " in text
    assert "<rdf:li>person</rdf:li>" in text, "the shortest sidecar"
    assert "  goose.jpg        animal, bird, waterfowl" in text, "a query"
    assert len(lines) <= MOST_LINES
    assert not list(tmp_path.iterdir()), "nothing is left"
