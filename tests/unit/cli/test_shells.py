from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photoramd.cli.shells import split


@pytest.mark.parametrize(
    ("text", "words", "typed", "kept", "is_quoted"),
    [
        ("", [], "", 0, False),
        ("photoramd", [], "photoramd", 0, False),
        ("photoramd ", ["photoramd"], "", 0, False),
        ("p query ca", ["p", "query"], "ca", 0, False),
        ("p taken:20", ["p"], "taken:20", 6, False),
        ("p @be", ["p"], "@be", 0, False),
        ("p a:@be", ["p"], "a:@be", 2, False),
        ("p 'cat and d", ["p"], "cat and d", 0, True),
        ("p 'taken:20", ["p"], "taken:20", 0, True),
        ('p tag:"bald e', ["p"], "tag:bald e", 4, True),
        ('p "a\\"b\\c', ["p"], 'a"b\\c', 0, True),
        ("p bald\\ ea", ["p"], "bald ea", 0, False),
        ("p ''", ["p"], "", 0, False),
        ("p '' x", ["p", ""], "x", 0, False),
    ],
)
def test_a_line_is_split_as_bash_splits_it(
    text: str, words: list[str], typed: str, kept: int, is_quoted: bool
) -> None:
    line = split(text, "\"'@><=;|&(:")
    assert (line.words, line.typed) == (words, typed)
    assert (line.kept, line.is_quoted) == (kept, is_quoted)


@given(st.lists(st.text(), min_size=1))
def test_quoted_words_are_found_again(words: list[str]) -> None:
    line = split(shlex.join(words))
    assert [*line.words, line.typed] == words


@given(st.text())
def test_any_line_can_be_split(text: str) -> None:
    assert split(text, ":").kept <= len(split(text).typed)
