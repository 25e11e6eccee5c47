"""A hundred thousand photos, and a million: all can be reached, and little is in the page."""

from __future__ import annotations

import json
import math
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from photoramd.database.connection import Database
from tests.browser.conftest import MANY, page_errors, until, with_errors
from tests.support import many_photos
from tests.support.daemons import Photoramd, wait_for

MOST_NODES = 2000
MILLION = 1_000_000

# The ranks on the screen are not in the page; a photo's number is in its link.
_SEEN = """() => [...document.querySelectorAll('.tile')].filter((tile) => {
    const box = tile.getBoundingClientRect();
    return box.bottom > 60 && box.top < innerHeight - 1;
  }).map((tile) => tile.rank)"""
_NODES = "document.querySelectorAll('*').length"


def opened(page: Page, address: str) -> None:
    page.goto(address)
    until(page, "document.querySelector('#scrubber .year') !== null")
    until(page, f"({_SEEN})().length > 0")


def test_a_hundred_thousand_scroll(page: Page, many_gallery: str) -> None:
    opened(page, many_gallery)
    expect(page.locator("#total")).to_have_text(f"{MANY:,} photos")
    page.mouse.move(600, 400)
    most = 0
    for _ in range(15):
        page.mouse.wheel(0, 2500)
        page.wait_for_timeout(30)
        most = max(most, page.evaluate(_NODES))
    assert most < MOST_NODES
    assert min(page.evaluate(_SEEN)) > 100
    until(page, "document.querySelectorAll('.tile a[href]').length > 10")


