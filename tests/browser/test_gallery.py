"""What people do with the grid: search, narrow down, select, edit, with mouse, keys and thumbs."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import until
from tests.support.daemons import Photoramd

Shown = Callable[..., Page]


def total(page: Page) -> int:
    found = re.match(r"[\d,]+", page.locator("#total").inner_text())
    assert found
    return int(found[0].replace(",", ""))


def test_a_search_is_completed_by_keys_and_is_in_the_address(shown: Shown) -> None:
    page = shown()
    page.keyboard.press("/")
    page.keyboard.type("anim")
    box = page.locator("#q")
    expect(box).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowDown")
    active = box.get_attribute("aria-activedescendant")
    assert active
    expect(page.locator(f"#{active}")).to_contain_text("animal")
    page.keyboard.press("Enter")
    expect(box).to_have_value("animal ")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/\?q=animal$"))
    expect(page.locator(".chip")).to_have_text(["animal"])
    page.locator(".chip").click()
    expect(page).to_have_url(re.compile(r"/$"))
    page.go_back()
    expect(box).to_have_value("animal")
    expect(page.locator(".chip")).to_have_count(1)


def test_an_error_is_marked_at_its_place(shown: Shown) -> None:
    page = shown()
    page.locator("#q").fill("animal taken:20x4 cat")
    page.keyboard.press("Enter")
    expect(page.locator(".mark u")).to_have_text("20x4")
    expect(page.locator("#q-error")).to_contain_text("a date is expected")
    expect(page.locator("#q")).to_have_attribute("aria-describedby", "q-error")
    # What was shown before is not lost.
    assert page.locator(".tile").count() > 5


def test_facets_narrow_down_and_leave_out(shown: Shown) -> None:
    page = shown()
    everything = total(page)
    entry = page.locator("#facet-tags li", has_text="animal").first
    inside = int(entry.locator(".count").inner_text())
    entry.locator("a").click()
    expect(page.locator("#total")).to_have_text(f"{inside} photos")
    page.locator("#facet-tags li", has_text="animal").first.locator("a").click()
    expect(page.locator("#total")).to_have_text(f"{everything} photos")
    entry.locator("a").click(modifiers=["Alt"])
    expect(page.locator("#total")).to_have_text(f"{everything - inside} photos")
    page.go_back()
    expect(page.locator("#total")).to_have_text(f"{everything} photos")
    entry.hover()
    entry.locator(".minus").click()
    expect(page.locator("#total")).to_have_text(f"{everything - inside} photos")


def test_nothing_found_says_what_may_be_meant(page: Page, gallery: str) -> None:
    page.goto(f"{gallery}?q=animql")
    expect(page.locator("#empty")).to_contain_text("animal")
    page.locator("#q").fill("animak")
    page.keyboard.press("Enter")
    expect(page.locator("#empty")).to_contain_text('no photo is tagged "animak"')
    page.get_by_role("button", name="Show all photos").click()
    expect(page.locator(".tile").first).to_be_visible()


def test_what_is_typed_before_the_scripts_are_there_stays(page: Page, gallery: str) -> None:
    held: list[Route] = []
    page.route("**/gallery.js", lambda route: held.append(route))
    page.goto(f"{gallery}?q=animql", wait_until="commit")
    page.locator("#q").fill("animak")
    expect(page.locator("#empty")).to_contain_text("animal")
    page.wait_for_function("() => document.readyState !== 'loading'")
    held[0].continue_()
    expect(page.get_by_role("button", name="Show all photos")).to_be_visible()
    expect(page.locator("#q")).to_have_value("animak")


def test_tags_are_added_to_a_selection_and_taken_back(shown: Shown, home: Photoramd) -> None:
    page = shown("?q=animal")
    tiles = page.locator(".tile")
    tiles.nth(0).hover()
    tiles.nth(0).locator(".check").click()
    tiles.nth(2).locator(".picture").click(modifiers=["Shift"])
    expect(page.locator("#selected")).to_have_text("3 selected")
    page.get_by_role("button", name="Add tag").click()
    page.locator("#tag").fill("my choice")
    page.keyboard.press("Enter")
    expect(page.locator("#toasts")).to_contain_text("“my choice” is added to 3 photos")
    page.goto(page.url.partition("?")[0] + "?q=%22my+choice%22")
    expect(page.locator("#total")).to_have_text("3 photos", timeout=30_000)
    page.keyboard.press("z")
    # The page hears of it, and shows that nothing is left.
    expect(page.locator("#empty")).to_be_visible(timeout=30_000)
    expect(page.locator("#total")).to_have_text("0 photos")
    assert home.ask("query", "my choice") in (None, [])


def test_keys_alone_are_enough(shown: Shown) -> None:
    page = shown()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tile .picture:focus")).to_have_count(1)
    page.keyboard.press("l")
    page.keyboard.press("x")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator("#selected")).to_have_text("2 selected")
    page.keyboard.press("Escape")
    expect(page.locator("#selection")).to_be_hidden()
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.type("2022-01")
    page.keyboard.press("Enter")
    expect(page.locator("#date-dialog")).to_be_hidden()
    page.keyboard.press("Y")
    page.keyboard.press("m")
    page.keyboard.press("Enter")
    expect(page.locator("#viewer")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()
    expect(page.locator(".tile .picture:focus")).to_have_count(1)


def test_the_focus_stays_when_photos_are_laid_out_anew(shown: Shown) -> None:
    page = shown()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tile .picture:focus")).to_have_count(1)
    focused = page.locator(".tile .picture:focus").get_attribute("href")
    page.set_viewport_size({"width": 1000, "height": 900})
    expect(page.locator(".tile .picture:focus")).to_have_attribute("href", focused or "")


def test_elements_keep_their_photos_when_laid_out_anew(shown: Shown) -> None:
    page = shown()
    named = "document.querySelectorAll('.tile')"
    page.evaluate(f"window.first = {named}[0]; window.third = {named}[2]")
    page.set_viewport_size({"width": 1000, "height": 900})
    assert page.evaluate(f"window.first === {named}[0] && window.third === {named}[2]")
    assert page.evaluate("[window.first.rank, window.third.rank]") == [0, 2]


def test_single_keys_can_be_switched_off(shown: Shown) -> None:
    page = shown()
    page.keyboard.press("?")
    page.locator("#single-keys").uncheck()
    page.keyboard.press("Escape")
    page.reload()
    page.wait_for_selector(".tile.ready")
    page.keyboard.press("x")
    page.keyboard.press("?")
    expect(page.locator("#selection")).to_be_hidden()
    expect(page.locator("#help")).to_be_hidden()
    page.keyboard.press("ArrowRight")  # no letter
    expect(page.locator(".tile .picture:focus")).to_have_count(1)


def test_back_returns_to_where_one_was(shown: Shown) -> None:
    page = shown()
    page.mouse.move(600, 500)
    page.mouse.wheel(0, 700)
    until(page, "scrollY > 600 && history.state?.at?.rank > 0")
    before = page.evaluate("scrollY")
    page.locator("#facet-tags a").first.click()
    until(page, "scrollY === 0")
    page.go_back()
    until(page, f"Math.abs(scrollY - {before}) < 2")


def test_a_place_is_noted_even_if_one_scrolls_while_photos_are_fetched(
    page: Page, gallery: str
) -> None:
    held: list[Route] = []
    page.route("**/api/v1/layout*", lambda route: held.append(route))
    page.goto(gallery)
    page.wait_for_selector(".tile.ready")
    page.mouse.move(600, 500)
    page.mouse.wheel(0, 700)
    until(page, "scrollY > 600")
    page.wait_for_timeout(400)  # it is noted after 250 ms of rest, if at all
    page.unroute("**/api/v1/layout*")  # lets them go on
    until(page, "history.state?.at?.rank > 0")


def test_the_theme_is_kept(shown: Shown) -> None:
    page = shown()
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("#theme").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert light != dark
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark


def test_a_phone_has_a_sheet_and_selects_by_a_long_touch(phone: Page, gallery: str) -> None:
    phone.goto(gallery)
    phone.wait_for_selector(".tile.ready")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    phone.locator("#facets-toggle").tap()
    expect(phone.locator("#facets")).to_be_visible()
    phone.locator("#facet-tags li a").first.tap()
    expect(phone.locator(".chip")).to_have_count(1)
    phone.locator(".sheet-head button").tap()
    expect(phone.locator("#facets")).to_be_hidden()
    box = phone.locator(".tile").first.bounding_box()
    assert box
    session = phone.context.new_cdp_session(phone)
    at = [{"x": box["x"] + 30, "y": box["y"] + 30}]
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": at})
    expect(phone.locator("#selected")).to_have_text("1 selected")
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(phone.locator("#selected")).to_have_text("1 selected")
    bar = phone.locator("#selection")
    assert bar.evaluate("(bar) => bar.scrollWidth <= bar.clientWidth")
    for button in phone.locator(".menu a, #selection button, .bar button").all():
        size = button.bounding_box()
        assert size
        assert size["height"] >= 44, button


def test_it_works_without_scripts(browser: Browser, gallery: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{gallery}?q=animal")
    expect(page.locator("#first .picture").first).to_be_visible()
    page.locator("#first .picture").first.click()
    expect(page.locator(".panel")).to_contain_text("Tags")
    page.goto(f"{gallery}tags?prefix=anim")
    page.locator("#tags a").first.click()
    expect(page.locator(".chip")).to_have_count(1)
    context.close()


def test_lists_lead_to_photos(page: Page, gallery: str) -> None:
    page.goto(f"{gallery}tags")
    page.locator("#filter").fill("anim")
    expect(page.locator("#tags li").first).to_contain_text("animal")
    page.locator("#tags a").first.click()
    page.wait_for_selector(".tile.ready")
    page.goto(f"{gallery}folders")
    page.locator(".folders .into").first.click()
    expect(page.locator(".crumbs li")).to_have_count(2)
    expect(page.locator(".folders li")).to_have_count(2)
    page.locator(".folders .count").first.click()
    page.wait_for_selector(".tile.ready")


def test_what_failed_is_tried_again(page: Page, gallery: str, home: Photoramd) -> None:
    page.goto(f"{gallery}failed")
    expect(page.locator(".reasons li")).to_have_count(1)
    page.get_by_role("button", name="Try again", exact=True).click()
    expect(page.locator("#toasts")).to_contain_text("tried again")
    home.wait_for_states(failed=1, written=home.states()["written"])


def test_the_status_is_live(page: Page, gallery: str, home: Photoramd) -> None:
    page.goto(f"{gallery}status")
    expect(page.locator("#photos-written")).to_have_text(str(home.states()["written"]))
    expect(page.locator("#daemon .text")).to_have_text("up to date")
    expect(page.locator(".roots")).to_contain_text("online")
