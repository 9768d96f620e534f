"""Figures of a real daemon, read over HTTP and checked by Prometheus's own tool; and the files made for them."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from edge_runtime.config import MetricsConfig
from edge_runtime.daemon.service import Service
from edge_runtime.errors import ConfigError
from tests.builders import ROOT, make_bundle
from tests.mosquitto import free_port
from tests.running_service import LIVE, RunningService, make_config, until

pytest.importorskip("prometheus_client", reason="prometheus-client is missing: pip install 'familiar-edge[metrics]'")
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is missing: apt install prometheus"
)
MONITORING = ROOT / "docs/monitoring"


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
    assert "familiar_rejected_total" in page


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
    assert names_in((MONITORING / "alerts.yml").read_text()) - known(page) == set()


@needs_promtool
def test_the_alerts_are_sound_and_fire_when_they_should(tmp_path: Path) -> None:
    rules = MONITORING / "alerts.yml"
    done = subprocess.run(["promtool", "check", "rules", str(rules)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (tmp_path / "test.yml").write_text(
        f"""
rule_files: [{rules}]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: 'familiar_camera_up{{camera="front", instance="pi"}}'
        values: '1x10 0x20'
      - series: 'familiar_camera_up{{camera="back", instance="pi"}}'
        values: '1x30'
      - series: 'familiar_degraded{{instance="pi"}}'
        values: '0x10 1x20'
      - series: 'familiar_failing{{instance="pi"}}'
        values: '0x30'
      - series: 'familiar_events_lost_total{{instance="pi"}}'
        values: '0x20 3x10'
    alert_rule_test:
      - eval_time: 9m
        alertname: FamiliarCameraLost
        exp_alerts: []
      - eval_time: 17m
        alertname: FamiliarCameraLost
        exp_alerts:
          - exp_labels: {{camera: front, instance: pi, severity: warning}}
            exp_annotations:
              summary: "Camera front of pi is lost"
              description: "familiar status says why; it is tried again by itself."
      - eval_time: 17m
        alertname: FamiliarDegraded
        exp_alerts: []
      - eval_time: 25m
        alertname: FamiliarDegraded
        exp_alerts:
          - exp_labels: {{instance: pi, severity: warning}}
            exp_annotations:
              summary: "Familiar on pi is degraded"
              description: "familiar status says why."
      - eval_time: 15m
        alertname: FamiliarEventsLost
        exp_alerts: []
"""
    )
    done = subprocess.run(["promtool", "test", "rules", str(tmp_path / "test.yml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_every_query_of_the_dashboard_is_one(tmp_path: Path) -> None:
    dashboard = json.loads((MONITORING / "grafana.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = [{"record": f"checked:{number}", "expr": expr} for number, expr in enumerate(asked)]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    told = ["promtool", "check", "rules", str(tmp_path / "rules.yml")]
    done = subprocess.run(told, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
