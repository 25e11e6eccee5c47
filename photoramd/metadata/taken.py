"""When a photo was taken, by the metadata beside its EXIF; the order is digiKam's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import chain

from photoramd.images.wall_clock import moment
from photoramd.metadata.containers import UnreadableError
from photoramd.metadata.embedded import Embedded, descriptions, texts
from photoramd.metadata.iptc import iptc_text
from photoramd.photo import Look

_EXIF = "{http://ns.adobe.com/exif/1.0/}"
_TIMES = (
    f"{_EXIF}DateTimeOriginal",
    f"{_EXIF}DateTimeDigitized",
    "{http://ns.adobe.com/photoshop/1.0/}DateCreated",
    "{http://ns.adobe.com/xap/1.0/}CreateDate",
)
_DATE_CREATED, _TIME_CREATED = (2, 55), (2, 60)


def with_time(look: Look, embedded: Embedded) -> Look:
    """Return a look with the time that XMP or IPTC says, if EXIF says none."""
    if look.taken is not None:
        return look
    for text in chain(_in_packet(embedded.packet), _in_iptc(embedded)):
        found = moment(text)
        if found is not None:
            return replace(look, taken=found[0], tz=found[1])
    return look


def _in_packet(packet: bytes) -> Iterator[str]:
    with suppress(UnreadableError):  # whoever reads the keywords says so
        for nodes in descriptions(packet):
            for name in _TIMES:
                yield from (text for node in nodes for text in texts(node, name))


def _in_iptc(embedded: Embedded) -> Iterator[str]:
    """Yield the date and time of IPTC, such as ``20010203`` and ``101112+0100``, as one text."""
    dates, times = (embedded.iptc.get(number, ()) for number in (_DATE_CREATED, _TIME_CREATED))
    for date in map(iptc_text, dates):
        day = f"{date[:4]}-{date[4:6]}-{date[6:]}"
        for time in map(iptc_text, times):
            yield f"{day}T{time[:2]}:{time[2:4]}:{time[4:]}"
        yield day
