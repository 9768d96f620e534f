"""What Home Assistant is told has only keys that it knows, and ids that stay and are nobody else's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edge_runtime.sinks import read_sink
from edge_runtime.sinks.mqtt.settings import Settings
from edge_runtime.sinks.mqtt.states import States, parts
from edge_runtime.sinks.mqtt.topics import slug, slugs
from tests.edge_runtime.sinks.home_assistant import check

CAMERA = {"state": "running", "people": ["Ada"], "unknowns": 1}


def settings(**table: Any) -> Settings:
    found = read_sink({"type": "mqtt", "host": "h", "client_id": "familiar-pi", **table}, "here").settings
    assert isinstance(found, Settings)
    return found


def announced(people: dict[str, str], cameras: tuple[str, ...] = ("front",), **table: Any) -> dict[str, dict[str, Any]]:
    gallery = {"people": len(people), "target_per_1000": 1.0, "expected_per_1000": 0.9}
    status = {
        "state": "ok", "troubles": [], "temperature_c": 48.0, "gallery": gallery,
        "cameras": {name: CAMERA for name in cameras},
    }  # fmt: skip
    told = States(settings(**table), "1.0").retained(status, people, 1.0e9)
    return {topic: json.loads(text) for topic, text in told.items() if topic.startswith("homeassistant/")}


@pytest.mark.parametrize("commands", [False, True])
@pytest.mark.parametrize("image", ["none", "crop"])
def test_every_message_has_only_keys_that_home_assistant_knows(commands: bool, image: str) -> None:
    told = announced({"a1": "Ada", "b-2": "Bén"}, ("front", "Back door"), commands=commands, image=image)
    assert len(told) == 1 + 2 + 2
    entities: dict[str, dict[str, Any]] = {}
    for topic, message in told.items():
        found = check(topic, message)
        assert not set(found) & set(entities)
        entities |= found
    assert len({entity["default_entity_id"] for entity in entities.values()}) == len(entities)
    platforms = {entity["platform"] for entity in entities.values()}
    assert platforms == {"sensor", "binary_sensor", *(["number", "button", "switch"] if commands else [])} | (
        {"image"} if image != "none" else set()
    )
    assert all(("command_topic" in entity) <= commands for entity in entities.values())
    ids = [entity["default_entity_id"] for entity in entities.values()]
    for expected in (
        "sensor.familiar_pi_camera_front_last_face", "sensor.familiar_pi_camera_front_count",
        "binary_sensor.familiar_pi_camera_front_occupancy", "binary_sensor.familiar_pi_camera_back_door_online",
        "sensor.familiar_pi_ada_last_camera", "sensor.familiar_pi_ada_last_seen", "binary_sensor.familiar_pi_ada_home",
        "sensor.familiar_pi_temperature", "sensor.familiar_pi_state",
    ):  # fmt: skip
        assert expected in ids, expected


def test_a_schema_that_knows_everything_would_be_none() -> None:
    topic, message = next(iter(announced({}).items()))
    check(topic, message)
    for spoil in (
        lambda m: m.update(object_id="x"),
        lambda m: next(iter(m["cmps"].values())).update(object_id="x"),
        lambda m: next(iter(m["cmps"].values())).update(default_entity_id="x"),
        lambda m: m["dev"].pop("ids"),
        lambda m: m.pop("o"),
    ):
        worse = json.loads(json.dumps(message))
        spoil(worse)
        with pytest.raises((AssertionError, KeyError)):
            check(topic, worse)


def test_a_renamed_person_stays_the_same_entity() -> None:
    before, after = announced({"a1": "Ada"}), announced({"a1": "Adelaide"})
    assert set(before) == set(after)
    topic = "homeassistant/device/familiar_pi_person_a1/config"
    assert [e["unique_id"] for e in before[topic]["cmps"].values()] == [
        e["unique_id"] for e in after[topic]["cmps"].values()
    ]
    assert after[topic]["dev"]["name"] == "Adelaide"


def test_nothing_is_announced_of_people_or_at_all_if_not_wanted() -> None:
    assert not [topic for topic in announced({"a1": "Ada"}, presence=False) if "person" in topic]
    assert announced({"a1": "Ada"}, discovery=False) == {}


def test_levels_of_topics_are_plain_and_nobody_elses() -> None:
    assert slugs({}) == {}
    assert slug("Zoë  O'Neil/+#") == "zoe_o_neil"
    assert slugs({"a": "Zoë", "b": "Zoe", "c": "Ann"}) == {"a": "zoe-a", "b": "zoe-b", "c": "ann"}
    assert slugs({"a": "王伟"}) == {"a": "person-a"}
    assert len(slugs({"a": "x" * 80})["a"]) == 40
    found = parts({"Front door": 1, "front_door": 1, "后门": 1})
    assert len({*found.values()}) == 3 and all(slug(part) == part for part in found.values())


def test_a_last_face_is_nobodys_after_a_minute_and_home_ends() -> None:
    states = States(settings(away_after_h=1.0), "1.0")
    gallery = {"people": 1, "target_per_1000": 1.0, "expected_per_1000": 0.9}
    status = {"state": "ok", "troubles": [], "temperature_c": None, "gallery": gallery, "cameras": {"front": CAMERA}}
    people = {"a1": "Ada"}

    def seen(now_s: float) -> tuple[str, str, str]:
        told = states.retained(status, people, now_s)
        attributes = json.loads(told["familiar/front/attributes"])
        return (
            told["familiar/people/ada/home"].decode(),
            attributes["last_face"],
            told["familiar/front/person"].decode(),
        )

    assert seen(1e9) == ("home", "Ada", "Ada, unknown")
    status["cameras"] = {"front": {"state": "lost", "people": [], "unknowns": 0}}
    assert seen(1e9 + 59) == ("home", "Ada", "nobody")
    assert seen(1e9 + 61) == ("home", "None", "nobody")
    assert seen(1e9 + 3601) == ("not_home", "None", "nobody")
    people.clear()
    assert "Ada" not in str(states.retained(status, people, 1e9 + 3602))


@pytest.mark.parametrize(
    ("person", "camera", "at"),
    [
        ("a/b", "front", "2020-01-01T00:00:00+00:00"),
        ("a1", "gate", "2020-01-01T00:00:00+00:00"),
        ("a1", ["front"], "2020-01-01T00:00:00+00:00"),
        ("a1", "front", "yesterday"),
        ("a1", "front", "9999-12-31T00:00:00+00:00"),
        ("a1", "front", 7),
        (None, "front", "2020-01-01T00:00:00+00:00"),
    ],
)
def test_what_a_broker_claims_to_remember_is_believed_only_if_it_can_be(person: Any, camera: Any, at: Any) -> None:
    states = States(settings(), "1.0")
    states.recall(person, camera, at, {"front": {}})
    assert states.seen == {}
    states.recall("a1", "front", "2020-01-01T00:00:00+00:00", {"front": {}})
    assert states.seen["a1"].camera == "front"
