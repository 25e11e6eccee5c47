"""contrib/sbom.sh with stubs in place of Python and of the program that lists what is installed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "contrib/sbom.sh"

# It makes an environment that has nothing but itself, and does nothing else.
_PYTHON = """\
#!/bin/sh
set -eu
[ "$1 ${2:-}" = "-m venv" ] || exit 0
mkdir -p "$4/bin"
cp "$0" "$4/bin/python"
cp "$0" "$4/bin/photoramd"
"""
_CYCLONEDX = """\
#!/bin/sh
while [ "$1" != -o ]; do shift; done
date +%N >"$2"
"""


def test_made_again_it_has_one_line_in_the_list_of_digests(tmp_path: Path) -> None:
    (tmp_path / "contrib").mkdir()
    shutil.copy(SCRIPT, tmp_path / "contrib")
    dist = tmp_path / "dist"
    dist.mkdir()
    (dist / "photoramd-1.2.3-py3-none-any.whl").touch()
    (dist / "SHA256SUMS").write_text("0123  photoramd-1.2.3-py3-none-any.whl\n")
    for name, text in (("python", _PYTHON), ("cyclonedx", _CYCLONEDX)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    for _ in range(2):
        subprocess.run(
            [tmp_path / "contrib/sbom.sh", tmp_path / "cyclonedx"],
            env={**os.environ, "PYTHON": os.fspath(tmp_path / "python")},
            check=True,
        )
    made = dist / "photoramd-1.2.3.cdx.json"
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    assert (dist / "SHA256SUMS").read_text().splitlines() == [
        "0123  photoramd-1.2.3-py3-none-any.whl",
        f"{digest}  {made.name}",
    ]
