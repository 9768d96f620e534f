"""A tour of the page in a real Chromium: from an empty device to a named face, a named stranger, and forgetting.

``python -m tests.page_tour --out docs/page`` writes the screenshots of the docs, ``--dark`` those of dark screens too,
``--only first`` some alone; all people are drawn, and paths are those of a home that is no temporary folder.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.builders import RELEASED
from tests.e2e.test_run import Daemon, environment, starting
from tests.waiting import wait_for
from tests.web_client import Served, answers, free_port, serving

SIZES = {"desktop": (1280, 860), "phone": (390, 800)}
PATIENCE_MS = 90_000
LIVE = ("now", "camera")
_FIRST = frozenset({"first", "camera"})
"""Pictures that are taken on the way to the first face."""
_ROUNDS = 5
_AT_HOME = {"config": "/home/pi/.config", "state": "/home/pi/.local/state", "run": "/run/user/1000"}
_RENAME = """(names) => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    for (const [here, there] of names) texts.currentNode.data = texts.currentNode.data.replaceAll(here, there);
  }
}"""
WITH_RELEASED = ("--set", f"bundle.path={RELEASED}")
REMEMBERING = ("--set", "strangers.remember=true", "--set", "events.keep=crops")


def chromium() -> str | None:
    """Debian's Chromium, if it is installed."""
    return shutil.which("chromium")


def tour(page: Any, served: Served, shoot: Callable[[str], None] = lambda name: None) -> dict[str, Any]:
    """Go through the page as an owner does; what was seen.

    Args:
        page: of playwright.
        served: a daemon whose gallery is empty.
        shoot: called where the page is worth a look.
    """
    who = served.people[0]
    page.set_default_timeout(PATIENCE_MS)
    page.goto(served.url)
    page.get_by_text("Nobody is enrolled yet").wait_for()
    page.get_by_role("link", name="From photos").click()
    page.get_by_label("Name", exact=True).fill(who)
    photos = [
        {"name": f"{who}-{number}.jpg", "mimeType": "image/jpeg", "buffer": served.photo(who, number)}
        for number in range(3)
    ]
    page.get_by_label("Put photos here, or choose them").set_input_files(photos)
    page.get_by_text(f"{who}-2.jpg: enrolled").wait_for()
    page.get_by_label("Choose photos", exact=True).set_input_files(photos[:1])
    page.locator("#who strong").get_by_text(who).wait_for()
    assert page.get_by_text("null").count() == 0
    shoot("people")
    page.get_by_role("link", name="Now").click()
    page.get_by_text("In view:").get_by_text(who).wait_for()
    shoot("now")
    page.get_by_role("link", name="Visits").click()
    card = page.locator("main li.card").filter(has=page.get_by_role("heading", name=who, exact=True)).first
    card.wait_for()
    card.get_by_text("Why").click()
    card.get_by_text("needed for the name").wait_for()
    card.locator("dd").filter(has_text=re.compile("^(over )?[1-9][0-9] %$")).wait_for()
    card.get_by_text("Not right?").click()
    shoot("visits")
    card.get_by_role("button", name=f"This was not {who}").click()
    page.get_by_text(f"marked: not {who}").wait_for()
    page.get_by_role("button", name="Take it back").click()
    page.get_by_text("Taken back.").wait_for()
    page.get_by_text(f"marked: not {who}").wait_for(state="detached")
    page.get_by_role("link", name="Strangers").click()
    form = page.locator("main li.card").filter(has=page.locator("img")).first
    while not form.count():
        page.wait_for_timeout(1000)
        page.reload()
        page.get_by_text("Visitors who were seen").wait_for()
        page.wait_for_timeout(500)
    shoot("strangers")
    _name_one(page)
    page.get_by_role("link", name="Strictness").click()
    slider = page.get_by_role("slider")
    page.get_by_text(re.compile("^At 1: ")).wait_for()
    slider.focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    page.get_by_text(re.compile("^At 10: ")).wait_for()
    assert page.locator("figure polyline").count() == 3
    shoot("strictness")
    page.get_by_role("button", name="Use this until").click()
    page.get_by_text("Now at 10 of 1,000").wait_for()
    page.get_by_role("link", name="Device").click()
    page.get_by_text("Running for").wait_for()
    page.get_by_text("other checks").wait_for()
    shoot("device")
    _back_up_and_restore(page)
    page.get_by_role("link", name="People").click()
    bold = page.get_by_role("heading", name="Visitor <b>bold</b>")
    bold.wait_for()
    markup = page.locator("main b").count()
    person = page.locator("main li.card").filter(has=page.get_by_role("heading", name=who, exact=True))
    person.get_by_role("button", name="Show").click()
    person.get_by_role("button", name="Forget").click()
    page.locator("dialog").get_by_role("button", name="Forget").click()
    page.get_by_text(f"{who} is forgotten").wait_for()
    return {
        "who": who,
        "markup": markup,
        "left": [one["name"] for one in served.client.get("/api/faces").json()["people"]],
    }


