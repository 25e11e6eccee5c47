from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photoramd.cli.shells import split


@pytest.mark.parametrize(
    ("text", "words", "typed", "kept", "quote"),
    [
        ("", [], "", 0, ""),
        ("photoramd", [], "photoramd", 0, ""),
        ("photoramd ", ["photoramd"], "", 0, ""),
        ("p query ca", ["p", "query"], "ca", 0, ""),
        ("p taken:20", ["p"], "taken:20", 6, ""),
        ("p @be", ["p"], "@be", 0, ""),
        ("p a:@be", ["p"], "a:@be", 2, ""),
        ("p 'cat and d", ["p"], "cat and d", 0, "'"),
        ("p 'taken:20", ["p"], "taken:20", 0, "'"),
        ('p tag:"bald e', ["p"], "tag:bald e", 4, '"'),
        ('p "a\\"b\\c', ["p"], 'a"b\\c', 0, '"'),
        ("p bald\\ ea", ["p"], "bald ea", 0, ""),
        ("p ''", ["p"], "", 0, ""),
        ("p '' x", ["p", ""], "x", 0, ""),
    ],
)
def test_a_line_is_split_as_bash_splits_it(
    text: str, words: list[str], typed: str, kept: int, quote: str
) -> None:
    line = split(text, "\"'@><=;|&(:")
    assert (line.words, line.typed) == (words, typed)
    assert (line.kept, line.quote) == (kept, quote)


@given(st.lists(st.text(), min_size=1))
def test_quoted_words_are_found_again(words: list[str]) -> None:
    line = split(shlex.join(words))
    assert [*line.words, line.typed] == words


@given(st.text())
def test_any_line_can_be_split(text: str) -> None:
    assert split(text, ":").kept <= len(split(text).typed)
