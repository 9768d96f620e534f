"""The Home Assistant app: its folder as the device builds it, and its options through the real start script."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.bundle.folder import Bundle, file_digest
from edge_runtime.deploy.wheels import pins
from tests.builders import RELEASED, ROOT, draw_face, make_bundle
from tests.mosquitto import Broker, Reader, needs_mosquitto
from tests.waiting import wait_for

yaml = pytest.importorskip("yaml", reason="needs PyYAML: pip install '.[dev]'")

APP = ROOT / ".ci/home_assistant"

# What the developers' documentation of Home Assistant names for an app's config.yaml: required keys, the others that
# are used here, and the values of those that have a list of them.
REQUIRED = {"name", "version", "slug", "description", "arch"}
KNOWN = REQUIRED | {
    "machine", "url", "startup", "webui", "boot", "ports", "ports_description", "host_network", "host_ipc", "host_dbus",
    "host_pid", "devices", "homeassistant", "hassio_role", "hassio_api", "homeassistant_api", "privileged", "apparmor",
    "map", "environment", "audio", "video", "gpio", "usb", "uart", "udev", "options", "schema", "image", "timeout",
    "tmpfs", "discovery", "services", "auth_api", "ingress", "ingress_port", "panel_icon", "panel_title", "panel_admin",
    "stage", "init", "watchdog",
}  # fmt: skip
VALUES = {
    "startup": {"initialize", "system", "services", "application", "once"},
    "boot": {"auto", "manual"},
    "stage": {"stable", "experimental", "deprecated"},
}
ARCHES = {"armhf", "armv7", "aarch64", "amd64", "i386"}
MAPS = {"config", "ssl", "addons", "backup", "share", "media"}
_RANGE = r"(\(-?[\d.]*,-?[\d.]*\))?"
TYPE = re.compile(
    rf"(str{_RANGE}|bool|int{_RANGE}|float{_RANGE}|email|url|password|port|match\(.+\)|list\(.+\)|device)\??"
)


def described() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((APP / "config.yaml").read_text())
    return found


def test_the_description_has_what_home_assistant_asks_for_and_nothing_that_it_does_not_know() -> None:
    found = described()
    assert found.keys() >= REQUIRED and found.keys() <= KNOWN
    assert all(found[key] in values for key, values in VALUES.items())
    assert set(found["arch"]) <= ARCHES and set(found["map"]) <= MAPS
    assert found["services"] == ["mqtt:want"]
    assert re.fullmatch(r"[-_.A-Za-z0-9]+", found["slug"])


def test_every_option_has_a_type_and_every_default_is_of_it() -> None:
    found = described()

    def check(value: Any, kind: Any) -> None:
        if isinstance(kind, list):
            assert isinstance(value, list)
            for each in value:
                check(each, kind[0])
        elif isinstance(kind, dict):
            assert value.keys() == kind.keys()
            for name, inner in kind.items():
                check(value[name], inner)
        else:
            assert TYPE.fullmatch(kind), kind
            if kind.startswith("list("):
                assert value in kind[5:-1].split("|")
            elif low_high := re.fullmatch(r"float\((.*),(.*)\)", kind):
                assert float(low_high[1]) <= value <= float(low_high[2])
            else:
                assert isinstance(value, {"bool": bool, "str": str}[kind])

    optional = {name for name, kind in found["schema"].items() if isinstance(kind, str) and kind.endswith("?")}
    assert found["options"].keys() == found["schema"].keys() - optional
    for name, value in found["options"].items():
        check(value, found["schema"][name])
    assert all(TYPE.fullmatch(found["schema"][name]) for name in optional)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a user copies to the device."""
    out = tmp_path_factory.mktemp("addons") / "familiar"
    words = [sys.executable, ROOT / ".ci/home_assistant_app.py", "--out", out]
    subprocess.run(words, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True)
    return out


def test_the_folder_has_everything_that_its_dockerfile_copies_and_pip_installs(app: Path) -> None:
    dockerfile = (app / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (.+)$", dockerfile, re.MULTILINE):
        *sources, _ = line.split()
        assert all((app / source).exists() for source in sources), line
    (wheel,) = (app / "wheels").glob("*.whl")
    found = yaml.safe_load((app / "config.yaml").read_text())
    assert wheel.name.split("-")[1] == found["version"]
    for arch in found["arch"]:
        locked = {pin.name: pin for pin in pins((app / f"lock-{arch}.txt").read_text())}
        assert locked["familiar-edge"].digest == file_digest(wheel)[0]
        assert {"paho-mqtt", "starlette", "ai-edge-litert"} <= locked.keys()
    assert "-cp313.txt" in f"litert-aarch64-cp{dockerfile.split('python:')[1][:4].replace('.', '')}.txt"
    assert Bundle(app / "bundle").hash == Bundle(RELEASED).hash
    assert "mosquitto" in (app / "DOCS.md").read_text().lower()


class Supervisor:
    """What Home Assistant answers an app that asks for the broker."""

    def __init__(self, data: dict[str, Any] | None) -> None:
        supervisor = self
        self.tokens: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                supervisor.tokens.append(self.headers.get("Authorization", ""))
                known = data is not None and self.path == "/services/mqtt"
                body = json.dumps({"result": "ok", "data": data} if known else {"result": "error"}).encode()
                self.send_response(200 if known else 400)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def supervisors() -> Iterator[Any]:
    made: list[Supervisor] = []

    def start(data: dict[str, Any] | None) -> Supervisor:
        made.append(Supervisor(data))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "tiny").path


