"""Views that got a person's name and are not theirs, kept with the person."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from edge_runtime.errors import InputError
from edge_runtime.gallery.register import Register
from edge_runtime.gallery.templates import NegativeRecord
from edge_runtime.gallery.vault import negative_row
from edge_runtime.text.plain import printable
from edge_runtime.types import Floats


class Corrections(Register):
    """The part of a gallery that says who somebody was not."""

    def not_this(self, name: str, embedding: Floats, source: str, digest: bytes) -> int:
        """Keep a view that got a person's name and is not theirs; on disk for good when this returns.

        Args:
            name: the person's.
            embedding: float32 (D,) of unit length.
            source: which view, for people to read.
            digest: sha256 of what stands for the view; the same one again changes nothing.

        Raises:
            InputError: nobody is called so, or an unusable embedding.
        """
        self._check_embedding(embedding)
        with self._writing() as connection:
            known, vault = self._known(name), self._rows.vault
            for part in known.whole:
                place = part.person_id, part.keys.photo_mac(digest)
                kept = connection.execute(
                    "SELECT id FROM negative WHERE person_id = ? AND event_mac = ?", place
                ).fetchone()
                if kept is not None:
                    return int(kept["id"])
            person_id, keys = known.person_id, known.keys
            mac = keys.photo_mac(digest)
            last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'negative'").fetchone()
            negative_id = int(last[0]) + 1 if last else 1
            row = negative_row(person_id, negative_id)
            connection.execute(
                "INSERT INTO negative (id, person_id, code, source, added, event_mac) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    negative_id,
                    person_id,
                    vault.seal_embedding(keys.key, 1.0, embedding.astype(np.float32), row),
                    vault.seal(keys.key, printable(source).encode(errors="replace"), "source", row),
                    vault.seal_added(keys.key, time.time(), row, mac),
                    mac,
                ),
            )
            self._rows.audit("corrected", person_id)
            return negative_id

    def take_back(self, digest: bytes) -> tuple[list[str], list[str]]:
        """Undo :meth:`not_this`, and delete the templates made of the same view.

        Returns:
            Names of those of whom either was, and of those who keep the template, as it is their only one.
        """
        touched, only = list[str](), list[str]()
        with self._writing() as connection:
            for known, part in ((one, part) for one in self._rows.known() for part in one.whole):
                place = part.person_id, part.keys.photo_mac(digest)
                gone = connection.execute("DELETE FROM negative WHERE person_id = ? AND event_mac = ?", place).rowcount
                if self._rows.photo(*place) is not None:
                    if self._rows.count(part.person_id) > 1:
                        gone += connection.execute(
                            "DELETE FROM template WHERE person_id = ? AND photo_mac = ?", place
                        ).rowcount
                    else:
                        only.append(known.name)
                if gone:
                    self._rows.audit("uncorrected", part.person_id)
                    touched += [known.name] if known.name not in touched else []
        if touched:
            self._clean()
        return touched, only

    def corrected(self, views: Sequence[tuple[str, bytes]]) -> list[bool]:
        """Whether each view, as (id of the person whose name it got, digest), is kept as not that person's.

        Nor that of anybody merged into them.
        """
        with self._reading() as connection:
            rows = connection.execute("SELECT person_id, event_mac FROM negative").fetchall()
            kept = {(row["person_id"], row["event_mac"]) for row in rows}
            whole = {one.person_id: one.whole for one in self._rows.known()} if kept else {}
        return [
            any((part.person_id, part.keys.photo_mac(digest)) in kept for part in whole.get(who, ()))
            for who, digest in views
        ]

    def negatives(self, name: str) -> list[NegativeRecord]:
        """The views that got a person's name and are not theirs, oldest first; without what is damaged.

        Raises:
            InputError: nobody is called so.
        """
        with self._reading():
            known = self._known(name)
            return [
                NegativeRecord(row["id"], source, added_s)
                for row, source, added_s, _ in self._rows.negatives([known]).get(known.person_id, [])
            ]

    def _check_embedding(self, embedding: Floats) -> None:
        if embedding.shape != (self.embedding_size,) or not abs(float(np.linalg.norm(embedding)) - 1) < 1e-3:
            raise InputError(
                f"code: expected unit length and shape ({self.embedding_size},), received {embedding.shape}"
            )
