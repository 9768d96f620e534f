"""What the daemon counts, as families of Prometheus's: base units, ``_total`` on counters, and no person anywhere.

https://prometheus.io/docs/practices/naming/. Labels are cameras, sinks, stages, reasons and results: what the
configuration names, or what this program does; so there are never more series than those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from edge_runtime.faces.quality import WHAT_WOULD_DO
from edge_runtime.tracking.tally import Histogram, Tally

PREFIX = "familiar"
Read = Callable[[], tuple[Mapping[str, Any], Mapping[str, Tally]]]
"""Gives the daemon's status, and what each camera's chain has counted, by its name."""

_CAMERA = (
    ("camera_fps", "fps", "Frames taken a second, since the start.", "frames_per_s", False),
    ("camera_frames", "", "Frames taken.", "frames", True),
    ("skipped_frames", "", "Frames of a live source that passed unread.", "dropped", True),
    ("camera_reconnects", "", "How often a camera was lost and opened again.", "losses", True),
)
_RESULTS = {"known": "identified", "unknown": "unknown", "rejected": "rejected"}
_GALLERY = (
    ("gallery_people", "People enrolled.", "people"),
    ("gallery_templates", "Embeddings enrolled.", "templates"),
    (
        "target_false_accepts_per_1000",
        "The target FPIR, in thousandths.",
        "target_per_1000",
    ),
    ("expected_false_accepts_per_1000", "Of 1,000 strangers, so many are expected to get a name.", "expected_per_1000"),
)
_EVENTS = (("events_stored", "Events stored.", "stored"), ("events_lost", "Events lost as no disk took them.", "lost"))
_SINKS = (
    ("sink_delivered", "Events a sink has had.", "delivered", True),
    ("sink_refused", "Events a sink passed over, as its receiver never takes them.", "refused", True),
    ("sink_skipped", "Events that were deleted before a sink had them.", "skipped", True),
    ("sink_behind_events", "Events that wait for a sink.", "behind", False),
)


class Figures(Collector):
    """Collects at each reading; nothing is counted twice, here and in the daemon."""

    def __init__(self, read: Read, version: str) -> None:
        """Take everything from ``read``."""
        self._read, self._version = read, version

    def describe(self) -> Iterable[Metric]:
        """Nothing ahead: the daemon may not be ready when this is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every family."""
        status, tallies = self._read()
        cameras = status["cameras"]
        for name, unit, told, key, counts in _CAMERA:
            kind = CounterMetricFamily if counts else GaugeMetricFamily
            family = kind(f"{PREFIX}_{name}", told, labels=["camera"], unit=unit)
            for camera, values in cameras.items():
                family.add_metric([camera], values[key])
            yield family
        yield _up(cameras)
        yield from _faces(tallies)
        yield _stages(tallies)
        yield _histogram(f"{PREFIX}_match_score", "Scores of decisions.", [tally.scores for tally in tallies.values()])
        for name, told, key in _GALLERY:
            yield GaugeMetricFamily(f"{PREFIX}_{name}", told, status["gallery"][key])
        for name, told, key in _EVENTS:
            yield CounterMetricFamily(f"{PREFIX}_{name}", told, status["events"][key])
        yield GaugeMetricFamily(f"{PREFIX}_events_waiting", "Events not stored yet.", status["events"]["waiting"])
        yield from _sinks(status["events"]["sinks"])
        yield from self._device(status)

    def _device(self, status: Mapping[str, Any]) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            f"{PREFIX}_degraded", "1: something does not do what it should.", status["state"] != "ok"
        )
        yield GaugeMetricFamily(f"{PREFIX}_failing", "1: nothing useful is done.", status["state"] == "failing")
        yield GaugeMetricFamily(f"{PREFIX}_uptime_seconds", "Since the start.", status["uptime_s"])
        if status["temperature_c"] is not None:
            told = "The hottest sensor of the device."
            yield GaugeMetricFamily(f"{PREFIX}_device_temperature_celsius", told, status["temperature_c"])
        build = InfoMetricFamily(f"{PREFIX}_build", "What runs.")
        build.add_metric(
            [],
            {
                "version": self._version,
                "model": status["bundle"]["name"],
                "runtime": status["runtime"],
                "accelerator": status["accelerators"].get("encoder", "cpu"),
            },
        )
        yield build


def _up(cameras: Mapping[str, Any]) -> Metric:
    family = GaugeMetricFamily(
        f"{PREFIX}_camera_up", "1: it delivers. 0: not. Disabled ones are left out.", labels=["camera"]
    )
    for camera, values in cameras.items():
        if values["state"] != "disabled":
            family.add_metric([camera], values["state"] == "running")
    return family


def _faces(tallies: Mapping[str, Tally]) -> Iterator[Metric]:
    faces = CounterMetricFamily(f"{PREFIX}_faces", "Decisions on faces.", labels=["camera", "result"])
    rejected = CounterMetricFamily(f"{PREFIX}_rejected", "Faces that could not be judged.", labels=["reason"])
    # From 0 on: a series that begins with its first event has no increase for it.
    reasons = dict.fromkeys(WHAT_WOULD_DO, 0)
    for camera, tally in tallies.items():
        for result, key in _RESULTS.items():
            faces.add_metric([camera, result], tally.counts[key])
        for reason, count in list(tally.rejections.items()):
            reasons[reason] = reasons.get(reason, 0) + count
    for reason, count in reasons.items():
        rejected.add_metric([reason], count)
    yield faces
    yield rejected


def _stages(tallies: Mapping[str, Tally]) -> Metric:
    family = HistogramMetricFamily(f"{PREFIX}_stage_seconds", "Time of one run of a stage.", labels=["stage"])
    stages: dict[str, list[Histogram]] = {}
    for tally in tallies.values():
        for name, histogram in list(tally.stages.items()):
            stages.setdefault(name, []).append(histogram)
    for name, histograms in stages.items():
        family.add_metric([name], *_buckets(histograms))
    return family


def _sinks(sinks: Mapping[str, Any]) -> Iterator[Metric]:
    for name, told, key, counts in _SINKS:
        kind = CounterMetricFamily if counts else GaugeMetricFamily
        family = kind(f"{PREFIX}_{name}", told, labels=["sink"])
        for sink, values in sinks.items():
            family.add_metric([sink], values[key])
        yield family
    up = GaugeMetricFamily(f"{PREFIX}_sink_up", "1: it takes events.", labels=["sink"])
    for sink, values in sinks.items():
        up.add_metric([sink], values["error"] is None)
    yield up


def _histogram(name: str, told: str, histograms: list[Histogram]) -> Metric:
    family = HistogramMetricFamily(name, told, labels=[])
    if histograms:
        family.add_metric([], *_buckets(histograms))
    return family


def _buckets(histograms: list[Histogram]) -> tuple[list[tuple[str, float]], float]:
    """Cumulative counts by upper bound, as text, and the sum of the values."""
    counts = [sum(each) for each in zip(*(list(one.counts) for one in histograms), strict=True)]
    bounds = [*(str(bound) for bound in histograms[0].bounds), "+Inf"]
    return list(zip(bounds, map(float, accumulate(counts)), strict=True)), sum(one.total for one in histograms)
