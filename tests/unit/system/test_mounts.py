from __future__ import annotations

import os
from pathlib import Path

from photoramd.system.mounts import Mount, mount_of, read_mounts, silent_parts

TABLE = r"""24 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 24 0:40 / /volume1/My\040Photos rw - nfs4 nas:/photos rw
31 30 8:17 / /volume1/My\040Photos/usb rw - ext4 /dev/sdb1 rw
32 24 0:41 / /volume1/local/phone rw shared:5 master:1 - fuse.sshfs phone: rw
33 24 0:42 / /volume1/local/cache rw - tmpfs tmpfs rw
"""


def test_the_table_is_read_with_its_escapes_and_optional_fields(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(TABLE)
    mounts = read_mounts(table)
    assert mounts[1] == Mount("/volume1/My Photos", "nfs4", os.makedev(0, 40))
    assert mounts[3].kind == "fuse.sshfs"
    assert [mount.is_silent for mount in mounts] == [False, True, False, True, False]
    assert mount_of("/volume1/My Photos/usb/a.jpg", mounts) == mounts[2]
    assert mount_of("/volume1/My Photos2", mounts) == mounts[0]


def test_every_mount_point_is_judged_by_itself(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(TABLE)
    mounts = read_mounts(table)
    assert silent_parts("/volume1/My Photos/2024", mounts) == {"/volume1/My Photos/2024": "nfs4"}
    assert silent_parts("/volume1/My Photos/usb", mounts) == {}
    assert silent_parts("/volume1/local", mounts) == {"/volume1/local/phone": "fuse.sshfs"}


def test_a_mount_on_top_of_another_hides_it() -> None:
    mounts = [Mount("/", "ext4"), Mount("/a/b", "nfs4"), Mount("/a/b", "xfs")]
    assert silent_parts("/a", mounts) == {}
    assert silent_parts("/a/b", mounts) == {}


def test_this_machines_table_is_understood(tmp_path: Path) -> None:
    found = mount_of(os.fspath(tmp_path.resolve()), read_mounts())
    assert found is not None
    assert mount_of("/proc/self", read_mounts()) == Mount("/proc", "proc", os.stat("/proc").st_dev)
    assert read_mounts(tmp_path / "nowhere") == []
