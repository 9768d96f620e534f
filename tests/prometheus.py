"""A real Prometheus of a test's own, which reads one daemon's figures; and what the dashboard asks it."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.builders import ROOT
from tests.mosquitto import free_port
from tests.waiting import wait_for

PROGRAM = shutil.which("prometheus")
needs_prometheus = pytest.mark.skipif(PROGRAM is None, reason="prometheus is missing: apt install prometheus")
MONITORING = ROOT / "docs/monitoring"


class Query(NamedTuple):
    """What a panel asks."""

    expr: str
    legend: str


class Panel(NamedTuple):
    """Of the dashboard."""

    title: str
    kind: str
    place: dict[str, int]
    unit: str
    queries: list[Query]


def panels() -> list[Panel]:
    """The dashboard's, with every device chosen."""
    found = json.loads((MONITORING / "grafana.json").read_text())["panels"]
    return [
        Panel(
            one["title"],
            one["type"],
            one["gridPos"],
            one["fieldConfig"]["defaults"]["unit"],
            [Query(each["expr"].replace("$instance", ".+"), each["legendFormat"]) for each in one["targets"]],
        )
        for one in found
    ]


class Prometheus:
    """Reads ``/metrics`` at a port of this machine every second, with the alert rules of the documentation."""

    def __init__(self, folder: Path, target_port: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        jobs = [{"job_name": "familiar", "static_configs": [{"targets": [f"127.0.0.1:{target_port}"]}]}]
        document = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(MONITORING / "alerts.yml")],
            "scrape_configs": jobs,
        }
        (folder / "prometheus.yml").write_text(json.dumps(document))  # JSON is YAML
        words = [str(PROGRAM), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                 f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"]  # fmt: skip
        with (folder / "prometheus.log").open("w") as said:
            self._process = subprocess.Popen(words, stdout=said, stderr=said)
        wait_for(lambda: self._process.poll() is not None or self._answers())
        assert self._process.poll() is None, (folder / "prometheus.log").read_text()

    def _answers(self) -> bool:
        try:
            return bool(self._ask("/api/v1/status/buildinfo"))
        except OSError:
            return False

    def _ask(self, path: str, **given: str) -> Any:
        url = f"http://127.0.0.1:{self.port}{path}?{urllib.parse.urlencode(given)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]

    def now(self, expr: str) -> list[dict[str, Any]]:
        """What a query gives at this moment: ``metric`` and ``value`` each."""
        return list(self._ask("/api/v1/query", query=expr)["result"])

    def between(self, expr: str, first_s: float, last_s: float, step_s: float) -> list[dict[str, Any]]:
        """What a query gives over a time: ``metric`` and ``values`` each."""
        span = {"start": f"{first_s:.3f}", "end": f"{last_s:.3f}", "step": f"{step_s:g}"}
        return list(self._ask("/api/v1/query_range", query=expr, **span)["result"])

    def alerts(self) -> dict[str, str]:
        """State of each alert that is not quiet, ``pending`` or ``firing``, by its name."""
        return {one["labels"]["alertname"]: one["state"] for one in self._ask("/api/v1/alerts")["alerts"]}

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)
