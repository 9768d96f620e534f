"""States, reasons and what becomes of a change."""

from __future__ import annotations

import io
import threading

from edge_runtime.control.state import EXIT_CODES
from edge_runtime.daemon.health import Health
from edge_runtime.system.log import Log


def made() -> tuple[Health, io.StringIO, list[int]]:
    stream, woken = io.StringIO(), list[int]()
    return Health(lambda: woken.append(1), Log(stream=stream)), stream, woken


def test_all_is_well_at_first() -> None:
    health, stream, woken = made()
    assert (health.state, health.line(), health.troubles, health.take_events()) == ("ok", "ok", (), [])
    assert health.as_json() == {"state": "ok", "troubles": []}
    health.fixed("events")
    assert (stream.getvalue(), woken) == ("", [])


def test_a_change_is_an_event_a_line_and_a_state() -> None:
    health, stream, woken = made()
    health.report("events", "disk full")
    health.report("events", "disk full")
    assert (health.state, health.line()) == ("degraded", "degraded: events: disk full")
    health.report("cameras", "none delivers", failing=True)
    assert (health.state, health.line()) == ("failing", "failing: cameras: none delivers; events: disk full")
    assert [one["part"] for one in health.as_json()["troubles"]] == ["cameras", "events"]
    health.fixed("cameras")
    health.update("events", None)
    assert health.state == "ok"
    events = health.take_events()
    assert [(event.kind, event.camera, event.reason) for event in events] == [
        ("degraded", "", "events: disk full"),
        ("degraded", "", "cameras: none delivers"),
        ("recovered", "", "cameras"),
        ("recovered", "", "events"),
    ]
    assert health.take_events() == []
    assert len(woken) == 4
    assert stream.getvalue().splitlines() == [
        'familiar: warning: degraded part=events reason="disk full"',
        'familiar: error: failing part=cameras reason="none delivers"',
        'familiar: recovered part=cameras reason="no longer: none delivers"',
        'familiar: recovered part=events reason="no longer: disk full"',
    ]


def test_another_reason_is_shown_but_is_no_event_of_its_own() -> None:
    health, _, _ = made()
    health.report("tpu", "gone")
    since = health.troubles[0].since
    health.report("tpu", "hot")
    assert (health.troubles[0].reason, health.troubles[0].since) == ("hot", since)
    assert len(health.take_events()) == 1


def test_a_cameras_loss_is_told_by_its_own_events() -> None:
    health, _, _ = made()
    health.report("camera front", "lost: no frame")
    assert health.state == "degraded"
    health.fixed("camera front")
    assert health.take_events() == []


def test_every_state_has_an_exit_code_of_its_own() -> None:
    assert EXIT_CODES["ok"] == 0
    assert len({*EXIT_CODES.values(), 11}) == 4


def test_parts_on_several_threads_do_not_mix() -> None:
    health, _, _ = made()

    def flap(part: str) -> None:
        for _ in range(200):
            health.report(part, "away")
            health.fixed(part)

    threads = [threading.Thread(target=flap, args=(f"part {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert health.state == "ok"
    events = health.take_events()
    assert len(events) == 1000, "only the latest are kept where nobody takes them"
