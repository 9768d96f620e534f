"""What is changed in a running daemon: cameras off and on, the target FPIR, a look at everybody again."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest

from edge_runtime.control.client import ControlClient
from edge_runtime.errors import InputError, UsageError
from tests.builders import make_bundle
from tests.running_service import LIVE, RunningService, make_config, until


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "tiny").path


def test_a_camera_is_switched_off_and_on_again(bundle: Path, tmp_path: Path) -> None:
    config = make_config(tmp_path, bundle, door=LIVE, gate=LIVE)
    with RunningService(config) as running:
        service = running.service
        until(lambda: all(c.state == "running" for c in service.cameras.values()) and len(service.cameras) == 2, "both")
        client = ControlClient.connect(Path(config.control.socket))
        assert client is not None
        pid = service.cameras["door"].capture and service.cameras["door"].capture.pid
        client.call("camera.switch", {"camera": "door", "on": False})
        assert running.next_event("camera_lost")["reason"] == "switched off"
        assert service.status()["cameras"]["door"]["state"] == "disabled"
        until(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text(), "it let go")
        assert service.health.state == "ok"
        client.call("camera.switch", {"camera": "door", "on": True})
        assert running.next_event("camera_back")["camera"] == "door"
        assert service.cameras["door"].losses == 0
        with pytest.raises(InputError, match="expected one of door, gate"):
            client.call("camera.switch", {"camera": "doer", "on": True})


def test_with_every_camera_switched_off_it_goes_on_and_is_well(bundle: Path, tmp_path: Path) -> None:
    with RunningService(make_config(tmp_path, bundle, door=LIVE)) as running:
        service = running.service
        until(lambda: [c.state for c in service.cameras.values()] == ["running"], "it runs")
        service.answer("camera.switch", {"camera": "door", "on": False}, b"")
        assert running.next_event("camera_lost")["reason"] == "switched off"
        time.sleep(0.3)
        assert (service.health.state, service.status()["cameras"]["door"]["state"]) == ("ok", "disabled")
        service.answer("camera.switch", {"camera": "door", "on": True}, b"")
        assert running.next_event("camera_back")["camera"] == "door"


def test_another_target_fpir_counts_at_once_and_until_a_reload(bundle: Path, tmp_path: Path) -> None:
    config = make_config(tmp_path, bundle, door=LIVE)
    with RunningService(config, reload_config=lambda: config) as running:
        service = running.service
        until(lambda: [c.state for c in service.cameras.values()] == ["running"], "it runs")
        service.answer("target", {"false_accepts_per_1000_strangers": 10.0}, b"")
        assert service.status()["gallery"]["target_per_1000"] == 10.0
        for wrong in (0.0, 1e9, math.nan):
            with pytest.raises(UsageError):
                service.answer("target", {"false_accepts_per_1000_strangers": wrong}, b"")
        service.answer("reload", {}, b"")
        assert service.status()["gallery"]["target_per_1000"] == 1.0


def test_a_recheck_looks_at_a_decided_face_at_once(bundle: Path, tmp_path: Path) -> None:
    config = make_config(tmp_path, bundle, door=LIVE)
    with RunningService(config) as running:
        service = running.service
        running.next_event("unknown")
        assert service.answer("camera.recheck", {}, b"") == {"cameras": ["door"]}
        with pytest.raises(InputError):
            service.answer("camera.recheck", {"camera": "gate"}, b"")