def words_for(action: str, data: Path, bundle: Path, supervisor: Supervisor, **options: Any) -> list[str]:
    (data / "options.json").write_text(json.dumps({**described()["options"], **options}))
    places = ["--data", data, "--bundle", bundle, "--supervisor", supervisor.url, "--people", data / "people"]
    return [sys.executable, str(APP / "start.py"), action, *map(str, places)]


def started(words: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SUPERVISOR_TOKEN": "t0ken"}
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, **more)


def shown(data: Path) -> dict[str, Any]:
    words = [sys.executable, "-m", "edge_runtime", "config", "show", "--json", "--config", str(data / "familiar.toml")]
    found: dict[str, Any] = json.loads(started(words).stdout)
    return found


BROKER = {
    "host": "core-mosquitto",
    "port": 1883,
    "ssl": False,
    "username": "addons",
    "password": 's3c"ret',
    "protocol": "5",
}


def test_the_options_as_they_come_make_a_sound_configuration(tmp_path: Path, bundle: Path, supervisors: Any) -> None:
    supervisor = supervisors(BROKER)
    done = started(words_for("check", tmp_path, bundle, supervisor))
    assert done.returncode == 0, done.stdout + done.stderr
    assert supervisor.tokens == ["Bearer t0ken"]
    config = shown(tmp_path)
    (sink,) = config["sink"]
    assert (sink["type"], sink["host"], sink["user"], sink["image"]) == ("mqtt", "core-mosquitto", "addons", "none")
    assert Path(sink["password_file"]).read_text() == BROKER["password"]
    assert Path(sink["password_file"]).stat().st_mode & 0o777 == 0o600
    assert BROKER["password"] not in (tmp_path / "familiar.toml").read_text()
    assert config["camera"]["front"]["source"] == "v4l2:0"


def test_every_option_reaches_the_configuration(tmp_path: Path, bundle: Path, supervisors: Any) -> None:
    options = {
        "cameras": [{"name": 'Tür "2"', "source": "synthetic:loop"}, {"name": "back", "source": "synthetic:realtime"}],
        "false_accepts_per_1000_strangers": 0.5, "keep": "clips", "keep_days": 7, "image": "snapshot",
        "remember_strangers": True, "log_level": "debug", "mqtt_host": "10.0.0.2", "mqtt_port": 8883, "mqtt_user": "me",
        "mqtt_password": "pw",
    }  # fmt: skip
    supervisor = supervisors(BROKER)
    done = started(words_for("check", tmp_path, bundle, supervisor, **options))
    assert done.returncode == 0, done.stdout + done.stderr
    assert supervisor.tokens == []  # the broker of the options is taken, unasked
    config = shown(tmp_path)
    assert {name: keys["source"] for name, keys in config["camera"].items()} == {
        'Tür "2"': "synthetic:loop",
        "back": "synthetic:realtime",
    }
    assert config["decide"]["false_accepts_per_1000_strangers"] == 0.5
    assert (config["events"]["keep"], config["events"]["keep_days"]) == ("clips", 7)
    assert (config["strangers"]["remember"], config["log"]["level"]) == (True, "debug")
    (sink,) = config["sink"]
    assert (sink["host"], sink["port"], sink["user"], sink["image"]) == ("10.0.0.2", 8883, "me", "snapshot")


def test_a_mistake_is_one_line_of_familiars_own(tmp_path: Path, bundle: Path, supervisors: Any) -> None:
    options = {"cameras": [{"name": "front", "source": "v4l3:0"}]}
    done = started(words_for("check", tmp_path, bundle, supervisors(None), **options))
    assert done.returncode == 3
    assert "v4l3" in done.stderr + done.stdout
    assert "offers no MQTT broker" in done.stderr


@needs_mosquitto
def test_the_app_enrols_from_the_shared_folder_and_tells_the_broker(
    tmp_path: Path, bundle: Path, supervisors: Any
) -> None:
    (tmp_path / "people/Ada").mkdir(parents=True)
    photo = np.ascontiguousarray(draw_face(0)[:, :, ::-1])
    assert cv2.imwrite(str(tmp_path / "people/Ada/one.png"), photo)
    broker = Broker(tmp_path / "broker")
    reader = Reader(broker.port)
    offered = {"host": "127.0.0.1", "port": broker.port, "ssl": False, "username": None, "password": None}
    cameras = [{"name": "front", "source": "synthetic:loop,realtime,fps=5"}]
    words = words_for("run", tmp_path, bundle, supervisors(offered), cameras=cameras)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as app:
        try:
            wait_for(lambda: any(topic.startswith("homeassistant/device/") for topic, _, _ in list(reader.messages)))
            wait_for(lambda: any("/front/" in topic for topic, _, _ in list(reader.messages)))
        finally:
            app.send_signal(signal.SIGTERM)
            out, err = app.communicate(timeout=60)
    assert app.returncode == 0, out + err
    assert any(b"Ada" in payload for _, payload, _ in reader.messages), out + err
    reader.close()
    broker.kill()
