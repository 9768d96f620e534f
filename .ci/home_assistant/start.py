"""What the app's container starts: Home Assistant's options into a configuration of Familiar, then the daemon.

    python3 start.py run | check

``check`` writes the configuration and lets ``familiar config check`` judge it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PAGE_PORT = 8470
PHOTOS = (".jpg", ".jpeg", ".png", ".webp")


def broker(options: Mapping[str, Any], supervisor: str, token: str) -> dict[str, Any] | None:
    """Host, port, user, password and tls of the broker: the options', else the one Home Assistant offers."""
    if host := options.get("mqtt_host"):
        told = {"port": options.get("mqtt_port"), "user": options.get("mqtt_user")}
        return {"host": host, "password": options.get("mqtt_password"), "tls": False, **told}
    asked = urllib.request.Request(f"{supervisor}/services/mqtt", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            data = json.load(answer)["data"]
    except (OSError, ValueError, KeyError) as error:
        print(f"familiar: Home Assistant offers no MQTT broker ({error}); events go to this log", file=sys.stderr)
        return None
    return {
        "host": data["host"],
        "port": int(data["port"]),
        "user": data.get("username"),
        "password": data.get("password"),
        "tls": bool(data.get("ssl")),
    }


def configuration(
    options: Mapping[str, Any], mqtt: Mapping[str, Any] | None, data: Path, bundle: Path, password: Path
) -> dict[str, Any]:
    """Familiar's configuration for these options.

    Args:
        options: as Home Assistant's form gives them.
        mqtt: see :func:`broker`.
        data: folder that lasts.
        bundle: folder of the bundle.
        password: file with the broker's password.
    """
    made: dict[str, Any] = {
        "bundle": {"path": str(bundle)},
        "camera": {one["name"]: {"source": one["source"]} for one in options["cameras"]},
        "decide": {"false_accepts_per_1000_strangers": float(options["false_accepts_per_1000_strangers"])},
        "gallery": {"path": str(data / "state/gallery.db"), "key_file": str(data / "keys/device.key")},
        "control": {"socket": str(data / "run/control.sock")},
        "events": {"keep": options["keep"], "keep_days": float(options["keep_days"])},
        "strangers": {"remember": options["remember_strangers"]},
        "log": {"level": options["log_level"]},
    }
    if options["page"]:
        cert, key = (str(Path("/ssl") / options[name]) for name in ("certfile", "keyfile"))
        listen = f"0.0.0.0:{PAGE_PORT}"
        made["web"] = {"listen": listen, "tls_cert": cert, "tls_key": key, "tokens": str(data / "state/tokens.json")}
    if mqtt is not None:
        sink = {"type": "mqtt", "host": mqtt["host"], "image": options["image"], "tls": mqtt["tls"]}
        sink |= {name: mqtt[name] for name in ("port", "user") if mqtt.get(name)}
        sink |= {"password_file": str(password)} if mqtt.get("password") else {}
        made["sink"] = [sink]
    return made


def toml(document: Mapping[str, Any]) -> str:
    """A document of tables, tables of tables and lists of tables as TOML."""
    lines = []
    for name, table in document.items():
        if isinstance(table, list):
            tables = [(f"[[{name}]]", each) for each in table]
        elif name == "camera":
            tables = [(f"[camera.{_value(each)}]", keys) for each, keys in table.items()]
        else:
            tables = [(f"[{name}]", table)]
        for head, keys in tables:
            lines += [head, *(f"{key} = {_value(value)}" for key, value in keys.items()), ""]
    return "\n".join(lines)


def _value(value: str | float | bool) -> str:
    """A JSON value is one of TOML too, but for one character that JSON lets stand."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def write(data: Path, bundle: Path, supervisor: str) -> Path:
    """Write the configuration for ``data/options.json``; returns its path."""
    options = json.loads((data / "options.json").read_text())
    for name in ("state", "keys", "run"):
        (data / name).mkdir(mode=0o700, exist_ok=True)
    mqtt = broker(options, supervisor, os.environ.get("SUPERVISOR_TOKEN", ""))
    password = data / "keys/mqtt"
    if mqtt is not None and mqtt.get("password"):
        _write_own(password, mqtt["password"])
    place = data / "familiar.toml"
    _write_own(place, toml(configuration(options, mqtt, data, bundle, password)))
    return place


def _write_own(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)


def familiar(config: Path, *words: str) -> list[str]:
    """A command of Familiar with this configuration."""
    return [sys.executable, "-m", "edge_runtime", *words, "--config", str(config)]


def enrol(config: Path, people: Path) -> None:
    """Enrol the photos in folders that are called as people are; one enrolled already is passed over."""
    for folder in sorted(path for path in people.glob("*") if path.is_dir()):
        photos = [str(path) for path in sorted(folder.iterdir()) if path.suffix.lower() in PHOTOS]
        if photos:
            subprocess.run(familiar(config, "enroll", folder.name, *photos), check=False)


def make_token(config: Path, tokens: Path) -> None:
    """The first token for the page, told once in the app's log."""
    if not tokens.exists():
        done = subprocess.run(
            familiar(config, "token", "add", "page", "--scope", "admin"), capture_output=True, text=True
        )
        print(f"familiar: the token for the page, shown this once: {done.stdout.strip() or done.stderr.strip()}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("action", choices=("run", "check"))
    parser.add_argument("--data", type=Path, default=Path("/data"))
    parser.add_argument("--bundle", type=Path, default=Path("/app/bundle"))
    parser.add_argument("--people", type=Path, default=Path("/share/familiar"))
    parser.add_argument("--supervisor", default="http://supervisor")
    args = parser.parse_args()
    config = write(args.data, args.bundle, args.supervisor)
    if args.action == "check":
        return subprocess.run(familiar(config, "config", "check")).returncode
    enrol(config, args.people)
    if json.loads((args.data / "options.json").read_text())["page"]:
        make_token(config, args.data / "state/tokens.json")
    sys.stdout.flush()
    os.execv(sys.executable, familiar(config, "run", "--json"))
    return 1


if __name__ == "__main__":
    sys.exit(main())