def first_steps(page: Any, device: EmptyDevice, shoot: Callable[[str], None] = lambda name: None) -> str:
    """Go from a device without a camera to the first face with its name, by what the page says; the name."""
    page.set_default_timeout(PATIENCE_MS)
    page.goto(device.url)
    page.get_by_text("The device has no camera yet").wait_for()
    page.get_by_label("Camera", exact=True).select_option(label="none at hand: a drawn person, to try it")
    command = page.locator("code").first.inner_text()
    shoot("first")
    device.run(command)
    device.restart()
    page.get_by_text("Nobody is enrolled yet").wait_for()
    page.locator("img.view").wait_for()
    page.get_by_role("link", name="Before the camera").click()
    page.get_by_label("Name", exact=True).fill("Ada")
    page.get_by_text("the device answers again").wait_for(state="hidden")
    page.get_by_role("button", name="Begin").click()
    page.get_by_text(re.compile("^[1-4] of 5 views")).wait_for()
    page.get_by_text(re.compile("^(Turn a little|Hold still|Step in front)")).wait_for()
    shoot("camera")
    page.get_by_text("Ada: 5 views enrolled.").wait_for()
    page.get_by_role("link", name="Now").click()
    page.get_by_text("That is Ada").wait_for()
    return "Ada"


class EmptyDevice:
    """A device whose configuration says nothing but where the page is.

    Attributes:
        url: of the page.
    """

    def __init__(self, folder: Path, start: Callable[[], Daemon]) -> None:
        """Start it.

        Args:
            folder: its home.
            start: starts its daemon.
        """
        config = folder / "config/familiar/familiar.toml"
        config.parent.mkdir(parents=True)
        (folder / "run").mkdir()
        port = free_port()
        config.write_text(f'[web]\nlisten = "127.0.0.1:{port}"\n')
        self.url, self._folder, self._start, self._port = f"http://127.0.0.1:{port}", folder, start, port
        self.restart()

    def run(self, command: str) -> None:
        """Run a command of the page on it."""
        subprocess.run(["sh", "-c", command], env=environment(self._folder), check=True)

    def restart(self) -> None:
        """Start its daemon, and end it before if it runs."""
        if self._served is not None:
            self._served.daemon.end()
        served = Served(self._folder, self._start(), self._port)
        wait_for(lambda: answers(served), 60)
        self._served = served

    _served: Served | None = None


def _back_up_and_restore(page: Any) -> None:
    """Save everybody under a passphrase, and take them from the file again; all are known already."""
    backup = page.locator("section").filter(has=page.get_by_role("heading", name="Backup", exact=True))
    backup.locator("#backup-pass").fill("grüne Kuh 1")
    with page.expect_download() as download:
        backup.get_by_role("button", name="Save a backup").click()
    backup.locator("#restore-file").set_input_files(download.value.path())
    backup.locator("#restore-pass").fill("grüne Kuh 1")
    backup.get_by_label("Add to people of the same name").check()
    backup.get_by_role("button", name="Take them").click()
    page.get_by_text("0 photos added").wait_for()


def _name_one(page: Any) -> None:
    """Give the first stranger a name whose views are good enough to be enrolled; better views come with time."""
    said = page.locator("#said")
    for _ in range(_ROUNDS):
        for number in range(page.locator("main li.card").count()):
            form = page.locator("main li.card").nth(number)
            form.get_by_label("Name", exact=True).fill("Visitor <b>bold</b>")
            form.get_by_role("button", name="Give a name").click()
            said.filter(has_text=":").wait_for()
            if "views enrolled" in said.inner_text():
                return
            page.wait_for_timeout(6500)  # until what was said is gone
        page.reload()
        page.locator("main li.card").first.wait_for()
    raise AssertionError("no stranger could be named")


def main(arguments: list[str] | None = None) -> int:
    """Write the screenshots; returns the exit code."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dark", action="store_true", help="show each place on a dark screen too")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this picture; may be given again")
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for size, (width, height) in SIZES.items():
            page = browser.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")

            def shoot(name: str, folder: Path, size: str = size, page: Any = page) -> None:
                if args.only and name not in args.only:
                    return
                page.wait_for_timeout(500 if name in LIVE else 7000)  # pictures come, and what was said goes
                page.evaluate(_RENAME, [[str(folder / here), there] for here, there in _AT_HOME.items()])
                page.screenshot(path=args.out / f"{name}-{size}.png")
                if args.dark:
                    page.emulate_media(color_scheme="dark")
                    page.screenshot(path=args.out / f"{name}-{size}-dark.png")
                    page.emulate_media(color_scheme="light")

            with tempfile.TemporaryDirectory() as made, starting(Path(made), *WITH_RELEASED) as start:
                first_steps(page, EmptyDevice(Path(made), start), partial(shoot, folder=Path(made)))
            if not args.only or set(args.only) - _FIRST:
                with tempfile.TemporaryDirectory() as made, serving(Path(made), *REMEMBERING) as served:
                    tour(page, served, partial(shoot, folder=Path(made)))
            page.close()
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
