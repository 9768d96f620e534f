"""A gallery as the first version wrote it, for what newer versions make of it."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import sqlite3
from pathlib import Path

import numpy as np

from edge_runtime.storage.keys import load_key, seal
from edge_runtime.types import Floats

_TABLES = """
CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 1), encoder_hash TEXT NOT NULL, preprocessing_hash TEXT NOT NULL,
 code_size INTEGER NOT NULL, bundle_name TEXT NOT NULL, created_s REAL NOT NULL, key_check BLOB NOT NULL) STRICT;
CREATE TABLE person (id TEXT PRIMARY KEY, sealed_key BLOB NOT NULL, name BLOB NOT NULL, added_s REAL NOT NULL) STRICT;
CREATE TABLE template (id INTEGER PRIMARY KEY AUTOINCREMENT, person_id TEXT NOT NULL REFERENCES person (id)
 ON DELETE CASCADE, code BLOB NOT NULL, source BLOB NOT NULL, photo_mac BLOB, crop BLOB, added_s REAL NOT NULL,
 UNIQUE (person_id, photo_mac)) STRICT;
CREATE TABLE audit (id INTEGER PRIMARY KEY, at_s REAL NOT NULL, action TEXT NOT NULL, person_id TEXT NOT NULL) STRICT;
PRAGMA application_id = 1178684745;
PRAGMA user_version = 1;
"""


def make_first_gallery(path: Path, key_file: Path, people: dict[str, Floats], encoder_hash: str) -> None:
    """Write it: each person with codes (T, D); the photo of code i has the digest of ``str(i)``."""
    device_key = load_key(key_file, create=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(_TABLES)
    size = next(iter(people.values())).shape[1]
    check = seal(device_key, b"familiar", f"check/{encoder_hash}")
    connection.execute(
        "INSERT INTO meta VALUES (1, ?, ?, ?, ?, 1.0, ?)", (encoder_hash, "p" * 64, size, "first", check)
    )
    for number, (name, codes) in enumerate(people.items()):
        person_id, key = secrets.token_hex(16), secrets.token_bytes(32)
        connection.execute(
            "INSERT INTO person VALUES (?, ?, ?, ?)",
            (
                person_id,
                seal(device_key, key, f"key/{person_id}/{encoder_hash}"),
                seal(key, name.encode(), f"name/{person_id}/{encoder_hash}"),
                float(number),
            ),
        )
        for place, code in enumerate(codes):
            template_id = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM template").fetchone()[0]
            row = f"{person_id}/{template_id}/{encoder_hash}"
            digest = hashlib.sha256(str(place).encode()).digest()
            connection.execute(
                "INSERT INTO template (id, person_id, code, source, photo_mac, added_s) VALUES (?, ?, ?, ?, ?, 2.0)",
                (
                    template_id,
                    person_id,
                    seal(key, np.concatenate([[1.5], code]).astype("<f4").tobytes(), f"code/{row}"),
                    seal(key, f"{place}.jpg".encode(), f"source/{row}"),
                    hmac.digest(key, b"photo/" + digest, hashlib.sha256),
                ),
            )
    connection.commit()
    connection.close()