def test_the_scrubber_leads_to_any_year(page: Page, many_gallery: str) -> None:
    opened(page, many_gallery)
    scrubber = page.locator("#scrubber")
    box = scrubber.bounding_box()
    assert box
    page.mouse.move(box["x"] + 30, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 30, box["y"] + box["height"] / 2, steps=12)
    page.mouse.up()
    middle = many_photos.FIRST_YEAR + many_photos.YEARS // 2
    near = re.compile(rf" ({middle - 1}|{middle}|{middle + 1})$")
    expect(scrubber).to_have_attribute("aria-valuetext", near)
    scrubber.focus()
    page.keyboard.press("PageDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("End")
    until(page, f"({_SEEN})().includes({MANY - 1})")
    assert scrubber.get_attribute("aria-valuenow") == "100"
    page.keyboard.press("Home")
    until(page, f"({_SEEN})().includes(0)")
    assert page.evaluate(_NODES) < MOST_NODES


def test_there_is_no_scrubber_before_the_whole_order_is_there(
    page: Page, many_gallery: str
) -> None:
    held: list[Route] = []
    holds = True

    def hold(route: Route) -> None:
        held.append(route) if holds else route.continue_()

    page.route("**/api/v1/layout*", hold)
    page.goto(many_gallery)
    until(page, f"({_SEEN})().length > 0")
    expect(page.locator("#total")).to_contain_text(",")
    assert held
    expect(page.locator("#scrubber")).to_be_hidden()
    holds = False
    for each in held:
        each.continue_()
    expect(page.locator("#scrubber")).to_be_visible()


def with_new_photos(many: Photoramd, count: int, inode: int = 10**9) -> None:
    """Add photos of the latest day."""
    with Database(many.database) as database, database.transaction() as db:
        for number in range(inode, inode + count):
            db.execute(
                """INSERT INTO photos (directory_id, name, size, mtime_ns, device, inode, state,
                       found_at) VALUES (1, ?, 1, 1, 1, ?, 'written', 1.7e9)""",
                (f"new{number}.jpg".encode(), number),
            )
            db.execute(
                "INSERT INTO looks (photo_id, width, height, format_id, taken)"
                " VALUES (last_insert_rowid(), 3000, 4000, 1, 1735689600)"
            )


def test_what_one_looks_at_stays_when_photos_come(
    page: Page, many: Photoramd, many_gallery: str
) -> None:
    opened(page, many_gallery)
    page.keyboard.press("g")
    page.keyboard.type("2015-06-15")
    page.keyboard.press("Enter")
    until(page, "document.querySelectorAll('.tile a[href]').length > 10")
    name = page.evaluate(
        f"() => {{ const rank = Math.min(...({_SEEN})()); return [...document.querySelectorAll("
        "'.tile')].find((tile) => tile.rank === rank).dataset.name; }"
    )
    tile = page.locator(f".tile[data-name='{name}']")
    before = tile.bounding_box()
    with_new_photos(many, 40)
    expect(page.locator("#total")).to_have_text(f"{MANY + 40:,} photos", timeout=30_000)
    after = tile.bounding_box()
    assert before
    assert after
    assert abs(after["y"] - before["y"]) <= 1


def test_who_scrolls_while_the_order_comes_again_stays_there(
    page: Page, many: Photoramd, many_gallery: str
) -> None:
    opened(page, many_gallery)
    total = page.locator("#total").inner_text()
    page.evaluate("scrollTo(0, 30000)")
    until(page, f"({_SEEN})()[0] > 100")
    until(page, "document.querySelectorAll('.tile a[href]').length > 10")
    held: list[Route] = []
    holds = True

    def hold(route: Route) -> None:
        held.append(route) if holds else route.continue_()

    page.route("**/api/v1/layout*", hold)
    with_new_photos(many, 1, inode=2 * 10**9)
    wait_for(lambda: page.evaluate("1") and held, "the order is asked for again")
    page.evaluate("scrollTo(0, 60000)")
    until(page, f"({_SEEN})()[0] > 400")
    before = min(page.evaluate(_SEEN))
    holds = False
    for each in held:
        each.continue_()
    expect(page.locator("#total")).not_to_have_text(total)
    assert min(page.evaluate(_SEEN)) == before + 1


@pytest.fixture(scope="module")
def simulated() -> dict[str, Any]:
    """The layout of a million photos, 300 a day."""
    pattern = "".join(chr(35 + round(91 * math.log(a / 0.25, 16))) for a in (1.5, 0.67, 1.33, 1.5))
    days = [
        [f"{2023 - n // 336}-{12 - n % 336 // 28:02}-{28 - n % 28:02}", 300]
        for n in range(MILLION // 300)
    ]
    days.append([None, MILLION - 300 * len(days)])
    return {
        "version": "million", "total": MILLION, "aspects": pattern * (MILLION // 4), "days": days,
        "anchor": None,
    }  # fmt: skip


@pytest.mark.parametrize("ratio", [1, 2, 3])
def test_the_first_and_the_last_of_a_million_are_reached(
    browser: Browser, many_gallery: str, simulated: dict[str, Any], ratio: int
) -> None:
    context = browser.new_context(
        viewport={"width": 1280, "height": 800}, device_scale_factor=ratio
    )
    page = context.new_page()
    with_errors(page)

    def photos(route: Route) -> None:
        asked = parse_qs(urlsplit(route.request.url).query)
        at, limit = int(asked["at"][0]), int(asked["limit"][0])
        one = {
            "folder": "/", "width": 3, "height": 2, "taken": None, "state": "written",
            "tags": [], "user_tags": [], "pending": 0,
        }  # fmt: skip
        found = [
            {**one, "id": n, "name": f"{n}.jpg", "thumbnail": f"api/v1/photos/{n}/thumbnail?v=1"}
            for n in range(at, min(at + limit, MILLION))
        ]
        answer = {"version": "million", "total": MILLION, "at": at, "photos": found, "next": None}
        route.fulfill(json=answer)

    page.route("**/api/v1/layout*", lambda route: route.fulfill(body=json.dumps(simulated)))
    page.route("**/api/v1/photos?*", photos)
    page.route("**/thumbnail*", lambda route: route.abort())
    page.route("**/api/v1/events", lambda route: route.abort())
    opened(page, many_gallery)
    expect(page.locator("#total")).to_have_text("1,000,000 photos")
    assert page.evaluate("document.querySelector('.spacer').offsetHeight") <= 7_500_000
    # As far as the browser goes.
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    until(page, f"({_SEEN})().includes({MILLION - 1})")
    tile = page.locator(f".tile[data-name='{MILLION - 1}.jpg']")
    expect(tile).to_be_in_viewport()
    # By small steps, up and down again: no photo is left out.
    page.mouse.move(600, 400)
    first = min(page.evaluate(_SEEN))
    page.mouse.wheel(0, -900)
    until(page, f"Math.min(...({_SEEN})()) < {first}")
    seen = page.evaluate(_SEEN)
    assert max(seen) >= first - 1
    page.mouse.wheel(0, 1200)
    until(page, f"({_SEEN})().includes({MILLION - 1})")
    page.evaluate("scrollTo(0, 0)")
    until(page, f"({_SEEN})().includes(0)")
    expect(page.locator(".tile[data-name='0.jpg']")).to_be_in_viewport()
    assert page.evaluate(_NODES) < MOST_NODES
    assert page_errors(page) == []
    context.close()
