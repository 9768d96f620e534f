"""Galleries of older versions made into this one's: a copy first, then everything in one transaction."""

from __future__ import annotations

import secrets
import sqlite3
from pathlib import Path

from edge_runtime.gallery.vault import Vault, negative_row, new_rotation
from edge_runtime.storage import sqlite as database


def copies(path: Path) -> list[Path]:
    """What migrations and changes of the encoder have left of this gallery beside it."""
    return sorted(found for kind in ("before", "of") for found in path.parent.glob(f"{path.name}.{kind}-*"))


def migrate(path: Path, connection: sqlite3.Connection, device_key: bytes) -> None:
    """Bring a gallery of schema 1 to the present one; nothing happens if another process was first.

    Everything is sealed anew, bound to a gallery id and with embeddings turned by a rotation of this gallery.

    Raises:
        GalleryError: the copy cannot be written, or a value was altered.
    """
    database.copy(connection, path.with_name(f"{path.name}.before-{database.SCHEMA}"))
    with database.explained(path), database.transaction(connection, write=True):
        if connection.execute("PRAGMA user_version").fetchone()[0] != 1:
            return
        for statement in (*database.FROM_1, *database.FROM_2):
            connection.execute(statement)
        meta = connection.execute("SELECT * FROM meta").fetchone()
        old = Vault(path, device_key, meta["encoder_hash"], "")
        new = Vault(path, device_key, meta["encoder_hash"], secrets.token_hex(16), new_rotation(int(meta["code_size"])))
        reseal(connection, old, new, renew=False)
        connection.execute(f"PRAGMA user_version = {database.SCHEMA}")


def extend(path: Path, connection: sqlite3.Connection) -> None:
    """Bring a gallery of schema 2 to the present one, which adds a table and changes nothing that is there."""
    with database.explained(path), database.transaction(connection, write=True):
        if connection.execute("PRAGMA user_version").fetchone()[0] != 2:
            return
        for statement in database.FROM_2:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {database.SCHEMA}")


def reseal(connection: sqlite3.Connection, old: Vault, new: Vault, renew: bool) -> None:
    """Open every value with one vault and seal it with another; in a transaction of the caller's.

    Args:
        connection: to the gallery.
        old: as everything is sealed now.
        new: as it is to be.
        renew: give each person a new key.

    Raises:
        GalleryError: a value was altered.
    """
    for person in connection.execute("SELECT * FROM person").fetchall():
        person_id = person["id"]
        before = old.open_keys(person_id, person["sealed_key"])
        after = before.renewed() if renew or before.key == before.photo_key else before
        values = {
            kind: None if person[kind] is None else old.open(before.key, person[kind], kind, person_id)
            for kind in ("name", "consent")
        }
        connection.execute(
            "UPDATE person SET sealed_key = ?, name = ?, consent = ? WHERE id = ?",
            (
                new.seal_keys(person_id, after),
                *(None if v is None else new.seal(after.key, v, kind, person_id) for kind, v in values.items()),
                person_id,
            ),
        )
        rows = connection.execute("SELECT * FROM template WHERE person_id = ?", (person_id,)).fetchall()
        for template in rows:
            row = f"{person_id}/{template['id']}"
            texts = [
                None
                if template[kind] is None
                else new.seal(after.key, old.open(before.key, template[kind], kind, row), kind, row)
                for kind in ("source", "crop", "forced")
            ]
            embedding = new.seal_embedding(after.key, *old.open_embedding(before.key, template["code"], row), row)
            connection.execute(
                "UPDATE template SET code = ?, source = ?, crop = ?, forced = ? WHERE id = ?",
                (embedding, *texts, template["id"]),
            )
        for negative in connection.execute("SELECT * FROM negative WHERE person_id = ?", (person_id,)).fetchall():
            row = negative_row(person_id, negative["id"])
            source = new.seal(after.key, old.open(before.key, negative["source"], "source", row), "source", row)
            embedding = new.seal_embedding(after.key, *old.open_embedding(before.key, negative["code"], row), row)
            connection.execute(
                "UPDATE negative SET code = ?, source = ? WHERE id = ?", (embedding, source, negative["id"])
            )
    connection.execute(
        "UPDATE meta SET gallery_id = ?, key_check = ?, rotation = ?",
        (new.gallery_id, new.key_check(), new.seal_rotation()),
    )
