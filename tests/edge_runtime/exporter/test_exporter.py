"""Figures of a real daemon, read over HTTP and checked by Prometheus's own tool; and the files made for them."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.config import MetricsConfig
from edge_runtime.daemon.service import Service
from edge_runtime.errors import ConfigError
from edge_runtime.sinks import read_sinks
from tests.builders import make_bundle
from tests.mosquitto import free_port
from tests.prometheus import MONITORING, Prometheus, needs_prometheus, panels
from tests.running_service import LIVE, RunningService, make_config, until

pytest.importorskip("prometheus_client", reason="prometheus-client is missing: pip install 'familiar-edge[metrics]'")
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is missing: apt install prometheus"
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "tiny").path


@pytest.fixture(scope="module")
def page(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a daemon with two cameras tells after somebody was seen."""
    config = make_config(tmp_path_factory.mktemp("page"), bundle, door=LIVE, gate=LIVE)
    port = free_port()
    config = dataclasses.replace(config, metrics=MetricsConfig(f"127.0.0.1:{port}"))
    with RunningService(config) as running:
        running.next_event("unknown")
        until(lambda: len(running.service.cameras) == 2, "both")
        return read(port)


def read(port: int, path: str = "/metrics") -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        return str(answer.read().decode())


def families(page: str) -> set[str]:
    return set(re.findall(r"^# TYPE (\S+) ", page, re.M))


def value(page: str, series: str) -> float:
    found = re.search(rf"^{re.escape(series)} (\S+)$", page, re.M)
    assert found is not None, series
    return float(found[1])


def test_everything_that_is_promised_is_there(page: str) -> None:
    for series in (
        'familiar_camera_fps{camera="door"}', 'familiar_skipped_frames_total{camera="door"}',
        'familiar_camera_reconnects_total{camera="gate"}', 'familiar_camera_up{camera="door"}',
        'familiar_faces_total{camera="door",result="known"}', 'familiar_faces_total{camera="door",result="rejected"}',
        "familiar_gallery_templates", "familiar_expected_false_accepts_per_1000", "familiar_degraded",
        "familiar_events_stored_total", 'familiar_stage_seconds_count{stage="detect"}', "familiar_match_score_count",
        "process_resident_memory_bytes",
    ):  # fmt: skip
        assert value(page, series) >= 0, series
    assert (
        value(page, 'familiar_faces_total{camera="door",result="unknown"}')
        + value(page, 'familiar_faces_total{camera="gate",result="unknown"}')
        >= 1
    )
    assert value(page, 'familiar_stage_seconds_bucket{le="+Inf",stage="encode"}') == value(
        page, 'familiar_stage_seconds_count{stage="encode"}'
    )
    assert re.search(r'^familiar_build_info\{.*accelerator="cpu".*\} 1\.0$', page, re.M)
    assert value(page, 'familiar_rejected_total{reason="blurred"}') >= 0


