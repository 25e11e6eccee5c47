"""What is remembered of a file gives it back, and nothing else for it."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photoramd.metadata.delta import remember, restore

PICTURES = [hashlib.shake_128(bytes([seed])).digest(70_000) for seed in range(3)]
PIECES = st.lists(
    st.one_of(st.sampled_from([*PICTURES, bytes(5_000)]), st.binary(max_size=300)), max_size=8
)


@settings(max_examples=100, deadline=None)
@given(PIECES, PIECES)
def test_a_file_comes_back_or_is_refused(old: list[bytes], more: list[bytes]) -> None:
    before, after = b"".join(old), b"".join([*more, *reversed(old)])
    text = remember(before, after)
    assert text is not None
    assert restore(text, after) == before
    assert restore(text, after + b"!") is None


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 5000])
def test_short_files_and_ends_come_back(size: int) -> None:
    before = PICTURES[0][:size]
    for after in (b"", before, before[1:], b"!" + before, before[: size // 2] + b"?" + before):
        text = remember(before, after)
        assert text is not None
        assert restore(text, after) == before


def test_pictures_are_not_remembered_but_found() -> None:
    one, two, three = PICTURES
    text = remember(b"head" + one + b"!" + two + three, three + b"new" + one + b"?" + two)
    assert text is not None
    assert len(text) < 500


def test_what_would_be_too_much_is_refused() -> None:
    assert remember(PICTURES[0], PICTURES[1]) is None


def test_what_an_older_version_remembered_gives_nothing_back() -> None:
    digest = hashlib.blake2b(b"photo", digest_size=16).hexdigest()
    assert restore(json.dumps([digest, digest, 0, 5, ""]), b"photo") is None


def test_a_search_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = b"".join(PICTURES), b"".join(reversed(PICTURES))
    assert remember(before, after) is not None
    monkeypatch.setattr("photoramd.metadata.delta._MAX_SEARCH_BYTES", len(after) // 2)
    assert remember(before, after) is None
