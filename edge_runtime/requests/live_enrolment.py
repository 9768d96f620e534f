"""Enrolling somebody who stands in front of a camera: tells them what to do until enough views are good."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from edge_runtime.control.protocol import Answer
from edge_runtime.enrolment.poses import ANY, POSES
from edge_runtime.errors import EnrolmentError

if TYPE_CHECKING:  # the process that serves the page has no use for the rest
    from edge_runtime.requests.access import PeopleAccess

PATIENCE_S = 8.0
"""After so long without the pose that is wanted, any good view is taken."""
GIVE_UP_S = 90.0
"""After so long without a good view, it ends."""
_PAUSE_S = 0.15
_MOST_OBJECTIONS = 2
"""One view may look like somebody else by chance."""
_APART_S = 0.7
"""At least between two views, so that they differ."""


def gather_views(
    people: PeopleAccess,
    name: str,
    camera: str,
    count: int,
    say: Callable[[str, int], None],
    give_up_s: float = GIVE_UP_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[bytes]:
    """Good, different views of whoever is in front of the camera, as PNG files; nothing is enrolled yet.

    Args:
        people: the daemon or the files.
        name: whose views they are to be.
        camera: name from the configuration.
        count: how many views, at least 1.
        say: gets what to tell the person, and how many views there are.
        give_up_s: longest wait for a view.
        clock: monotonic seconds.
        sleep: waits for seconds.

    Raises:
        EnrolmentError: no view was good for ``give_up_s``, or the face looks like somebody else who is enrolled.
        FamiliarError: the camera, the daemon, or the bundle cannot be used.
    """
    views: list[bytes] = []
    box: list[float] = []
    seq, told, objections = None, "", 0
    since_s = last_s = clock()
    while len(views) < count:
        want = POSES[len(views) % len(POSES)] if clock() - since_s < PATIENCE_S else ANY
        answer = people.call("enroll.pose", {"camera": camera, "want": want, "box": box, "name": name})
        if answer["seq"] != seq:
            seq, box = answer["seq"], answer["box"]
            told = answer["guidance"] or told
            if not answer["picture"]:
                say(told, len(views))
            elif clock() - last_s >= _APART_S and answer["objection"]:
                told = answer["objection"].partition("; ")[0]
                say(told, len(views))
                objections, last_s = objections + 1, clock()
                if objections == _MOST_OBJECTIONS:
                    raise EnrolmentError(
                        f"{name}: {told}; nothing was enrolled. If they are two people who look alike, enrol from "
                        "photos with --force"
                    )
            elif clock() - last_s >= _APART_S:
                views.append(base64.b64decode(answer["picture"]))
                since_s = last_s = clock()
                say("good", len(views))
        if clock() - since_s > give_up_s:
            raise EnrolmentError(
                f"camera {camera}: expected {count} good views, found {len(views)} and none for {give_up_s:g} s "
                f"(last said: {told}); nothing was enrolled, try again in better light or enrol from photos"
            )
        if len(views) < count:
            sleep(_PAUSE_S)
    return views


def enroll_views(people: PeopleAccess, name: str, source: str, views: list[bytes]) -> list[Answer]:
    """Put views through the gate that photos go through; all that pass are enrolled, or nobody after an error.

    Returns:
        The fields of ``EnrolmentResult`` for each view.
    """
    arguments = {"name": name, "source": source, "sizes": [len(view) for view in views]}
    results: list[Answer] = people.call("enroll.views", arguments, b"".join(views))["results"]
    return results