@needs_promtool
def test_prometheus_finds_nothing_to_correct(page: str) -> None:
    ours = "".join(line + "\n" for line in page.splitlines() if "process_" not in line)
    done = subprocess.run(["promtool", "check", "metrics"], input=ours, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_labels_name_no_person_and_are_bounded(page: str) -> None:
    assert set(re.findall(r'[{,](\w+)="', page)) <= {
        "camera", "result", "reason", "stage", "le", "sink", "version", "model", "runtime", "accelerator",
    }  # fmt: skip
    assert len(page.splitlines()) < 400


def test_a_reader_is_bounded_and_others_still_read(bundle: Path, tmp_path: Path) -> None:
    port = free_port()
    config = dataclasses.replace(make_config(tmp_path, bundle, door=LIVE), metrics=MetricsConfig(f"127.0.0.1:{port}"))
    with RunningService(config) as running:
        until(lambda: running.service.status()["cameras"] != {}, "it runs")
        before = threading.active_count()
        held = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
        for each in held:
            each.sendall(b"GET /metr")
        assert threading.active_count() - before <= 5
        for each in held:
            each.close()
        until(lambda: "familiar_degraded" in _tried(port), "others read again")
        for path, code in (("/", 404), ("/metrics/../etc/passwd", 404)):
            with pytest.raises(urllib.error.HTTPError) as caught:
                read(port, path)
            assert caught.value.code == code
    with pytest.raises(OSError):
        read(port)


def _tried(port: int) -> str:
    try:
        return read(port)
    except OSError:
        return ""


@pytest.mark.parametrize("listen", ["9108", "localhost:", "127.0.0.1:99999", "203.0.113.9:9108", "127.0.0.1:taken"])
def test_an_address_that_cannot_be_used_is_a_configuration_error(bundle: Path, tmp_path: Path, listen: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = listen.replace("taken", str(taken.getsockname()[1]))
        config = dataclasses.replace(make_config(tmp_path, bundle, door=LIVE), metrics=MetricsConfig(listen))
        with pytest.raises(ConfigError, match=r"\[metrics\] listen: expected"):
            Service(config)


# The files for Prometheus and Grafana.


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\bfamiliar_[a-z0-9_]+", text))


def known(page: str) -> set[str]:
    found = families(page)
    more = {"familiar_device_temperature_celsius"}
    return found | more | {f"{name}{end}" for name in found for end in ("_bucket", "_sum", "_count")}


def test_alerts_and_dashboard_ask_only_for_what_there_is(page: str) -> None:
    dashboard = json.loads((MONITORING / "grafana.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(asked) > 10 and len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert names_in(" ".join(asked)) - known(page) == set()
    heatmaps = [target for panel in dashboard["panels"] if panel["type"] == "heatmap" for target in panel["targets"]]
    assert {target.get("format") for target in heatmaps} == {"heatmap"}, "else buckets are drawn as sums of those below"
    assert names_in((MONITORING / "alerts.yml").read_text()) - known(page) == set()


@dataclasses.dataclass(frozen=True)
class Case:
    """When an alert is to fire: series by the minute, the last quiet minute looked at, and one in which it fires."""

    series: dict[str, str]
    quiet: int
    fires: int
    summary: str
    description: str
    labels: dict[str, str] = dataclasses.field(default_factory=dict)


SINK = "sink=\"mqtt:'a'\""
CASES = {
    "FamiliarAway": Case(
        {'up{job="familiar", instance="pi"}': "1x9 0x50"}, 12, 14,
        "Familiar on pi does not answer", "On the device: systemctl status familiar", {"job": "familiar"},
    ),
    "FamiliarFailing": Case(
        {'familiar_failing{instance="pi"}': "0x9 1x50"}, 10, 12,
        "Familiar on pi does nothing useful", "familiar status says why.",
    ),
    "FamiliarDegraded": Case(
        {'familiar_degraded{instance="pi"}': "0x9 1x50", 'familiar_failing{instance="pi"}': "0x59"}, 19, 21,
        "Familiar on pi is degraded", "familiar status says why.",
    ),
    "FamiliarCameraLost": Case(
        {'familiar_camera_up{camera="front", instance="pi"}': "1x9 0x50",
         'familiar_camera_up{camera="back", instance="pi"}': "1x59"}, 14, 16,
        "Camera front of pi is lost", "familiar status says why; it is tried again by itself.", {"camera": "front"},
    ),
    "FamiliarCameraUnsteady": Case(
        {'familiar_camera_reconnects_total{camera="front", instance="pi"}': "0x60 0+1x9 9x40"}, 65, 68,
        "Camera front of pi is lost again and again", "7 times in an hour; look at its cable, power or network.",
        {"camera": "front"},
    ),
    "FamiliarSinkDown": Case(
        {f'familiar_sink_up{{{SINK}, instance="pi"}}': "1x9 0x50",
         f'familiar_sink_behind_events{{{SINK}, instance="pi"}}': "0x9 7x50",
         f'familiar_sink_behind_events{{{SINK}, instance="another"}}': "99x59"}, 19, 21,
        "Sink mqtt:'a' of pi takes no events", "7 events wait. familiar status says why.", {"sink": "mqtt:'a'"},
    ),
    "FamiliarEventsLost": Case(
        {'familiar_events_lost_total{instance="pi"}': "0x9 3x50",
         f'familiar_sink_skipped_total{{{SINK}, instance="pi"}}': "0x59"}, 9, 11,
        "Familiar on pi has lost events",
        "The disk took none for too long, or [events] keep_mb was reached before a sink had them.",
    ),
    "FamiliarNobodyIsNamed": Case(
        {'familiar_expected_false_accepts_per_1000{instance="pi"}': "1x9 4x50",
         'familiar_target_false_accepts_per_1000{instance="pi"}': "1x59"}, 19, 21,
        "pi cannot keep its target FPIR", "familiar calibrate says why, and what it would cost to allow more.",
    ),
    "FamiliarHot": Case(
        {'familiar_device_temperature_celsius{instance="pi"}': "60x9 81x50"}, 19, 21,
        "pi is at 81 °C", "A Raspberry Pi slows down from 80 °C on; faces are looked for less often.",
    ),
}  # fmt: skip


@needs_promtool
def test_every_alert_fires_when_it_should_and_not_before(tmp_path: Path) -> None:
    rules = MONITORING / "alerts.yml"
    done = subprocess.run(["promtool", "check", "rules", str(rules)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    severity = dict(re.findall(r"alert: (\w+)\n.*?severity: (\w+)", rules.read_text(), re.S))
    assert severity.keys() == CASES.keys()
    tests = []
    for name, case in CASES.items():
        fired = {
            "exp_labels": {"instance": "pi", "severity": severity[name], **case.labels},
            "exp_annotations": {"summary": case.summary, "description": case.description},
        }
        looks = {case.quiet: [], case.fires: [fired]}
        tests.append({
            "interval": "1m",
            "input_series": [{"series": one, "values": values} for one, values in case.series.items()],
            "alert_rule_test": [
                {"eval_time": f"{minute}m", "alertname": name, "exp_alerts": alerts} for minute, alerts in looks.items()
            ],
        })  # fmt: skip
    document = {"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "test.yml").write_text(json.dumps(document, ensure_ascii=False))  # JSON is YAML
    done = subprocess.run(["promtool", "test", "rules", str(tmp_path / "test.yml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
def test_a_real_prometheus_answers_every_query_of_the_dashboard_and_alerts(bundle: Path, tmp_path: Path) -> None:
    """With a sink that takes nothing, and a camera that is lost."""
    port, nobody = free_port(), free_port()
    config = make_config(tmp_path, bundle, door=LIVE, gone=f"rtsp://127.0.0.1:{nobody}/live")
    sink = read_sinks([{"type": "webhook", "url": f"http://127.0.0.1:{nobody}/", "name": "away"}], "test")
    config = dataclasses.replace(config, sink=sink, metrics=MetricsConfig(f"127.0.0.1:{port}"))
    with RunningService(config) as running:
        prometheus = Prometheus(tmp_path / "prometheus", port)
        try:
            until(lambda: prometheus.now('familiar_faces_total{result="unknown"} > 0'), "somebody is seen")
            silent = {query.expr for panel in panels() for query in panel.queries}
            if running.service.status()["temperature_c"] is None:
                silent -= {expr for expr in silent if "temperature" in expr}  # this machine has no sensor

            def answered() -> bool:
                silent.difference_update([expr for expr in silent if _has_numbers(prometheus.now(expr))])
                return not silent

            until(answered, f"an answer to {silent}")
            until(lambda: "FamiliarSinkDown" in prometheus.alerts(), "the alert of the sink")
            assert prometheus.alerts().keys() >= {"FamiliarSinkDown", "FamiliarCameraLost", "FamiliarDegraded"}
        finally:
            prometheus.close()


def _has_numbers(found: list[dict[str, Any]]) -> bool:
    return any(not math.isnan(float(one["value"][1])) for one in found)


@needs_promtool
def test_every_query_of_the_dashboard_is_one(tmp_path: Path) -> None:
    dashboard = json.loads((MONITORING / "grafana.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = [{"record": f"checked:{number}", "expr": expr} for number, expr in enumerate(asked)]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    told = ["promtool", "check", "rules", str(tmp_path / "rules.yml")]
    done = subprocess.run(told, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
