"""What a daemon has seen, for people at its end and for programs while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edge_runtime.config import Config

if TYPE_CHECKING:
    from edge_runtime.daemon.camera import Camera
    from edge_runtime.decision.matcher import Matcher
    from edge_runtime.events.log import EventLog


def frames_per_s(camera: Camera) -> float:
    """Frames taken a second, from the first to the latest; 0 with fewer than two."""
    span_s = camera.latest_s - camera.started_s
    return camera.frames / span_s if camera.frames > 1 and span_s > 0 else 0.0


def stage_ms(camera: Camera) -> dict[str, float]:
    """Mean milliseconds of one run of each stage."""
    return {name: 1000 * stage.total / max(stage.count, 1) for name, stage in camera.pipeline.stages.items()}


def camera_status(camera: Camera) -> dict[str, Any]:
    """One camera, JSON-ready."""
    counts = camera.pipeline.counts
    seen = camera.pipeline.sightings()
    return {
        "source": camera.source,
        "state": camera.state,
        "error": str(camera.error) if camera.error else None,
        "frames": camera.frames,
        "frames_per_s": round(frames_per_s(camera), 2),
        "dropped": camera.dropped,
        "unusable": camera.unusable,
        "losses": camera.losses,
        "abandoned": camera.abandoned,
        **{key: counts[key] for key in ("faces", "tracks", "identified", "unknown", "rejected")},
        "searched": counts["searched"],
        "degraded": camera.pipeline.pace.degraded,
        "in_view": [name or state for _, name, state in seen],
        "people": sorted(name for _, name, _ in seen if name),
        "unknowns": sum(name is None and state == "unknown" for _, name, state in seen),
        "stage_ms": {name: round(value, 3) for name, value in stage_ms(camera).items()},
    }


def gallery_status(matcher: Matcher) -> dict[str, Any]:
    """What is matched against, JSON-ready; the threshold is None while nobody is enrolled."""
    calibration = matcher.calibration
    alike = calibration.alike_per_1000
    low, high = calibration.bounds or (None, None)
    return {
        "people": len(matcher.templates.names),
        "templates": len(matcher.templates.embeddings),
        "threshold": None if low is None else round(low, 4),
        "highest_threshold": None if high is None else round(high, 4),
        "margin": matcher.margin,
        "target_per_1000": calibration.target_per_1000,
        "expected_per_1000": round(calibration.expected_per_1000, 3),
        "alike_per_1000": None if alike is None else round(alike, 3),
        "raised_by_door": round(calibration.raised, 4),
        "refused": calibration.refused,
        "note": calibration.note,
    }


def gallery_line(status: Mapping[str, Any]) -> str:
    """What :func:`gallery_status` says, for people."""
    if status["threshold"] is None:
        return "nobody is enrolled, so everybody is a stranger: familiar enroll NAME PHOTO"
    enrolled = f"{status['people']} people, {status['templates']} templates"
    if status["refused"]:
        return f"{enrolled}; nobody is named"
    low, high = f"{status['threshold']:.2f}", f"{status['highest_threshold']:.2f}"
    alike = status["alike_per_1000"]
    return (
        f"{enrolled}; a name needs a score of {low if low == high else f'{low} to {high}, by person'}, which about "
        f"{status['expected_per_1000']:.2g} of 1,000 strangers reach"
        + ("" if alike is None else f", {alike:.2g} of those who look like the household")
        + f" (target: {status['target_per_1000']:g})"
    )


def opening_lines(config: Config, matcher: Matcher, bundle: str) -> list[str]:
    """What a daemon is about to do."""
    status = gallery_status(matcher)
    watched = ", ".join(f"{name} ({camera.source})" for name, camera in config.camera.items() if camera.source)
    watching = (
        f"watching {watched} with {bundle}" if watched else f"no camera yet; the page on {config.web.listen} helps"
    )
    lines = [watching, gallery_line(status)]
    return [*lines, status["note"]] if status["note"] and status["people"] else lines


def summary_lines(cameras: Mapping[str, Camera], events: EventLog) -> list[str]:
    """A few lines a camera, and one for the events."""
    lines = []
    for name, camera in cameras.items():
        counts = camera.pipeline.counts
        span_s = camera.latest_s - camera.started_s
        stages_s = sum(stage.total for stage in camera.pipeline.stages.values())
        runs = ", ".join(f"{stage} {value:.1f}" for stage, value in stage_ms(camera).items())
        lines += [
            f"{name}: {camera.frames} frames in {span_s:.1f} s ({frames_per_s(camera):.1f} a second), "
            f"{camera.dropped} dropped, lost {camera.losses} times",
            f"{name}: {counts['faces']} faces, {counts['tracks']} tracks: {counts['identified']} identified, "
            f"{counts['unknown']} unknown, {counts['rejected']} rejected",
            f"{name}: {1000 * stages_s / max(camera.frames, 1):.1f} ms a frame; ms a run: {runs or 'none ran'}",
        ]
    lines.append(f"events: {events.stored} stored, {events.lost} lost")
    return lines
