"""What axe-core finds: nothing serious, on any page, in light and dark, on desktops and phones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

OPTIONS = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    "resultTypes": ["violations"],
}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


def help_shown(page: Page) -> None:
    page.keyboard.press("?")


def photo_shown(page: Page) -> None:
    page.locator(".tile .picture").first.click()
    page.wait_for_selector(".stage.ready")


def selected(page: Page) -> None:
    page.keyboard.press("x")


def sheet_shown(page: Page) -> None:
    page.locator("#facets-toggle").click()


def completing(page: Page) -> None:
    page.locator("#q").fill("an")
    page.wait_for_selector("#completions [role=option]")


Scene = tuple[str, Callable[[Page], None] | None]

# Each template and each part that opens, but not all of them on both devices.
DESKTOP: dict[str, Scene] = {
    "chips and selection": ("?q=animal+taken%3A2024", selected),
    "help": ("?q=animal", help_shown),
    "photo above": ("?q=animal", photo_shown),
    "completion": ("?q=animal", completing),
    "tags": ("tags", None),
    "folders": ("folders", None),
    "failed": ("failed", None),
    "no hits": ("?q=nothing", None),
    "not found": ("nowhere", None),
}
POCKET: dict[str, Scene] = {
    "grid": ("", None),
    "sheet": ("?q=animal", sheet_shown),
    "photo": ("p/1", None),
    "tags": ("tags", None),
    "status": ("status", None),
}


@pytest.mark.parametrize(
    ("options", "scheme", "scenes"),
    [({}, "light", DESKTOP), (PHONE, "dark", POCKET)],
    ids=["desktop", "phone"],
)
def test_axe_finds_nothing_serious(
    browser: Browser, gallery: str, options: dict[str, Any], scheme: Any, scenes: dict[str, Scene]
) -> None:
    # axe is a script of its own; what the policy forbids is seen by all other tests.
    context = browser.new_context(
        color_scheme=scheme, bypass_csp=True, reduced_motion="reduce", **options
    )
    page = context.new_page()
    found = []
    for name, (path, act) in scenes.items():
        page.goto(gallery + path)
        if path == "" or path.startswith("?q=animal"):
            page.wait_for_selector(".tile.ready")
        if act is not None:
            act(page)
        results = Axe().run(page, options=OPTIONS).response
        found += [
            (name, each["id"], each["help"], [node["html"][:160] for node in each["nodes"][:3]])
            for each in results["violations"]
            if each["impact"] in ("serious", "critical")
        ]
    assert found == []
    context.close()
