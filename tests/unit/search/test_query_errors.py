"""What is said of queries that cannot be read: where, what is wrong, and what to write."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photoramd.errors import QueryError
from photoramd.search.fields import FIELDS
from photoramd.search.parser import MAX_CHARACTERS, MAX_DEPTH, MAX_TERMS, parse

NOW = 1_720_000_000.0
"""2024-07-03, 09:46:40."""


def refused(text: str, searches: dict[str, str] | None = None) -> QueryError:
    with pytest.raises(QueryError) as caught:
        parse(text, now=NOW, searches=searches)
    assert caught.value.remedy
    assert caught.value.exit_code == 2
    return caught.value


@pytest.mark.parametrize(
    ("text", "position", "message", "remedy"),
    [
        # Fields that do not exist, with the nearest that does.
        ("foldr:italy", 1, "there is no field foldr", "did you mean folder:?"),
        ("dog camra:canon", 5, "there is no field camra", "did you mean camera:?"),
        ("ISOO>100", 1, "there is no field ISOO", "did you mean iso:?"),
        ("qqq:1", 1, "there is no field qqq", "quote it to mean a tag"),
        ("(cat|Takn:2024)", 6, "there is no field Takn", "did you mean taken:?"),
        # Words that do not exist.
        ("is:potrait", 4, "potrait, where is: takes", "write is:portrait"),
        ("is:potrait", 4, "did you mean portrait?", "write is:portrait"),
        ("has:gps,takn", 9, "did you mean taken?", "write has:gps"),
        ("type:jpeg,arw", 11, "arw, where type: takes avif", "write type:raw"),
        ("state:done", 7, "pending, tagged, written, failed or missing", "write state:failed"),
        ("by:me", 4, "takes machine or user", "write by:user"),
        ('is:"portrait "', 4, "did you mean portrait?", "write is:portrait"),
        # Dates.
        ("taken:2023-02-29", 7, "2023-02-29: there is no such date", "write taken:2024"),
        ("taken:2024-13", 7, "there is no such date", "write taken:2024"),
        ("taken:2024-00", 7, "there is no such date", "write taken:2024"),
        ("taken:0000", 7, "there is no such date", "write taken:2024"),
        ("taken:9999", 7, "there is no such date", "write taken:2024"),
        ("taken:*-02-30", 7, "*-02-30: there is no such date", "write taken:2024"),
        ("taken:2023-02-29..2024", 7, "2023-02-29: there is no such date", "write"),
        ("taken:*-13-01", 7, "there is no such date", "write"),
        ("taken:0000-*-01", 7, "there is no such date", "write"),
        ("taken:*", 7, "for photos with any date write has:taken", "write"),
        ("taken:>*-12-25", 7, "where a date such as *-12-25", "write"),
        ("taken:2024-07-01T24:00", 7, "there is no such time", "write"),
        ("taken:2024,tuesday", 12, "tuesday, where a date is expected", "write"),
        ("taken:last", 7, "last, where a date is expected", "write"),
        ("added:<7x", 7, "7x, where a date is expected", "write added:<7d"),
        ("taken:24", 7, "24, where a date is expected", "write"),
        # Ranges.
        ("taken:2024-07..2023", 7, "2024-07 comes after 2023", "write"),
        ("iso:800..100", 5, "800 comes after 100", "write iso:>=1600"),
        ("iso:100,800..100", 9, "800 comes after 100", "write iso:>=1600"),
        ("iso:..", 5, "a range without ends", "write"),
        ("size:10MB..5MB", 6, "10MB comes after 5MB", "write size:>10MB"),
        ("dog@0.5..0.3", 5, "0.5 comes after 0.3", "write dog@0.8 or dog@0.3..0.5"),
        # Numbers.
        ("iso:many", 5, "many, where a number is expected", "write iso:>=1600"),
        ("iso:1e3", 5, "1e3, where a number is expected", "write"),
        ("iso:nan", 5, "nan, where a number is expected", "write"),
        ("iso:" + "9" * 31, 5, "where a number is expected", "write"),
        ("size:10XB", 6, "10XB, where a size such as 10MB is expected", "write"),
        ("exposure:1/0", 10, "1/0, where a time such as 1/250 is expected", "write"),
        ("f:1.2.3", 3, "1.2.3, where a number is expected", "write f:..2.8"),
        ("iso>", 4, "a value is missing", "without a blank"),
        ("iso:>", 5, "a value is missing", "without a blank"),
        # Texts cannot be compared.
        ("name>a", 5, "name cannot be compared", "write name:IMG_12*"),
        ("name:>a", 6, "name cannot be compared", "write name:IMG_12*"),
        ('user:<="a"', 6, "user cannot be compared", "write user:"),
        ("is<portrait", 3, "is cannot be compared", "write is:portrait"),
        ("near<5km", 5, "near cannot be compared", "write near:48.85,2.35~5km"),
        # Blanks and quotes.
        ("name: a", 6, "a value is missing", "without a blank"),
        ("name:", 6, "a value is missing", "without a blank"),
        ("name:a,", 8, "a value is missing", "without a blank"),
        ("name:a, b", 8, "a value is missing", "without a blank"),
        ("name:=", 7, "a value is missing", "without a blank"),
        ('name:"a"b', 9, "a value that is quoted in part", "put all of it in quotes"),
        ('name:a"b"', 7, "a value that is quoted in part", "put all of it in quotes"),
        ('name:a"b', 7, "a value that is quoted in part", "put all of it in quotes"),
        ('name:"a b', 6, "quotes that do not end", 'add a "'),
        ('name:"  "', 6, "empty quotes", "write name:"),
        ("name:a;b", 7, "unexpected ;", "in quotes"),
        # Confidences.
        ("dog@", 4, "no confidence behind @", "write dog@0.8"),
        ("dog@ 0.8", 4, "no confidence behind @", "write dog@0.8"),
        ("dog@high", 4, "no confidence behind @", "write dog@0.8"),
        ("dog@80", 5, "80, where a confidence from 0 to 1 is expected", "write dog@0.8"),
        ("tag:dog@2", 9, "2, where a confidence from 0 to 1", "write tag:=dog"),
        ("tag:a,dog@x", 11, "x, where a number is expected", "write tag:=dog"),
        ("tag:@0.8", 5, "a value is missing before @", "write tag:=dog"),
        ("tag:dog@0.8,cat", 5, "behind the last value", "write tag:=dog"),
        # Places.
        ("near:95,10", 6, "there is no such place; latitude comes first", "write near:"),
        ("near:10,190~1km", 6, "there is no such place", "write near:"),
        ("near:1,2~5", 6, "5, where a distance such as 5km is expected", "write near:"),
        ("near:1,2~", 6, "nothing, where a distance such as 5km is expected", "write near:"),
        ("near:~5km", 6, "no place", "write near:"),
        ("near:1,2~1.2.3km", 6, "1.2.3, where a number is expected", "write near:"),
        # Signs.
        ("=dog", 1, "unexpected =", "in quotes"),
        ("dog :cat", 5, "unexpected :", "in quotes"),
        ("dog=cat", 4, "unexpected =", "in quotes"),
    ],
)  # fmt: skip
def test_errors_name_the_place_and_what_to_write(
    text: str, position: int, message: str, remedy: str
) -> None:
    error = refused(text)
    assert error.message.startswith(f"in the query at position {position}: "), error.message
    assert error.position == position
    assert message in error.message
    assert remedy in (error.remedy or "")


def test_each_field_names_its_own_example_which_can_be_read() -> None:
    for field in FIELDS.values():
        assert field.example in (refused(f"{field.name}: x").remedy or "")
        parse(field.example, now=NOW)
        parse(field.example.upper() if field.words else field.example, now=NOW)


def test_the_limits_are_kept_to_the_unit() -> None:
    text = "dog" + " " * (MAX_CHARACTERS - 3)
    parse(text)
    assert "longer than 4096 characters" in refused(text + " ").message
    parse("dog " * MAX_TERMS)
    assert refused("dog " * (MAX_TERMS + 1)).message == (
        f"in the query at position {4 * MAX_TERMS + 1}: more than 200 tags"
    )
    parse("name:a" + ",a" * (MAX_TERMS - 1))
    assert "more than 200 tags" in refused("name:a" + ",a" * MAX_TERMS).message
    parse("(" * MAX_DEPTH + "dog" + ")" * MAX_DEPTH)
    found = refused("(" * (MAX_DEPTH + 1) + "dog" + ")" * (MAX_DEPTH + 1))
    assert found.message == (
        f"in the query at position {MAX_DEPTH + 1}: more than 50 parentheses within each other"
    )


# Saved searches


def test_unknown_saved_searches_name_those_there_are() -> None:
    error = refused("dog @beech", {"beach": "sea", "alps": "mountain"})
    assert error.message == "in the query at position 5: there is no saved search @beech"
    assert (error.remedy or "").endswith("those there are: alps, beach")
    assert (refused("@beech").remedy or "").endswith("there is none yet")
    assert refused("dog AND @").message == "in the query at position 9: unexpected @"


def test_wrong_saved_searches_are_named_with_the_place_in_them() -> None:
    error = refused("dog @a", {"a": "cat @b", "b": "dog OR"})
    assert error.message == (
        "in the saved search @a: in the saved search @b: "
        "in the query at position 7: a tag is missing before the end"
    )
    assert error.position == 5, "where the search is named"
    assert "empty" in refused("@a", {"a": " "}).message
    assert "longer than" in refused("@a", {"a": "x" * (MAX_CHARACTERS + 1)}).message
    assert "in the saved search @a: " in refused("@a", {"a": "is:potrait"}).message


@pytest.mark.parametrize(
    "searches", [{"a": "@a"}, {"a": "dog (@b)", "b": "@c", "c": "NOT @a"}, {"a": "x @b", "b": "@b"}]
)
def test_saved_searches_that_contain_themselves_are_told_so(searches: dict[str, str]) -> None:
    error = refused("cat @a", searches)
    assert "contains itself" in error.message
    assert "[searches]" in (error.remedy or "")


def test_saved_searches_may_be_used_twice_and_within_each_other() -> None:
    searches = {"a": "dog OR @b", "b": "cat", "x.y-z_1": "fish"}
    assert parse("@a @b @a", searches=searches) == parse("(dog OR cat) cat (dog OR cat)")
    assert parse("NOT @a", searches=searches) == parse("NOT (dog OR cat)")
    assert parse("-@x.y-z_1", searches=searches) == parse("-fish")


def test_saved_searches_count_with_what_they_stand_for() -> None:
    chain = {str(number): f"@{number + 1}" for number in range(500)}
    assert "more than 50 saved searches within each other" in refused("@0", chain).message
    nested = {str(number): f"(@{number + 1})" for number in range(40)}
    assert "within each other" in refused("@0", nested).message
    wide = {"a": "dog " * 150}
    parse("@a", searches=wide)
    assert "more than 200 tags" in refused("@a @a", wide).message
    doubling = {str(number): f"@{number + 1} @{number + 1}" for number in range(49)} | {"49": "x"}
    assert "more than 200 tags" in refused("@0", doubling).message


FRAGMENTS = st.sampled_from(
    [*(f"{name}:" for name in FIELDS), "taken>", "iso<=", "=", "2024", "2024-07-31", "*-12-25",
     "..", "<7d", "today", "5km", "~", "1,2", "1/250", "10MB", "@", "0.5", '"', "a", "*", ",", " ",
     "(", ")", "-", "\udce9", "\0", "\ud7ff", "\ud800", "\u0130", "@a", "99999999999999", "T", "\n"]
)  # fmt: skip


@settings(max_examples=600)
@given(st.lists(FRAGMENTS, max_size=8).map("".join))
def test_anything_is_read_or_refused(text: str) -> None:
    try:
        parse(text, now=NOW, searches={"a": "dog @a"})
    except QueryError as error:
        assert error.remedy  # noqa: PT017
