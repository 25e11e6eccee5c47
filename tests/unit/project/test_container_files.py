"""What goes into an image, and what compose.yaml leaves in a clone."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
CONTAINER = ROOT / "contrib/container"
CONTAINERFILES = sorted(CONTAINER.glob("*Containerfile"))


def copied(containerfile: Path) -> set[str]:
    """What it copies from the clone."""
    lines = re.findall(r"(?m)^COPY (?!--from)(?:--\S+ )*(.*) \S+$", containerfile.read_text())
    return {name for line in lines for name in line.split()}


def test_the_context_of_a_build_is_only_what_the_containerfiles_copy() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith(("#", "!", "**"))] == ["*"]
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert allowed == set().union(*map(copied, CONTAINERFILES))


@pytest.mark.parametrize(
    "path", [".env", "config/gallery-token", "config/photoramd.db", "worker/secrets/worker-token"]
)
def test_git_leaves_alone_what_compose_yaml_keeps_in_a_clone(path: str, tmp_path: Path) -> None:
    # In an empty repository, as the archive of a release is none.
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / ".gitignore").write_bytes((ROOT / ".gitignore").read_bytes())
    name = f"contrib/container/{path}"
    done = subprocess.run(["git", "-C", tmp_path, "check-ignore", "--quiet", name], check=False)
    assert done.returncode == 0


def test_compose_yaml_mounts_what_the_workers_image_reads() -> None:
    services = yaml.safe_load((CONTAINER / "compose.yaml").read_text())["services"]
    mounted = {
        re.sub(r":ro$", "", each).rpartition(":")[2] for each in services["worker"]["volumes"]
    }
    program = (CONTAINER / "worker.Containerfile").read_text().partition("\nENTRYPOINT")[2]
    read = {Path(name) for name in re.findall(r'"(/[^"]+)"', program)}
    assert len(read) == 4
    assert all(mounted & {str(path), str(path.parent)} for path in read)
    assert "/var/lib/photoramd" in mounted  # the weights
