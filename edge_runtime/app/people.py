"""The people of this device: the daemon's if one is running, else those of the files."""

from __future__ import annotations

from edge_runtime.config import Config, socket_path
from edge_runtime.control.client import ControlClient
from edge_runtime.requests.access import PeopleAccess


def open_people(config: Config, enrolling: bool = False, strangers: bool = False) -> PeopleAccess:
    """The daemon's people if one is running, else those of the files.

    Args:
        config: says where socket, gallery, key and bundle are.
        enrolling: open the bundle too, and make the gallery if it is missing.
        strangers: open the strangers too.

    Raises:
        FamiliarError: daemon, bundle, detector, interpreter or gallery cannot be used.
    """
    client = ControlClient.connect(socket_path(config))
    if client is not None:
        return client
    # A client of the daemon needs neither models nor arrays, and loads none of what computes with them.
    from edge_runtime.app.own_people import open_files, open_for_enrolling

    return open_for_enrolling(config, strangers) if enrolling else open_files(config, strangers)
