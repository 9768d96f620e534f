"""What Home Assistant reads in a message of device discovery: a schema of keys, by platform.

Stated from https://www.home-assistant.io/integrations/mqtt/ and the pages of its platforms. A key that is not here is
refused by Home Assistant, and with it the whole message.
"""

from __future__ import annotations

import re
from typing import Any

ABBREVIATIONS = {
    "avty": "availability", "avty_t": "availability_topic", "avty_tpl": "availability_template",
    "cmd_t": "command_topic", "cmps": "components", "dev": "device", "dev_cla": "device_class",
    "ent_cat": "entity_category", "ic": "icon", "json_attr_t": "json_attributes_topic", "o": "origin",
    "ops": "options", "p": "platform", "pl_off": "payload_off", "pl_on": "payload_on", "pl_prs": "payload_press",
    "stat_cla": "state_class", "stat_t": "state_topic", "uniq_id": "unique_id",
    "unit_of_meas": "unit_of_measurement", "val_tpl": "value_template",
}  # fmt: skip
DEVICE = {
    "cns": "connections", "cu": "configuration_url", "hw": "hw_version", "ids": "identifiers", "mdl": "model",
    "mdl_id": "model_id", "mf": "manufacturer", "name": "name", "sa": "suggested_area", "sn": "serial_number",
    "sw": "sw_version", "via_device": "via_device",
}  # fmt: skip
ORIGIN = {"name": "name", "sw": "sw_version", "url": "support_url"}
ROOT = {
    "device", "origin", "components", "availability", "availability_mode", "availability_topic",
    "availability_template", "payload_available", "payload_not_available", "command_topic", "state_topic", "qos",
    "encoding",
}  # fmt: skip
ENTITY = {
    "platform", "name", "unique_id", "default_entity_id", "icon", "entity_category", "enabled_by_default",
    "json_attributes_topic", "json_attributes_template", "qos", "encoding", "device_class",
}  # fmt: skip
OF_PLATFORM = {
    "sensor": {"state_topic", "value_template", "unit_of_measurement", "state_class", "options", "expire_after",
               "force_update", "suggested_display_precision", "last_reset_value_template"},
    "binary_sensor": {"state_topic", "value_template", "payload_on", "payload_off", "off_delay", "expire_after",
                      "force_update"},
    "number": {"state_topic", "value_template", "command_topic", "command_template", "min", "max", "step", "mode",
               "unit_of_measurement", "optimistic", "retain", "payload_reset"},
    "button": {"command_topic", "command_template", "payload_press", "retain"},
    "switch": {"state_topic", "value_template", "command_topic", "command_template", "payload_on", "payload_off",
               "state_on", "state_off", "optimistic", "retain"},
    "image": {"image_topic", "image_encoding", "content_type", "url_topic", "url_template"},
}  # fmt: skip
NEEDS = {
    "sensor": {"state_topic"}, "binary_sensor": {"state_topic"}, "number": {"command_topic"},
    "button": {"command_topic"}, "switch": {"command_topic"}, "image": {"image_topic"},
}  # fmt: skip
CLASSES = {
    "sensor": {"enum", "temperature", "timestamp"},
    "binary_sensor": {"connectivity", "occupancy", "presence"},
}
TOPIC = re.compile(r"homeassistant/device/[A-Za-z0-9_-]+/config")


def expanded(values: dict[str, Any], words: dict[str, str]) -> dict[str, Any]:
    """A mapping with whole words for abbreviations; a word given twice is a mistake."""
    found = {words.get(key, key): value for key, value in values.items()}
    assert len(found) == len(values), values
    return found


def check(topic: str, message: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Check a message of device discovery; its entities, in whole words, by unique id."""
    assert TOPIC.fullmatch(topic), topic
    whole = expanded(message, ABBREVIATIONS)
    assert set(whole) <= ROOT, set(whole) - ROOT
    device, origin = expanded(whole["device"], DEVICE), expanded(whole["origin"], ORIGIN)
    assert set(device) <= set(DEVICE.values()) and (device.get("identifiers") or device.get("connections"))
    assert set(origin) <= set(ORIGIN.values()) and origin["name"]
    entities = {}
    for values in whole["components"].values():
        entity = expanded(values, ABBREVIATIONS)
        platform = entity["platform"]
        allowed = ENTITY | OF_PLATFORM[platform]
        assert set(entity) <= allowed, (platform, set(entity) - allowed)
        assert NEEDS[platform] <= set(entity) and entity["unique_id"] and "object_id" not in entity
        assert re.fullmatch(rf"{platform}\.[a-z0-9_]+", entity["default_entity_id"]), entity["default_entity_id"]
        assert "device_class" not in entity or entity["device_class"] in CLASSES[platform]
        assert entity.get("entity_category") in (None, "config", "diagnostic")
        # Home Assistant refuses a sensor of the category config.
        assert platform not in ("sensor", "binary_sensor") or entity.get("entity_category") != "config"
        assert (entity.get("device_class") == "enum") == ("options" in entity)
        for key in entity:
            assert not key.endswith("_topic") or not set(entity[key]) & set("+#"), entity[key]
        assert entity["unique_id"] not in entities
        entities[entity["unique_id"]] = entity
    return entities
