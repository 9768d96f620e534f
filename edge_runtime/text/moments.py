"""Moments as people write them: a while ago, a day, a day with its time."""

from __future__ import annotations

import datetime
import re
import time

_UNITS_S = {
    "s": 1.0,
    "second": 1.0,
    "m": 60.0,
    "min": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "d": 86_400.0,
    "day": 86_400.0,
    "w": 604_800.0,
    "week": 604_800.0,
}
_LENGTH = re.compile(r"(\d+(?:\.\d+)?) *([a-z]+?)s?(?: ago)?")
_FORMS = ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S")
_DAYS = {"today": 0, "yesterday": 1}
UNDERSTOOD = "30m, 2h, 3 days, today, yesterday, or a day as 2030-01-31 or 2030-01-31T08:30"


def past_moment(text: str, now_s: float) -> float | None:
    """Seconds since the Unix epoch of a moment before ``now_s``, by the local clock; None: not understood.

    A day is its beginning. A length of time is counted back from now.
    """
    words = " ".join(text.lower().split())
    if words in _DAYS:
        today = datetime.datetime.combine(datetime.date.fromtimestamp(now_s), datetime.time())
        return (today - datetime.timedelta(days=_DAYS[words])).timestamp()
    match = _LENGTH.fullmatch(words)
    if match and (unit := _UNITS_S.get(match[2] or "s")):
        return now_s - float(match[1]) * unit
    for form in _FORMS:
        try:
            return time.mktime(time.strptime(" ".join(text.split()), form))
        except (ValueError, OverflowError):
            continue
    return None
