"""XMP packets as text: understood with lxml, edited by splicing their source.

An edit replaces only the characters it is about. Everything else (develop settings,
history, unknown namespaces, comments, padding, line ends, byte order mark, encoding)
stays byte for byte what it was, and taking out what was put in gives back the same bytes.

Format: XMP Specification Part 1 (ISO 16684-1), RDF/XML as that restricts it.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from lxml import etree

from photoramd.errors import SidecarError

MAX_BYTES = 1 << 20
"""A larger sidecar is left alone; real ones with long edit histories stay below 200 KB."""

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
"""Namespaces are kept in lxml's notation, ready to be put before a local name."""

EMPTY_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="photoramd">\n'
    ' <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
    " </rdf:RDF>\n"
    "</x:xmpmeta>\n"
    '<?xpacket end="w"?>\n'
).encode()
"""A packet that says nothing, to start from."""

Lines = Sequence[tuple[int, str]]
"""Markup to insert: how deep each line is, counted from the first, and its text."""

# The four-byte marks first: UTF-16's is the beginning of one of them.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_ENCODINGS = frozenset(
    ("utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "iso8859-1")
)
"""What a packet may declare. Python knows more, some of which take minutes for a megabyte."""

# Applied to others' bytes, these must take time in proportion to them: runs are possessive.
_DECLARED = re.compile(rb"""<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z][\w.-]*)["']""")
_PROLOG = re.compile(r"\s*+(?:<\?.*?\?>\s*+|<!--.*?-->\s*+)*+", re.DOTALL)
# Exact for well-formed XML without a DOCTYPE, and only ever used on that.
_MARKUP = re.compile(
    r"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>|</[^>]*+>"
    r"""|<[^\s"'<>/!?](?:[^"'<>]++|"[^"]*+"|'[^']*+')*+>""",
    re.DOTALL,
)
_TAG_NAME = re.compile(r"<([^\s/>]+)")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Edit(NamedTuple):
    """Characters ``start`` to ``end`` of the source become ``text``."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Span:
    """Where an element is in the source; a self-closing one has ``open_end == end``."""

    start: int
    open_end: int
    close_start: int
    end: int

    @property
    def is_self_closing(self) -> bool:
        """Whether the element is one tag, ``<a/>``."""
        return self.open_end == self.end


class Packet:
    """A parsed XMP packet.

    Attributes:
        data: The bytes that it was parsed from.
        path: The file they are from, for messages.
        name: What it is called in messages.
        rdf: The one ``rdf:RDF`` element.

    Args:
        data: See the attributes; zeros at its end, as in some phones' photos, are kept.
        path: See the attributes.
        name: See the attributes.

    Raises:
        SidecarError: Empty, over `MAX_BYTES`, not well-formed, with a DOCTYPE, in an
            unknown encoding, or not XMP.
    """

    def __init__(self, data: bytes, path: Path | None = None, *, name: str = "the sidecar") -> None:
        self.data = data
        self.path = path
        self.name = name
        if not data.strip(b"\0\t\r\n "):
            raise self.error(f"{name} is empty", "delete it, and a new one is written")
        if len(data) > MAX_BYTES:
            raise self.error(
                f"{name} is {len(data):,} bytes, over the limit of {MAX_BYTES:,}",
                "move it aside if it is not needed; it was left as it is",
            )
        self._mark, self._encoding = self._detect_encoding(data)
        self._text = self._decode(data)
        if self._text.startswith("<!DOCTYPE", _end_of_prolog(self._text)):
            raise self.error(*self._about_doctype())
        self._root = self._parse()
        if self._root.getroottree().docinfo.doctype:  # type: ignore[attr-defined]
            raise self.error(*self._about_doctype())
        self.rdf = self._find_rdf()

    @property
    def trimmed(self) -> bytes:
        """The packet's bytes without zeros at their end."""
        zero = "\0".encode(self._encoding)
        data = self.data
        while data.endswith(zero):
            data = data[: -len(zero)]
        return data

    def error(self, message: str, remedy: str) -> SidecarError:
        """Return an error about this packet."""
        return SidecarError(message, path=self.path, remedy=remedy)

    def _about_doctype(self) -> tuple[str, str]:
        return (
            f"{self.name} has a DOCTYPE, which XMP does not need and which can do harm",
            "remove the DOCTYPE, or the file if it is not yours",
        )

    def nodes(self) -> Iterator[etree._Element]:
        """Return the elements that carry properties: ``rdf:Description``, as a rule."""
        return _elements(self.rdf)

    def properties(self, name: str) -> Iterator[etree._Element]:
        """Yield the property elements of that name, in the order of the source."""
        for node in self.nodes():
            yield from node.iterchildren(name)

    def append(self, parent: etree._Element, lines: Lines) -> list[Edit]:
        """Add markup as the last child, indented like the children that are there."""
        span, unit = self._spans[parent], self._unit(parent)
        children = list(_elements(parent))
        if children:
            lead, unit = self._lead(children[-1]), self._unit(children[-1])
            return [_insert(self._spans[children[-1]].end, _render(lead, unit, lines))]
        lead = self._lead(parent)
        markup = _render(lead + unit if lead else "", unit, lines)
        if span.is_self_closing:
            closing = f"{lead}</{self._tag_name(parent)}>"
            return [Edit(span.end - len("/>"), span.end, f">{markup}{closing}")]
        if span.open_end == span.close_start:
            markup += lead
        return [_insert(span.open_end, markup)]

    def replace(self, element: etree._Element, lines: Lines) -> Edit:
        """Put markup in the place of an element."""
        span = self._spans[element]
        markup = _render("", self._unit(element), lines)
        if lead := self._lead(element):
            markup = _render(lead, self._unit(element), lines).removeprefix(lead)
        return Edit(span.start, span.end, markup)

    def remove(self, element: etree._Element) -> Edit:
        """Take an element out, with the line break and the indentation before it."""
        span = self._spans[element]
        return Edit(span.start - len(self._lead(element)), span.end, "")

    def remove_attribute(self, element: etree._Element, name: str) -> Edit:
        """Take an attribute out of the element's tag; ``name`` is in lxml's notation."""
        namespace, local = name[1:].split("}")
        prefixes = [p for p, uri in element.nsmap.items() if p and uri == namespace]
        names = "|".join(re.escape(f"{prefix}:{local}") for prefix in prefixes)
        span = self._spans[element]
        # An attribute's name is looked for between values, never inside of one.
        value = """(?:"[^"]*+"|'[^']*+')"""
        attribute = re.compile(rf"(?<!\s)\s++(?:{names})\s*+=\s*+{value}|{value}")
        for match in attribute.finditer(self._text, span.start, span.open_end):
            if match[0][0].isspace():
                return Edit(match.start(), match.end(), "")
        raise self.error(f"attribute {local} was not found in its tag", "please report this")

    def spliced(self, edits: Iterable[Edit]) -> Packet:
        """Return the packet with edits applied; those at the same place in the order given.

        Raises:
            SidecarError: The result would be over `MAX_BYTES`, or not well-formed.
        """
        pieces: list[str] = []
        position = 0
        for start, end, text in sorted(edits, key=lambda edit: edit.start):
            pieces += (self._text[position:start], text)
            position = end
        pieces.append(self._text[position:])
        data = self._mark + "".join(pieces).encode(self._encoding, "xmlcharrefreplace")
        if len(data) > MAX_BYTES:
            raise self.error(
                f"with the keywords {self.name} would be over {MAX_BYTES:,} bytes",
                "it was left as it is",
            )
        return Packet(data, self.path, name=self.name)

    @cached_property
    def _spans(self) -> dict[etree._Element, Span]:
        """The place of every element: start tags come in the order of the tree's elements."""
        spans: dict[etree._Element, Span] = {}
        opened: list[tuple[etree._Element, int, int]] = []
        elements = self._root.iter(etree.Element)
        for match in _MARKUP.finditer(self._text):
            token, start, end = match[0], match.start(), match.end()
            if token.startswith("</"):
                element, opened_at, open_end = opened.pop()
                spans[element] = Span(opened_at, open_end, start, end)
            elif not token.startswith(("<!", "<?")):
                element = next(elements)
                if token.endswith("/>"):
                    spans[element] = Span(start, end, end, end)
                else:
                    opened.append((element, start, end))
        if opened or next(elements, None) is not None:
            raise self.error(f"the markup of {self.name} was not understood", "please report this")
        return spans

    def _tag_name(self, element: etree._Element) -> str:
        match = _TAG_NAME.match(self._text, self._spans[element].start)
        assert match is not None  # noqa: S101  a span begins at a start tag
        return match[1]

    def _lead(self, element: etree._Element) -> str:
        """Return line break and indentation before an element; empty if it begins no line."""
        end = self._spans[element].start
        start = end
        while start and self._text[start - 1] in " \t":
            start -= 1
        if not start or self._text[start - 1] != "\n":
            return ""
        start -= 2 if self._text[start - 2 : start] == "\r\n" else 1
        return self._text[start:end]

    def _unit(self, element: etree._Element) -> str:
        """Return how much deeper an element is indented than its parent."""
        parent = element.getparent()
        own = self._lead(element).lstrip("\r\n")
        outer = "" if parent is None else self._lead(parent).lstrip("\r\n")
        return own[len(outer) :] if own.startswith(outer) and own != outer else " "

    def _detect_encoding(self, data: bytes) -> tuple[bytes, str]:
        for mark, encoding in _BYTE_ORDER_MARKS:
            if data.startswith(mark):
                return mark, encoding
        if data.startswith((b"<\0", b"\0<")):
            return b"", "utf-16-le" if data[0] else "utf-16-be"
        declared = _DECLARED.match(data)
        name = "utf-8" if declared is None else declared[1].decode("ascii")
        with suppress(LookupError):
            if (known := codecs.lookup(name).name) in _ENCODINGS:
                return b"", known
        raise self.error(f"the encoding {name!r} of {self.name} is unknown", "save it as UTF-8")

    def _decode(self, data: bytes) -> str:
        body = data[len(self._mark) :]
        try:
            text = body.decode(self._encoding)
            is_faithful = text.encode(self._encoding) == body
        except (UnicodeError, LookupError) as error:
            raise self._malformed(error) from error
        if not is_faithful:
            raise self.error(f"{self.name} is not plain {self._encoding}", "save it as UTF-8")
        return text

    def _parse(self) -> etree._Element:
        parser = etree.XMLParser(
            # What was decoded here is what is parsed, whatever the declaration says.
            encoding="utf-8",
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
        )
        try:
            return etree.fromstring(self._text.rstrip("\0").encode(), parser)
        except (etree.XMLSyntaxError, ValueError) as error:
            raise self._malformed(error) from error

    def _malformed(self, error: Exception) -> SidecarError:
        return self.error(
            f"{self.name} is not well-formed XML ({error})",
            "repair it or move it aside; it was left as it is",
        )

    def _find_rdf(self) -> etree._Element:
        found = list(self._root.iter(f"{RDF}RDF"))
        if len(found) != 1:
            raise self.error(
                f"{self.name} is not XMP: {len(found) or 'no'} rdf:RDF element(s) in it",
                "move it aside if it is not needed; it was left as it is",
            )
        return found[0]


