"""One photo: looked at, edited by keys, and what becomes of edits in the files."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.support.daemons import Photoramd

Shown = Callable[..., Page]

SECONDS_30 = 30_000


def open_first(page: Page) -> str:
    """Open the first photo; returns its name."""
    page.locator(".tile .picture").first.click()
    title = page.locator("#view .panel h1")
    expect(title).to_be_visible()
    expect(page.locator(".stage.ready")).to_be_visible()
    return title.inner_text()


def test_photos_are_leafed_through_and_left(shown: Shown) -> None:
    page = shown("?q=animal")
    address = page.url
    first = open_first(page)
    expect(page).to_have_url(re.compile(r"/p/\d+\?q=animal$"))
    expect(page.locator(".stage .place")).to_contain_text("1 of")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".stage .place")).to_contain_text("2 of")
    expect(page.locator("#view .panel h1")).not_to_have_text(first)
    page.keyboard.press("h")
    expect(page.locator("#view .panel h1")).to_have_text(first)
    page.keyboard.press("i")
    expect(page.locator("#view .panel")).to_be_hidden()
    page.keyboard.press("i")
    page.reload()
    expect(page.locator("#view .panel h1")).to_have_text(first)
    page.keyboard.press("Escape")
    expect(page).to_have_url(address)


def test_a_tag_is_rejected_and_taken_back(shown: Shown, home: Photoramd) -> None:
    page = shown("?q=animal")
    name = open_first(page)
    tag = page.locator(".tags li a").first.inner_text()
    page.keyboard.press("r")
    expect(page.locator(".view.choosing")).to_be_visible()
    page.keyboard.press("1")
    expect(page.locator(".rejected s")).to_have_text(tag, timeout=SECONDS_30)
    path = next(home.album.rglob(name))
    assert tag not in home.ask("show", path)["tags"]
    page.keyboard.press("z")
    expect(page.locator(".tags li a").first).to_have_text(tag, timeout=SECONDS_30)
    expect(page.locator(".rejected")).to_have_count(0)
    assert tag in home.ask("show", path)["tags"]


def test_a_tag_is_added_and_pending_until_the_daemon_says_so(shown: Shown, home: Photoramd) -> None:
    page = shown("?q=animal")
    name = open_first(page)
    page.keyboard.press("t")
    page.locator("#tag").fill("garden party")
    home.send(signal.SIGSTOP)  # it may be done before anybody sees that it was pending
    page.keyboard.press("Enter")
    try:
        expect(page.locator(".tags li", has_text="garden party")).to_contain_text("pending")
    finally:
        home.send(signal.SIGCONT)
    done = page.locator(".tags li:not(.pending)", has_text="garden party")
    expect(done).to_contain_text("you", timeout=SECONDS_30)
    path = next(home.album.rglob(name))
    assert home.ask("show", path)["user_tags"] == ["garden party"]
    page.get_by_role("button", name="Undo").last.click()
    expect(done).to_have_count(0, timeout=SECONDS_30)


def test_what_a_file_says_leads_to_photos_like_it(shown: Shown) -> None:
    page = shown("?q=camera:R6")
    open_first(page)
    page.locator(".panel dd a", has_text="Some R6").click()
    expect(page.locator(".chip")).to_contain_text("camera:")
    page.wait_for_selector(".tile.ready")
    open_first(page)
    page.keyboard.press("s")
    expect(page).to_have_url(re.compile(r"q=like"))
    page.wait_for_selector(".tile.ready")


def test_a_photo_that_is_not_known_has_a_page_that_says_so(page: Page, gallery: str) -> None:
    answer = page.goto(f"{gallery}p/4000000")
    assert answer
    assert answer.status == 404
    expect(page.locator("h1")).to_have_text("There is nothing here")
    page.get_by_role("link", name="All photos", exact=True).click()
    page.wait_for_selector(".tile.ready")
