"""What Home Assistant gets, so that everything shows up there by itself: one message a device, a camera, a person.

https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload: ``dev`` (device), ``o`` (origin), ``cmps``
(entities by a name of ours, each with its platform ``p``). ``default_entity_id`` is ``platform.id``; ``object_id`` is
no longer read. Home Assistant computes templates (Jinja) itself; ours hold no text of anybody's.
"""

from __future__ import annotations

from typing import Any

from edge_runtime.sinks.mqtt.topics import Topics

Message = dict[str, Any]
_ONLINE = "{{ 'online' if value == 'online' else 'offline' }}"
NAME = "Familiar"


def device(topics: Topics, version: str, commands: bool, measures_temperature: bool) -> Message:
    """The device itself: its state, temperature and target FPIR, and a button for a re-check."""
    told = _Entities(topics)
    told.add("sensor", "state", "State", topics.state, "{{ value_json.state }}", ent_cat="diagnostic",
             dev_cla="enum", ops=["ok", "degraded", "failing"], json_attributes_topic=topics.state)  # fmt: skip
    told.add("sensor", "people", "People enrolled", topics.state, "{{ value_json.people }}", ent_cat="diagnostic")
    told.add("sensor", "expected", "Expected false accepts", topics.state, "{{ value_json.expected_per_1000 }}",
             ent_cat="diagnostic", unit_of_meas="per 1000 strangers", ic="mdi:account-question")  # fmt: skip
    if measures_temperature:
        told.add("sensor", "temperature", "Temperature", topics.state, "{{ value_json.temperature_c }}",
                 ent_cat="diagnostic", dev_cla="temperature", unit_of_meas="°C", stat_cla="measurement")  # fmt: skip
    target = {"ic": "mdi:target-account", "unit_of_meas": "per 1000 strangers"}
    if commands:
        told.add("number", "target_fpir", "Target FPIR", topics.state, "{{ value_json.target_per_1000 }}",
                 cmd_t=f"{topics.prefix}/target_fpir/set", min=0.001, max=1000, step=0.001, mode="box",
                 ent_cat="config", **target)  # fmt: skip
        told.add("button", "recheck", "Check again", cmd_t=f"{topics.prefix}/recheck/set", ent_cat="config")
    else:
        told.add("sensor", "target_fpir", "Target FPIR", topics.state, "{{ value_json.target_per_1000 }}",
                 ent_cat="diagnostic", **target)  # fmt: skip
    return _message(topics, {"ids": [topics.node], "name": NAME, "mf": NAME, "mdl": topics.node, "sw": version}, told)


def camera(topics: Topics, name: str, part: str, version: str, commands: bool, image: bool) -> Message:
    """A camera: who is in view, how many, the last face.

    Args:
        topics: of this device.
        name: of the camera.
        part: what stands for it in ids.
        version: of this program.
        commands: whether it can be switched.
        image: whether pictures of faces are published.
    """
    told = _Entities(topics, part)
    attributes = topics.camera(name, "attributes")
    told.add("sensor", "last_face", "Last recognised face", attributes, "{{ value_json.last_face }}",
             json_attributes_topic=attributes, ic="mdi:face-recognition")  # fmt: skip
    told.add("sensor", "person", "In view", topics.camera(name, "person"), ic="mdi:account-eye")
    told.add("sensor", "count", "Person count", attributes, "{{ value_json.count }}", stat_cla="measurement",
             ic="mdi:account-multiple")  # fmt: skip
    told.add("binary_sensor", "occupancy", "Occupancy", attributes, "{{ 'ON' if value_json.count else 'OFF' }}",
             dev_cla="occupancy")  # fmt: skip
    told.add("binary_sensor", "online", "Online", topics.camera(name, "status"),
             "{{ 'ON' if value == 'online' else 'OFF' }}", dev_cla="connectivity", ent_cat="diagnostic")  # fmt: skip
    if commands:
        told.add("switch", "enabled", "Enabled", topics.camera(name, "status"),
                 "{{ 'OFF' if value == 'disabled' else 'ON' }}", cmd_t=topics.camera(name, "enabled/set"),
                 ent_cat="config")  # fmt: skip
    if image:
        told.add("image", "face", "Last face", image_topic=topics.camera(name, "image"), content_type="image/jpeg")
    who = {"ids": [topics.unique(part)], "name": f"{NAME} {name}", "mf": NAME, "mdl": "camera", "sw": version}
    return _message(topics, {**who, "via_device": topics.node}, told)


def person(topics: Topics, person_id: str, name: str, level: str, version: str) -> Message:
    """A person: last seen where and when, and whether at home.

    Args:
        topics: of this device.
        person_id: opaque, of the gallery.
        name: what people call them.
        level: their level of topics.
        version: of this program.
    """
    told = _Entities(topics, "person", person_id, say=level.partition("-")[0])
    attributes = topics.person(level, "attributes")
    told.add("sensor", "last_camera", "Last camera", attributes, "{{ value_json.camera }}",
             json_attributes_topic=attributes, ic="mdi:map-marker-account")  # fmt: skip
    told.add("sensor", "last_seen", "Last seen", attributes, "{{ value_json.last_seen }}", dev_cla="timestamp")
    told.add("binary_sensor", "home", "Home", topics.person(level, "home"), dev_cla="presence",
             pl_on="home", pl_off="not_home")  # fmt: skip
    who = {"ids": [topics.unique("person", person_id)], "name": name, "mf": NAME, "mdl": "person", "sw": version}
    return _message(topics, {**who, "via_device": topics.node}, told)


class _Entities:
    """Collects the entities of one device of Home Assistant's."""

    def __init__(self, topics: Topics, *parts: str, say: str = "") -> None:
        self.found: dict[str, Message] = {}
        self._topics, self._parts = topics, parts
        self._spoken = (say,) if say else parts

    def add(
        self, platform: str, key: str, name: str, state: str | None = None, template: str | None = None, **more: Any
    ) -> None:
        given = {"state_topic": state, "value_template": template, **more}
        self.found[key] = {
            "p": platform,
            "name": name,
            "unique_id": self._topics.unique(*self._parts, key),
            "default_entity_id": f"{platform}.{self._topics.unique(*self._spoken, key).replace('-', '_').lower()}",
            **{each: value for each, value in given.items() if value is not None},
        }


def _message(topics: Topics, who: Message, told: _Entities) -> Message:
    return {
        "dev": who,
        "o": {"name": NAME, "sw": who["sw"]},
        "availability_topic": topics.available,
        "availability_template": _ONLINE,
        "qos": 1,
        "cmps": told.found,
    }