@dataclass(frozen=True, slots=True)
class Namespaces:
    """Which prefix stands for which namespace at a place, and what must be declared there.

    Attributes:
        prefixes: Namespace (in lxml's notation) to prefix.
        declarations: Attributes for the outermost element of new markup, or nothing.
    """

    prefixes: Mapping[str, str]
    declarations: str

    @classmethod
    def within(cls, element: etree._Element, wanted: Mapping[str, str]) -> Namespaces:
        """Take the prefixes in scope inside of an element, and the wanted ones for the rest."""
        in_scope = {f"{{{uri}}}": prefix for prefix, uri in element.nsmap.items() if prefix}
        prefixes, declarations = {}, ""
        for name, prefix in wanted.items():
            if name in in_scope:
                prefixes[name] = in_scope[name]
                continue
            while prefix in element.nsmap:
                prefix += "_"  # that one is taken for another namespace here
            prefixes[name] = prefix
            declarations += f' xmlns:{prefix}="{name[1:-1]}"'
        return cls(prefixes, declarations)

    def __getitem__(self, namespace: str) -> str:
        return self.prefixes[namespace]


def escape(text: str) -> str:
    """Return a text as XML content and as the value of an attribute.

    Raises:
        SidecarError: XML 1.0 cannot hold one of its characters.
    """
    if found := _NOT_XML.search(text):
        raise SidecarError(
            f"XML cannot hold the character {found[0]!r} of the text {text!r}",
            remedy="leave that text out",
        )
    for character, replacement in _ESCAPES:
        text = text.replace(character, replacement)
    return text


def without_forbidden(text: str) -> str:
    """Return a text without the characters that XML 1.0 cannot hold."""
    return _NOT_XML.sub("", text)


_ESCAPES = (
    ("&", "&amp;"),
    ("<", "&lt;"),
    (">", "&gt;"),
    ('"', "&quot;"),
    ("\t", "&#9;"),
    ("\n", "&#10;"),
    ("\r", "&#13;"),
)


def _elements(parent: etree._Element) -> Iterator[etree._Element]:
    return parent.iterchildren(etree.Element)


def _end_of_prolog(text: str) -> int:
    match = _PROLOG.match(text)
    return 0 if match is None else match.end()


def _insert(at: int, text: str) -> Edit:
    return Edit(at, at, text)


def _render(lead: str, unit: str, lines: Lines) -> str:
    """Render markup with ``lead`` before each line, or on one line without it."""
    return "".join(f"{lead}{unit * depth if lead else ''}{text}" for depth, text in lines)
