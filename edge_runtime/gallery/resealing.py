"""Everything in a gallery sealed anew, in one transaction."""

from __future__ import annotations

import sqlite3

from edge_runtime.gallery.rows import audit_mac
from edge_runtime.gallery.vault import Vault, added_place, negative_row


def reseal(connection: sqlite3.Connection, old: Vault, new: Vault) -> None:
    """Open every value but the first rows with one vault, and seal it with another and with new keys of people.

    In a transaction of the caller's.

    Args:
        connection: to the gallery.
        old: as everything is sealed now.
        new: as it is to be.

    Raises:
        DamagedGalleryError: a value was altered.
    """
    for person in connection.execute("SELECT * FROM person").fetchall():
        person_id = person["id"]
        before = old.open_keys(person_id, person["sealed_key"])
        after = before.renewed()
        keys = before.key, after.key

        def moved(sealed: bytes | None, kind: str, row: str, keys: tuple[bytes, bytes] = keys) -> bytes | None:
            return None if sealed is None else new.seal(keys[1], old.open(keys[0], sealed, kind, row), kind, row)

        values = {kind: moved(person[kind], kind, person_id) for kind in ("name", "consent")}
        values["dates"] = moved(person["dates"], "dates", person_id, (old.device_key, new.device_key))
        connection.execute(
            "UPDATE person SET sealed_key = :sealed_key, name = :name, consent = :consent, dates = :dates"
            " WHERE id = :id",
            {"id": person_id, "sealed_key": new.seal_keys(person_id, after), **values},
        )
        rows = connection.execute("SELECT * FROM template WHERE person_id = ?", (person_id,)).fetchall()
        for template in rows:
            row = f"{person_id}/{template['id']}"
            values = {kind: moved(template[kind], kind, row) for kind in ("source", "crop", "forced")}
            values["added"] = moved(template["added"], "added", added_place(row, template["photo_mac"]))
            values["code"] = new.seal_embedding(after.key, *old.open_embedding(before.key, template["code"], row), row)
            connection.execute(
                "UPDATE template SET code = :code, source = :source, crop = :crop, forced = :forced, added = :added"
                " WHERE id = :id",
                {"id": template["id"], **values},
            )
        for link in connection.execute("SELECT * FROM merged WHERE person_id = ?", (person_id,)).fetchall():
            into_id = moved(link["into_id"], "merged", person_id)
            connection.execute("UPDATE merged SET into_id = ? WHERE person_id = ?", (into_id, person_id))
        for negative in connection.execute("SELECT * FROM negative WHERE person_id = ?", (person_id,)).fetchall():
            row = negative_row(person_id, negative["id"])
            values = {
                "source": moved(negative["source"], "source", row),
                "added": moved(negative["added"], "added", added_place(row, negative["event_mac"])),
                "code": new.seal_embedding(after.key, *old.open_embedding(before.key, negative["code"], row), row),
            }
            connection.execute(
                "UPDATE negative SET code = :code, source = :source, added = :added WHERE id = :id",
                {"id": negative["id"], **values},
            )
    for line in connection.execute("SELECT * FROM audit").fetchall():
        mac = audit_mac(new, line["id"], line["at_s"], line["action"], line["person_id"])
        connection.execute("UPDATE audit SET mac = ? WHERE id = ?", (mac, line["id"]))
