from __future__ import annotations

import os
from pathlib import Path

import pytest

from photoramd.system.cpu import available_cores, has_bfloat16


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("flags\t\t: fpu sse2 avx2 avx512f avx512_bf16 amx_tile", True),
        ("flags\t\t: fpu sse2 avx2 avx512f avx512_vnni", False),
        ("Features\t: fp asimd sve bf16 i8mm", True),
        ("Features\t: fp asimd crc32", False),
        ("model name\t: avx512_bf16 in name only", False),
        ("", False),
    ],
)
def test_bfloat16_is_told_from_the_processors_flags(
    line: str, expected: bool, tmp_path: Path
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nmodel name\t: a processor\n{line}\n")
    assert has_bfloat16(cpuinfo, {}) is expected


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_VNNI", False),
        ("ONEDNN_MAX_CPU_ISA", "avx2", False),
        ("DNNL_MAX_CPU_ISA", "AVX2_VNNI_2", False),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16", True),
        ("ONEDNN_MAX_CPU_ISA", "avx512_core_amx", True),
        ("ONEDNN_MAX_CPU_ISA", "AVX10_1_512", True),
        ("ONEDNN_MAX_CPU_ISA", "ALL", True),
        ("ONEDNN_MAX_CPU_ISA", "", True),
        ("OTHER", "AVX2", True),
    ],
)
def test_what_onednn_must_not_use_does_not_count(
    variable: str, value: str, expected: bool, tmp_path: Path
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("flags\t\t: fpu avx512f avx512_bf16\n")
    assert has_bfloat16(cpuinfo, {variable: value}) is expected


def test_an_unknown_processor_has_none(tmp_path: Path) -> None:
    assert has_bfloat16(tmp_path / "nothing") is False


def test_the_cores_of_this_process_are_counted_not_those_of_the_machine() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def cgroup(tmp_path: Path, limits: dict[str, str]) -> tuple[Path, Path]:
    """A control group /system.slice/photoramd.service with these limits."""
    root = tmp_path / "cgroup"
    for group, limit in limits.items():
        (root / group).mkdir(parents=True, exist_ok=True)
        (root / group / "cpu.max").write_text(limit)
    own = tmp_path / "own"
    own.write_text("1:name=systemd:/\n0::/system.slice/photoramd.service\n")
    return own, root


@pytest.mark.parametrize(
    ("limits", "cores"),
    [
        ({}, None),
        ({"system.slice/photoramd.service": "max 100000\n"}, None),
        ({"system.slice/photoramd.service": "100000 100000\n"}, 1),
        ({"system.slice/photoramd.service": "20000 100000\n"}, 1),
        ({"system.slice": "100000 100000\n", "system.slice/photoramd.service": "max 1\n"}, 1),
        ({"system.slice/photoramd.service": "nonsense"}, None),
        ({"system.slice/photoramd.service": "100000000 100000\n"}, None),
    ],
)
def test_a_quota_of_a_control_group_limits_the_cores(
    tmp_path: Path, limits: dict[str, str], cores: int | None
) -> None:
    expected = len(os.sched_getaffinity(0)) if cores is None else cores
    assert available_cores(*cgroup(tmp_path, limits)) == expected


@pytest.mark.parametrize(
    ("group", "quota", "cores"),
    [
        ("cpu,cpuacct/docker/abc", "100000", 1),
        ("cpu,cpuacct", "100000", 1),  # as it looks from within a container
        ("cpu,cpuacct/docker/abc", "-1", None),
        ("cpu,cpuacct/docker/abc", "100000000", None),
        ("cpuset/docker/abc", "100000", None),
        ("cpu,cpuacct/other", "100000", None),
    ],
)
def test_so_does_a_quota_of_the_first_version(
    tmp_path: Path, group: str, quota: str, cores: int | None
) -> None:
    own = tmp_path / "own"
    # The order of the kernel, which may be another one than that in the name of the directory.
    own.write_text("3:cpuset:/docker/abc\n2:cpuacct,cpu:/docker/abc\n0::/\n")
    (tmp_path / "cpu").symlink_to("cpu,cpuacct")
    (tmp_path / group).mkdir(parents=True)
    (tmp_path / group / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / group / "cpu.cfs_period_us").write_text("100000\n")
    expected = len(os.sched_getaffinity(0)) if cores is None else cores
    assert available_cores(own, tmp_path) == expected


def test_without_control_groups_all_allowed_cores_count(tmp_path: Path) -> None:
    assert available_cores(tmp_path / "none", tmp_path) == len(os.sched_getaffinity(0))
