"""Every query from the time before fields keeps its meaning."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from photoramd.errors import UsageError
from photoramd.search.expression import Expression
from photoramd.search.parser import MAX_CHARACTERS, parse
from tests.support import old_expression

SPECIAL = ":@<>="
WORDS = st.sampled_from(
    ["dog", "ca*", "*", "and", "OR", "Not", "t-shirt", "tiger", "\u00c4rger", "tag", "is", "a'b%_"]
)
QUOTED = st.text(alphabet='ab *:@<>=,;()&|!-."\\\n\u00df', max_size=8).map(lambda text: f'"{text}"')
SIGNS = st.sampled_from(["(", ")", "&", "&&", "|", "||", "!", "-", " ", " ", "  ", "\n", ",", ";"])
TEXTS = st.one_of(
    st.lists(st.one_of(WORDS, QUOTED, SIGNS, st.just(" ")), max_size=14).map("".join),
    st.text(max_size=20),
    st.text(alphabet='ab*"()&|!-, ;\\\u0130NOTandr\n\t\u00a0', max_size=30),
)


def has_special_outside_quotes(text: str) -> bool:
    """Whether a sign that means something now stands where it did not."""
    is_inside, place = False, 0
    while place < len(text):
        letter = text[place]
        if is_inside and letter == "\\":
            place += 1
        elif letter == '"':
            is_inside = not is_inside
        elif letter in SPECIAL and not is_inside:
            return True
        place += 1
    return False


def read(parser: object, text: str) -> Expression | tuple[str, str | None]:
    try:
        return parser(text)  # type: ignore[operator,no-any-return]
    except UsageError as error:
        return error.message, error.remedy


@settings(max_examples=800)
@given(TEXTS)
@example('dog "a:b@c<d>e=f" NOT (cat | -x)')
@example("(dog")
@example('dog "cat')
@example("(" * 51 + "dog" + ")" * 51)
@example("dog " * 201)
@example("((dog) OR" * 40)
def test_what_was_read_is_read_alike_and_what_was_refused_is_refused_alike(text: str) -> None:
    assume(not has_special_outside_quotes(text))
    old = read(old_expression.parse, text)
    assert read(parse, text) == old
    if isinstance(old, tuple):
        assert old[1]


@pytest.mark.parametrize("text", ["dog", '"a:b"', "-dog (cat|fish*)", "tag", "is near"])
def test_names_of_fields_alone_are_still_tags(text: str) -> None:
    assert parse(text) == old_expression.parse(text)


def test_only_the_length_is_limited_anew() -> None:
    """No query so long was of use: 200 tags are far shorter."""
    text = "dog" + " " * (MAX_CHARACTERS - 3)
    assert parse(text) == old_expression.parse(text)
    with pytest.raises(UsageError, match="longer than 4096"):
        parse(text + " ")
