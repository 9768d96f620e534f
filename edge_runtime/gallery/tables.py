"""What a gallery's file is."""

from __future__ import annotations

import sqlite3

from edge_runtime.errors import GalleryError
from edge_runtime.storage.database import Description

META = ("meta", "meta_copy")
"""Twice the same row, on pages of their own: without it nothing else could be read."""
_META = (
    "CREATE TABLE {} (id INTEGER PRIMARY KEY CHECK (id = 1), encoder_hash TEXT NOT NULL,"
    " preprocessing_hash TEXT NOT NULL, code_size INTEGER NOT NULL, bundle_name TEXT NOT NULL,"
    " gallery_id TEXT NOT NULL, key_check BLOB NOT NULL, mac BLOB NOT NULL) STRICT"
)
_NEGATIVE = (
    "CREATE TABLE negative (id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " person_id TEXT NOT NULL REFERENCES person (id) ON DELETE CASCADE, code BLOB NOT NULL, source BLOB NOT NULL,"
    " added BLOB NOT NULL, event_mac BLOB NOT NULL, UNIQUE (person_id, event_mac)) STRICT"
)
"""Views that were named wrongly."""
_MERGED = (
    "CREATE TABLE merged (person_id TEXT PRIMARY KEY REFERENCES person (id) ON DELETE CASCADE,"
    " into_id BLOB NOT NULL) STRICT"
)
"""Who is the same person as somebody else of the gallery, and who that is; without a row nobody but themselves."""


def _add_merged(connection: sqlite3.Connection) -> None:
    connection.execute(_MERGED)


GALLERY = Description(
    what="a gallery",
    application_id=0x46414D49,  # "FAMI", so that `file` and we know what it is
    schema=6,
    tables=(
        *map(_META.format, META),
        "CREATE TABLE person (id TEXT PRIMARY KEY, sealed_key BLOB NOT NULL, name BLOB NOT NULL,"
        " dates BLOB NOT NULL, consent BLOB) STRICT",
        "CREATE TABLE template (id INTEGER PRIMARY KEY AUTOINCREMENT,"
        " person_id TEXT NOT NULL REFERENCES person (id) ON DELETE CASCADE, code BLOB NOT NULL,"
        " source BLOB NOT NULL, added BLOB NOT NULL, photo_mac BLOB, crop BLOB, forced BLOB,"
        " UNIQUE (person_id, photo_mac)) STRICT",
        _NEGATIVE,
        _MERGED,
        "CREATE TABLE audit (id INTEGER PRIMARY KEY, at_s REAL NOT NULL, action TEXT NOT NULL,"
        " person_id TEXT NOT NULL, mac BLOB NOT NULL) STRICT",
    ),
    error=GalleryError,
    steps={5: _add_merged},
    keeps_copy=True,
)
"""No column says anything in the open that is believed: dates are sealed, the rest is signed."""
