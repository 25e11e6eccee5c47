from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photoramd.images.wall_clock import moment, utc_offset


def unix(*numbers: int) -> float:
    return datetime(*numbers, tzinfo=UTC).timestamp()  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2001:02:03 04:05:06", (unix(2001, 2, 3, 4, 5, 6), None)),
        ("2001-02-03T04:05:06", (unix(2001, 2, 3, 4, 5, 6), None)),
        ("2001/02/03 04:05:06\0", (unix(2001, 2, 3, 4, 5, 6), None)),
        ("2001.02.03 04:05:06", (unix(2001, 2, 3, 4, 5, 6), None)),
        ("1997:08:25:13:12:50", (unix(1997, 8, 25, 13, 12, 50), None)),
        ("2003: 5: 8  4: 5: 6", (unix(2003, 5, 8, 4, 5, 6), None)),
        ("2001-02-03T04:05Z", (unix(2001, 2, 3, 4, 5), 0)),
        ("2001-02-03T04:05:06.25+01:00", (unix(2001, 2, 3, 4, 5, 6) + 0.25, 60)),
        ("2001-02-03T04:05:06,5-0930", (unix(2001, 2, 3, 4, 5, 6) + 0.5, -570)),
        ("2001-02-03", (unix(2001, 2, 3), None)),
        ("2001:02:03   :  :  ", (unix(2001, 2, 3), None)),
        ("2000:02:29 00:00:00", (unix(2000, 2, 29), None)),
        ("1800:01:01 00:00:00", (unix(1800, 1, 1), None)),
        ("2200:12:31 23:59:59", (unix(2200, 12, 31, 23, 59, 59), None)),
        ("2001:02:03 04:05:06+99:00", (unix(2001, 2, 3, 4, 5, 6), None)),
    ],
)
def test_moments(text: str, found: tuple[float, int | None]) -> None:
    assert moment(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "", "0000:00:00 00:00:00", "    :  :     :  :  ", "1799:12:31 23:59:59",
        "2201:01:01 00:00:00", "2001:13:01 00:00:00", "2001:02:30 00:00:00", "2001:00:10 00:00:00",
        "1900:02:29 00:00:00", "2001:02:03 24:00:00", "2001:02:03 04:60:06", "2001:02:03 04:05:61",
        "2001:02:03 04:05:06 PM", "2001:02", "2001", "01/02/2003 04:05", "20010203T040506",
        "٢٠٠١:٠٢:٠٣ ٠٤:٠٥:٠٦", "x2001:02:03 04:05:06", "2001:02:03 " + " " * 100 + "04:05:06",
        "-2001:02:03 04:05:06",
    ],
)  # fmt: skip
def test_what_is_no_moment(text: str) -> None:
    assert moment(text) is None


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("+00:00", 0), ("-00:00", 0), ("Z", 0), ("+05:45", 345), ("-03:30", -210), ("+0200", 120),
        ("+14:00", 840), ("-12:00", -720), (" +01:00 \0", 60),
        ("+14:01", None), ("-15:00", None), ("+01:60", None), ("01:00", None), ("+1", None),
        ("", None), ("+99:99", None), ("CET", None), ("+٠١:٠٠", None),
    ],
)  # fmt: skip
def test_offsets(text: str, minutes: int | None) -> None:
    assert utc_offset(text) == minutes


@given(st.datetimes(min_value=datetime(1800, 1, 1), max_value=datetime(2200, 12, 31)))
def test_every_moment_is_read_back(when: datetime) -> None:
    seconds = when.replace(microsecond=0, tzinfo=UTC).timestamp()
    assert moment(f"{when:%Y:%m:%d %H:%M:%S}".rjust(19, "0")) == (seconds, None)
    assert moment(when.isoformat()) == (pytest.approx(seconds + when.microsecond / 1e6), None)


@given(st.text(alphabet="0123456789:-/. TZ+\0x", max_size=40) | st.text())
def test_any_text_is_a_moment_or_none(text: str) -> None:
    found = moment(text)
    assert found is None or unix(1800, 1, 1) <= found[0] < unix(2201, 1, 1)
