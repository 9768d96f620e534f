"""The page in a real Chromium, as its owner uses it."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image

from tests.builders import ROOT
from tests.e2e.test_run import environment, starting
from tests.page_tour import REMEMBERING, WITH_RELEASED, EmptyDevice, chromium, first_steps, tour
from tests.waiting import wait_for
from tests.web_client import Served, answers, serving

pytest.importorskip("starlette", reason="the extra web is not installed")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
if chromium() is None:
    pytest.skip("no Chromium here: apt install chromium", allow_module_level=True)

PLACES = ("now", "visits", "people", "strangers", "strictness", "device")
JPEG = {"Content-Type": "image/jpeg"}
SLOW_4G = {"offline": False, "latency": 150, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 750e3 / 8}
"""As Lighthouse's profile of a phone: 1.6 Mbit/s, 150 ms."""
_HEAVIEST_BYTES = 150_000


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served"), *REMEMBERING) as one:
        yield one


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that fails its test when a script of it fails or it asks for what is not there."""
    page = browser.new_page(viewport={"width": 390, "height": 800})
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if _is_fault(message) else None)
    yield page
    page.close()
    assert faults == []


def test_from_an_empty_device_to_a_named_face_and_back(page: Any, served: Served) -> None:
    seen = tour(page, served)
    assert seen["left"] == ["Visitor <b>bold</b>"]
    assert seen["markup"] == 0, "a name became markup"


def test_an_empty_device_leads_from_no_camera_to_the_first_named_face(browser: Any, tmp_path: Path) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 800})
    with starting(tmp_path, *WITH_RELEASED) as start:
        assert first_steps(page, EmptyDevice(tmp_path, start)) == "Ada"
    page.close()


def test_a_group_photo_asks_which_face(page: Any, served: Served) -> None:
    one, two = (Image.open(io.BytesIO(served.photo(name))) for name in served.people[3:5])
    group = Image.new("RGB", (one.width + two.width, max(one.height, two.height)))
    group.paste(one, (0, 0))
    group.paste(two, (one.width, 0))
    stream = io.BytesIO()
    group.save(stream, "JPEG", quality=95)
    page.goto(f"{served.url}/#people")
    page.reload()
    page.get_by_label("Name", exact=True).fill("Guest")
    page.get_by_label("Put photos here, or choose them").set_input_files(
        [{"name": "group.jpg", "mimeType": "image/jpeg", "buffer": stream.getvalue()}]
    )
    page.get_by_text("Which face is Guest?").wait_for()
    assert page.locator("button.pick canvas").count() == 2
    page.get_by_role("button", name="Face 2").click()
    page.get_by_text("group.jpg: enrolled").wait_for()
    right, left = (
        served.client.post("/api/faces/recognize", content=served.photo(name, 1), headers=JPEG).json()["faces"][0]
        for name in (served.people[4], served.people[3])
    )
    assert right["person"] == "Guest" and left["person"] != "Guest"
    page.get_by_role("button", name="Show: Guest").click()
    page.get_by_label("Agreed to").fill("by word")
    page.get_by_label("Last day").fill("2099-12-31")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("forgotten after").wait_for()
    noted = served.client.get("/api/faces/Guest").json()
    assert noted["consent"] == "by word" and time.gmtime(noted["expires"]).tm_year in (2099, 2100)
    page.goto("about:blank")  # it would ask for Guest again
    served.client.post("/api/faces/Guest/delete")


def test_strangers_are_ignored_and_forgotten_in_bulk(page: Any, served: Served) -> None:
    wait_for(lambda: len(served.client.get("/api/strangers").json()["strangers"]) >= 2)
    page.goto(f"{served.url}/#strangers")
    page.reload()
    page.get_by_label("All", exact=True).check()
    page.get_by_role("button", name=re.compile(r"^Ignore \d+$")).click()
    page.get_by_text("ignored", exact=True).nth(1).wait_for()
    assert sum(one["ignored"] for one in served.client.get("/api/strangers").json()["strangers"]) >= 2
    page.get_by_label("All", exact=True).check()
    page.get_by_role("button", name=re.compile(r"^Forget \d+$")).click()
    page.locator("dialog").get_by_role("button", name="Forget").click()
    wait_for(lambda: not any(one["ignored"] for one in served.client.get("/api/strangers").json()["strangers"]))


def test_every_place_is_light_and_free_of_serious_barriers(page: Any, served: Served) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing").Axe()
    loaded: dict[str, int] = {}
    page.on("response", lambda response: loaded.update({response.url: _bytes(response)}))
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for place in PLACES:
            page.goto(f"{served.url}/#{place}")
            page.reload()
            page.locator("main h2").wait_for()
            page.wait_for_timeout(500)
            page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{place} is wider than a phone"
            found = axe.run(page).response["violations"]
            serious = [one for one in found if one["impact"] in ("serious", "critical")]
            assert serious == [], json.dumps(serious, indent=1)[:3000]
    assert 0 < sum(loaded.values()) <= _HEAVIEST_BYTES


def test_a_slow_phone_sees_the_page_within_a_second(browser: Any, served: Served) -> None:
    paints, loads = [], []
    for _ in range(3):
        context = browser.new_context(viewport={"width": 390, "height": 800})
        page = context.new_page()
        devtools = context.new_cdp_session(page)
        devtools.send("Emulation.setCPUThrottlingRate", {"rate": 4})
        devtools.send("Network.emulateNetworkConditions", SLOW_4G)
        page.goto(served.url)
        page.locator("main .card").first.wait_for()
        paints.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
        entries = "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
        files = f"{entries}.filter((one) => !one.name.includes('/api/') && !one.name.startsWith('blob:'))"
        loads.append(page.evaluate(f"{files}.reduce((sum, one) => sum + one.transferSize, 0)"))
        assert page.evaluate(f"{files}.filter((one) => one.name.endsWith('.js')).length") > 10
        context.close()
    assert min(paints) <= 1000 and 0 < max(loads) <= _HEAVIEST_BYTES, (paints, loads)


def test_what_people_are_called_is_text_everywhere(page: Any, served: Served) -> None:
    hostile = "<img src=x onerror=alert(1)><b>"
    name = served.people[1]
    # Whoever was named of the strangers before may be the same person.
    for known in served.client.get("/api/faces").json()["people"]:
        served.client.post(f"/api/faces/{quote(known['name'], safe='')}/delete")
    served.enrol(name)
    assert served.client.post(f"/api/faces/{name}/rename", json={"new": hostile}).status_code == 200
    photo = served.folder / f"{hostile}.jpg"
    photo.write_bytes(served.photo(name, 4))
    enroll = [sys.executable, "-m", "edge_runtime", "enroll", hostile, str(photo)]
    subprocess.run(enroll, cwd=ROOT, env=environment(served.folder), check=True, capture_output=True)
    wait_for(lambda: served.client.get("/api/visits", params={"person": hostile}).json()["visits"])
    for place, shown in (("visits", 1), ("people", 1), ("strictness", 0), ("device", 0), ("now", 0)):
        page.goto(f"{served.url}/#{place}")
        page.reload()
        page.locator("main h2").wait_for()
        if shown:
            page.get_by_role("heading", name=hostile).first.wait_for()
        if place == "people":
            page.get_by_text("pictures get no name").first.wait_for()
            page.get_by_role("button", name=f"Show: {hostile}").click()
            page.get_by_text(photo.name).wait_for()
            page.get_by_label("Name", exact=True).fill(hostile)
            broken = {"name": photo.name, "mimeType": "image/jpeg", "buffer": b"no picture"}
            page.get_by_label("Put photos here, or choose them").set_input_files([broken])
            page.get_by_text(f"{photo.name}: ").last.wait_for()
        if place == "visits":
            page.locator("main summary").get_by_text("Not right?").first.wait_for()
            page.get_by_label("Who").select_option(hostile)
            page.get_by_role("heading", name=hostile).first.wait_for()
        if place == "device":
            page.get_by_text("other checks").wait_for()
            page.get_by_text("Read it").click()
            page.get_by_role("heading", name="Licence").wait_for()
        assert page.locator("main b, main img[onerror], main script").count() == 0, place
    served.client.post(f"/api/faces/{quote(hostile)}/delete")


def test_everything_of_a_visit_is_done_by_keyboard(page: Any, served: Served) -> None:
    name = served.people[2]
    served.enrol(name)
    wait_for(lambda: served.client.get(f"/api/visits?person={name}").json()["visits"])
    page.goto(f"{served.url}/#visits")
    page.reload()
    page.get_by_label("Who").select_option(name)
    summary = page.locator("main summary").get_by_text("Not right?").first
    summary.wait_for()
    summary.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == f"This was not {name}"
    page.keyboard.press("Enter")
    page.get_by_text(f"marked: not {name}").first.wait_for()
    page.get_by_role("button", name="Take it back").first.focus()
    page.keyboard.press("Enter")
    page.get_by_text("Taken back.").wait_for()
    assert page.evaluate("document.activeElement !== document.body"), "the reader stays at the card"
    assert served.client.get(f"/api/faces/{name}").json()["negatives"] == []
    served.client.post(f"/api/faces/{name}/delete")


def test_two_people_are_merged_and_taken_apart_by_keyboard(page: Any, served: Served) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is missing").Axe()
    one, other = served.people[1:3]
    for name in (one, other):
        enrolled = served.client.post(
            f"/api/faces/{name}/register?force=true", content=served.photo(name), headers=JPEG
        )
        assert enrolled.json()["accepted"], enrolled.text
    page.goto(f"{served.url}/#people")
    page.reload()

    def focused() -> str:
        return str(
            page.evaluate("(document.activeElement.getAttribute('aria-label') || document.activeElement.textContent)")
        )

    def barriers() -> list[Any]:
        found = axe.run(page).response["violations"]
        return [one for one in found if one["impact"] in ("serious", "critical")]

    page.get_by_role("button", name=f"Show: {other}").focus()
    page.keyboard.press("Enter")
    into = page.get_by_label("Is the same person as")
    into.wait_for()
    assert barriers() == []
    into.focus()
    for _ in range(into.locator("option").count()):
        if into.input_value() != one:
            page.keyboard.press("ArrowDown")
    assert into.input_value() == one
    page.keyboard.press("Tab")
    assert focused() == "Merge"
    page.keyboard.press("Enter")
    page.locator("#said").get_by_text(f"{other} is {one} now").wait_for()
    page.get_by_text(f"also enrolled as {other}").wait_for()
    page.wait_for_function(f"document.activeElement.getAttribute('aria-label') === 'Show: {one}'")
    assert served.client.get(f"/api/faces/{one}").json()["templates"] == 2
    page.keyboard.press("Enter")
    apart = page.get_by_role("button", name=f"Take apart: {other}")
    apart.wait_for()
    assert barriers() == []
    page.get_by_role("button", name="Forget").click()
    page.get_by_text(f"those enrolled as {other} too").wait_for()
    page.locator("dialog").get_by_role("button", name="Cancel").click()
    apart.focus()
    page.keyboard.press("Enter")
    page.get_by_text(f"{other} is a person apart again.").wait_for()
    page.wait_for_function(f"document.activeElement.getAttribute('aria-label') === 'Show: {other}'")
    assert [served.client.get(f"/api/faces/{name}").json()["templates"] for name in (one, other)] == [1, 1]
    page.goto("about:blank")
    for name in (one, other):
        served.client.post(f"/api/faces/{name}/delete")


def test_no_confidence_is_shown_as_certain(page: Any, served: Served) -> None:
    page.goto(served.url)
    shares = [0, 0.001, 0.009, 0.01, 0.5, 0.99, 0.995, 0.999, 1]
    told = page.evaluate(
        "async (shares) => { const { T } = await import('/texts.js'); return shares.map(T.surely); }", shares
    )
    assert told == ["under 1 %"] * 3 + ["1 %", "50 %", "99 %"] + ["over 99 %"] * 3


def _is_fault(message: Any) -> bool:
    """Whether a line of the console is one; that a token is wanted, or a camera has no picture yet, are answers."""
    return message.type == "error" and not any(f"status of {code}" in message.text for code in (401, 503))


def _bytes(response: Any) -> int:
    """Of a file of the page, without what the API answers."""
    return (
        0
        if "/api/" in response.url or response.url.startswith("blob:")
        else int(response.headers.get("content-length", 0))
    )


def test_an_open_page_outlives_the_process_that_serves(browser: Any, served: Served) -> None:
    page = browser.new_page()
    page.goto(served.url)
    page.get_by_text("In view").or_(page.get_by_text("Nobody in view")).first.wait_for()
    subprocess.run(["kill", "-9", str(served.web_pid())], check=True)
    page.get_by_text("the device answers again").wait_for(timeout=60_000)
    page.get_by_text("In view").or_(page.get_by_text("Nobody in view")).first.wait_for()
    page.close()
    wait_for(lambda: answers(served))


def test_a_device_with_tokens_asks_for_one(page: Any, tmp_path: Path) -> None:
    from edge_runtime.web.tokens import Tokens

    text = Tokens(tmp_path / "state/familiar/tokens.json").add("me", "admin")
    with serving(tmp_path) as served:
        page.goto(served.url)
        page.get_by_label("Token").fill(text)
        page.get_by_role("button", name="Go on").click()
        page.get_by_text("Nobody is enrolled yet").wait_for(timeout=60_000)
        page.get_by_role("link", name="Device").click()
        page.get_by_role("button", name="End this session").click()
        page.get_by_label("Token").wait_for()
