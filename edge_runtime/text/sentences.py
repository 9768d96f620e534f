"""Events as sentences, for people who watch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def event_sentence(event: Mapping[str, Any]) -> str:
    """What an event says, in a few words.

    Args:
        event: as ``Event.as_json`` gives it.
    """
    detail: str = {
        "identified": f"is {event['person']}",
        "unknown": "is a stranger",
        "rejected": f"cannot be judged: {event['reason']}",
        "appeared": "came into view",
        "left": f"left ({event['person'] or 'somebody'})",
    }.get(event["kind"], event["kind"].replace("_", " ") + (f": {event['reason']}" if event["reason"] else ""))
    if event["kind"] in ("identified", "unknown") and event["score"] is not None and event["threshold"] is not None:
        detail += f"   score {event['score']:.2f}, threshold {event['threshold']:.2f}"
    return detail
