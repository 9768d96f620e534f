"""Events, states and requests over MQTT, with discovery for Home Assistant; needs paho-mqtt.

https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html, and https://www.home-assistant.io/integrations/mqtt/
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_runtime.errors import ConfigError
from edge_runtime.sinks.mqtt.settings import Settings

if TYPE_CHECKING:
    from edge_runtime.sinks.mqtt.sink import MqttSink

__all__ = ["Settings", "open"]


def open(settings: Settings) -> MqttSink:
    """A sink to this broker, which need not be there.

    Raises:
        ConfigError: paho-mqtt is not installed, or a secret or certificate cannot be read.
    """
    try:
        from edge_runtime.sinks.mqtt.sink import MqttSink
    except ImportError as error:
        if not (error.name or "").startswith("paho"):
            raise
        raise ConfigError(
            "sink mqtt: expected paho-mqtt, it is not installed; pip install 'familiar-edge[mqtt]'"
        ) from error
    return MqttSink(settings)
