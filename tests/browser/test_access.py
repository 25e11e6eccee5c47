"""Who is let in, who is sent to log in, and what is not offered where nothing can be changed."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page, expect

from tests.support.daemons import Photoramd
from tests.support.gallery import Gallery, new_token

ELSEWHERE = ("//evil.example/", "/\\evil.example/", "https://evil.example/", "http://[")

_ASK_FOR = "(next) => history.replaceState({}, '', `?next=${encodeURIComponent(next)}`)"


def test_one_logs_in_below_a_path_and_out_again(
    page: Page, home: Photoramd, tmp_path: Path
) -> None:
    token = new_token(home, tmp_path / "token")
    options = ("--token-file", tmp_path / "token", "--base-path", "/photos")

    def log_in() -> None:
        page.get_by_label("Token").fill(token)
        page.keyboard.press("Enter")

    with Gallery(home, *options) as gallery:
        place = f"http://{urlsplit(gallery.address).netloc}/photos"
        page.goto(f"{place}/?q=animal")
        page.get_by_label("Token").fill("no token at all")
        page.keyboard.press("Enter")
        expect(page.locator("#login-error")).to_contain_text("This is not the token")
        log_in()
        expect(page).to_have_url(f"{place}/?q=animal")
        page.wait_for_selector(".tile.ready")
        for following in ELSEWHERE:
            page.goto(f"{place}/status")
            page.get_by_role("button", name="Log out").click()
            expect(page).to_have_url(f"{place}/login")
            page.evaluate(_ASK_FOR, following)
            log_in()
            expect(page).to_have_url(f"{place}/")
        page.wait_for_selector(".tile.ready")
        page.context.clear_cookies()
        page.goto(f"{place}/status")
        expect(page).to_have_url(f"{place}/login?next=status")


def test_what_cannot_be_changed_is_not_offered(page: Page, home: Photoramd) -> None:
    with Gallery(home, "--read-only") as gallery:
        page.goto(gallery.address)
        page.wait_for_selector(".tile.ready")
        page.keyboard.press("x")
        expect(page.locator("#selection")).to_contain_text("cannot be changed here")
        expect(page.get_by_role("button", name="Add tag")).to_have_count(0)
        for key in "trz":
            page.keyboard.press(key)
        page.keyboard.press("Escape")
        page.locator(".tile .picture").first.click()
        expect(page.locator(".panel .tags")).to_contain_text("it was started with --read-only")
        for key in "trz":
            page.keyboard.press(key)
        expect(page.locator(".remove, .panel .actions, .choosing, .toast")).to_have_count(0)
