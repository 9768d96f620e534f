"""The people this device knows: names and embeddings in SQLite, each value encrypted, nothing lost that was confirmed.

Names, embeddings and sources are sealed with a key per person, which the device key seals in turn; see ``vault``.
"""

from __future__ import annotations

import time
from dataclasses import replace
from difflib import get_close_matches

import numpy as np

from edge_runtime.errors import DamagedGalleryError, InputError, MissingError
from edge_runtime.gallery.corrections import Corrections
from edge_runtime.gallery.directory import STRANGER, Directory
from edge_runtime.gallery.exchange import MovedPerson, MovedTemplate
from edge_runtime.gallery.faults import REPAIR
from edge_runtime.gallery.names import clean_name
from edge_runtime.gallery.rows import Known
from edge_runtime.gallery.templates import Person, TemplateRecord, Templates
from edge_runtime.text.plain import printable
from edge_runtime.types import Floats

__all__ = ["Gallery", "Person", "TemplateRecord", "Templates"]

_SAME_EMBEDDING = 0.9999
"""Two embeddings this alike (cosine) are of the same photo."""

_NO_PHOTO = bytes(32)
"""In front of a kept crop, in the place of the photo's sha256, where that is not known."""

MAX_CONSENT = 2000
"""Characters of a consent note."""


class Gallery(Corrections):
    """Everybody enrolled; see :meth:`open`."""

    def people(self) -> list[Person]:
        """Everybody enrolled, in the order they were added."""
        with self._reading():
            return [self._rows.person(known) for known in self._rows.known()]

    def person(self, name: str) -> Person:
        """The person of that name; case does not matter.

        Raises:
            MissingError: nobody is called so.
        """
        with self._reading():
            known = self._rows.find(name)
            if known is not None:
                return self._rows.person(known)
            names = [other.name for other in self._rows.known()]
        near = get_close_matches(name, names, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else "familiar people list shows who is"
        if unreadable := self.damage().people:
            hint += f"; {unreadable} people are damaged and unreadable, see {REPAIR}"
        raise MissingError(f"{name!r}: nobody of this name is enrolled; {hint}")

    def records(self, name: str) -> list[TemplateRecord]:
        """What is kept of one person, oldest first; without what is damaged.

        Raises:
            MissingError: nobody is called so.
        """
        with self._reading():
            known = self._known(name)
            key = known.keys.key
            return [
                TemplateRecord(
                    row["id"],
                    self._rows.text(key, row, "source") or "",
                    weight,
                    self._rows.added(key, row),
                    self._rows.text(key, row, "forced"),
                    row["crop"] is not None,
                )
                for row, weight, _ in self._rows.templates(known)
            ]

    def templates(self) -> Templates:
        """Every embedding, decrypted; one moment of the gallery. Whoever's time is up is forgotten first."""
        self.forget_expired()
        with self._reading():
            people = self._rows.known()
            found = self._rows.all_templates(people)
            wrong = self._rows.negatives(people)
        numbers = {known.person_id: number for number, known in enumerate(people)}
        negatives = [(numbers[person_id], view[-1]) for person_id, views in wrong.items() for view in views]

        def rows(embeddings: list[Floats]) -> Floats:
            return np.array(embeddings, np.float32).reshape(-1, self.embedding_size)

        return Templates(
            tuple(known.name for known in people),
            np.array([place for place, _, _, _ in found], np.int64),
            rows([embedding for _, _, _, embedding in found]),
            np.array([weight for _, _, weight, _ in found], np.float32),
            np.array([template_id for _, template_id, _, _ in found], np.int64),
            rows([embedding for _, embedding in negatives]),
            np.array([number for number, _ in negatives], np.int64),
        )

    def forced(self) -> list[int]:
        """Ids of the templates that somebody insisted on."""
        with self._reading() as connection:
            return [row["id"] for row in connection.execute("SELECT id FROM template WHERE forced IS NOT NULL")]

    def directory(self) -> Directory:
        """Who is who, for the log of events; one moment of the gallery."""
        with self._reading():
            vault = self._rows.vault
            names, keys = {}, {STRANGER: vault.crop_key(vault.device_key)}
            for known in self._rows.known():
                names[known.person_id] = known.name
                keys[known.person_id] = vault.crop_key(known.keys.key)
            return Directory.of(names, keys, self._rows.forgotten())

    def has_photo(self, name: str, digest: bytes) -> int | None:
        """The template made from a photo for this person, by the sha256 of the photo's file; None if there is none."""
        with self._reading():
            known = self._rows.find(clean_name(name))
            return None if known is None else self._rows.photo(known.person_id, known.keys.photo_mac(digest))

    def add(
        self,
        name: str,
        embedding: Floats,
        quality_weight: float,
        source: str,
        digest: bytes | None = None,
        forced: str | None = None,
        crop: bytes | None = None,
        person_id: str | None = None,
    ) -> int:
        """Keep one embedding of a person, who is enrolled if new; on disk for good when this returns.

        Args:
            name: see ``names.clean_name``; if somebody has it already, in any case of letters, the photo is theirs.
            embedding: float32 (D,) of unit length.
            quality_weight: what it counts in the person's average, > 0.
            source: where it came from, for people to read.
            digest: sha256 of the photo's file; the same photo again changes nothing.
            forced: what spoke against it, where somebody insisted; kept, and noted in the audit.
            crop: JPEG of the face, to keep beside the embedding.
            person_id: that a new person is to have, as in another gallery of this device; None: one of their own.

        Returns:
            The template's id.

        Raises:
            InputError: an unusable name, embedding or weight.
            GalleryError: the disk is full or the database damaged.
        """
        name, source = clean_name(name), printable(source)
        embedding = np.asarray(embedding)
        self._check_embedding(embedding)
        if not 0 < quality_weight < float("inf"):
            raise InputError(f"quality_weight: expected a positive number, received {quality_weight!r}")
        with self._writing() as connection:
            known = self._rows.find(name)
            person_id = self._rows.insert(name, person_id) if known is None else known.person_id
            keys = self._rows.keys(person_id)
            mac = None if digest is None else keys.photo_mac(digest)
            photo = None if mac is None else self._rows.photo(person_id, mac)
            if photo is not None:
                return photo
            last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'template'").fetchone()
            template_id = int(last[0]) + 1 if last else 1
            row = f"{person_id}/{template_id}"
            kept = None if crop is None else self._rows.vault.seal(keys.key, (digest or _NO_PHOTO) + crop, "crop", row)
            vault, key = self._rows.vault, keys.key
            connection.execute(
                "INSERT INTO template (id, person_id, code, source, added, photo_mac, crop, forced)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    template_id,
                    person_id,
                    vault.seal_embedding(key, quality_weight, embedding.astype(np.float32), row),
                    vault.seal(key, source.encode(errors="replace"), "source", row),
                    vault.seal_added(key, time.time(), row, mac),
                    mac,
                    kept,
                    None if forced is None else vault.seal(key, forced.encode(), "forced", row),
                ),
            )
            if forced is not None:
                self._rows.audit("forced", person_id)
            return template_id

    def crop(self, template_id: int) -> tuple[bytes | None, bytes] | None:
        """What was kept of a template's face: sha256 of the photo's file, if known, and JPEG; None: nothing
        readable.
        """
        with self._reading() as connection:
            row = connection.execute("SELECT * FROM template WHERE id = ?", (template_id,)).fetchone()
            if row is None or row["crop"] is None:
                return None
            place = f"{row['person_id']}/{template_id}"
            try:
                kept = self._rows.vault.open(self._rows.keys(row["person_id"]).key, row["crop"], "crop", place)
            except DamagedGalleryError:
                return None
            digest, jpeg = kept[: len(_NO_PHOTO)], kept[len(_NO_PHOTO) :]
            return (None if digest == _NO_PHOTO else digest), jpeg

    def rename(self, old: str, new: str) -> Person:
        """Give a person another name.

        Raises:
            InputError: nobody is called ``old``, ``new`` is unusable, or is somebody else's.
        """
        new = clean_name(new)
        with self._writing() as connection:
            person, key = self.person(old), self._known(old).keys.key
            owner = self._rows.find(new)
            if owner is not None and owner.person_id != person.person_id:
                raise InputError(f"{new!r}: expected a free name, somebody else is called so; choose another")
            sealed = self._rows.vault.seal(key, new.encode(), "name", person.person_id)
            connection.execute("UPDATE person SET name = ? WHERE id = ?", (sealed, person.person_id))
            self._rows.audit("renamed", person.person_id)
        return replace(person, name=new)

    def drop(self, name: str, template_id: int) -> Person:
        """Delete one template of a person, who keeps at least one.

        Raises:
            InputError: nobody is called so, the template is not theirs, or their last one.
        """
        with self._writing() as connection:
            person = self.person(name)
            rows = connection.execute("SELECT id FROM template WHERE person_id = ?", (person.person_id,)).fetchall()
            if template_id not in {row["id"] for row in rows}:
                raise MissingError(
                    f"{template_id}: no photo of {person.name} has this number; familiar people show NAME"
                )
            if len(rows) == 1:
                raise InputError(f"{person.name}: this is the last photo; familiar people forget NAME")
            connection.execute("DELETE FROM template WHERE id = ?", (template_id,))
            self._rows.audit("dropped", person.person_id)
        self._clean()
        return replace(person, templates=person.templates - 1)

    def note(self, name: str, consent: str | None = None, expires_s: float | None = None) -> Person:
        """Keep what somebody agreed to, and until when.

        Args:
            name: the person's.
            consent: a note; None: the present one stays, "": none.
            expires_s: seconds since the Unix epoch after which the person is forgotten; None: as it is, inf: never.

        Raises:
            InputError: nobody is called so, the note is too long, or the time is past.
        """
        consent = None if consent is None else printable(consent)
        if consent is not None and len(consent) > MAX_CONSENT:
            raise InputError(f"consent: expected at most {MAX_CONSENT} characters, received {len(consent)}")
        if expires_s is not None and not expires_s > time.time():
            raise InputError("expiry: expected a time to come, received one that is past; to end it now, forget them")
        with self._writing() as connection:
            person, key = self.person(name), self._known(name).keys.key
            person_id, vault = person.person_id, self._rows.vault
            if consent is not None:
                sealed = vault.seal(key, consent.encode(), "consent", person_id)
                connection.execute(
                    "UPDATE person SET consent = ? WHERE id = ?", (sealed if consent else None, person_id)
                )
            if expires_s is not None:
                until_s = expires_s if expires_s < float("inf") else None
                dates = vault.seal_dates(person_id, person.added, until_s)
                connection.execute("UPDATE person SET dates = ? WHERE id = ?", (dates, person_id))
            self._rows.audit("noted", person_id)
            return self.person(name)

    def forget(self, name: str) -> Person:
        """Delete a person, their embeddings and their key, everywhere here; the audit keeps no name.

        That is the database, its write-ahead log, and the galleries that migrations, repairs and changes of the encoder
        have left beside it. A tombstone stays, written first: where a power cut comes between, the next opening
        finishes it.

        Raises:
            MissingError: nobody is called so.
        """
        with self._writing():
            person = self.person(name)
            self._tombstones.add([person.person_id])
            self._rows.delete(person.person_id, "forgotten")
        self._clean()
        return person

    def forget_expired(self) -> list[str]:
        """Forget everybody whose time is up; returns their opaque ids."""
        if not self.version[-1]:
            return []
        now_s = time.time()
        with self._writing():
            expired = [person_id for person_id, until_s in self._rows.expiries().items() if until_s <= now_s]
            self._tombstones.add(expired)
            for person_id in expired:
                self._rows.delete(person_id, "expired")
        self._clean()
        return expired

    def moved(self, names: list[str]) -> tuple[MovedPerson, ...]:
        """People ready for another device.

        Raises:
            MissingError: nobody is called so.
        """
        with self._reading():
            people = []
            for known in map(self._known, names):
                key, person = known.keys.key, self._rows.person(known)
                templates = tuple(
                    MovedTemplate(
                        embedding,
                        weight,
                        self._rows.text(key, row, "source") or "",
                        self._rows.text(key, row, "forced"),
                    )
                    for row, weight, embedding in self._rows.templates(known)
                )
                if templates:
                    people.append(MovedPerson(person.person_id, person.name, person.consent, person.expires, templates))
            return tuple(people)

    def note_export(self, names: list[str]) -> None:
        """Leave an audit line for everybody who was exported.

        Raises:
            MissingError: nobody is called so.
        """
        with self._writing():
            for name in names:
                self._rows.audit("exported", self.person(name).person_id)

    def take_moved(self, people: tuple[MovedPerson, ...], merge: bool, again: bool = False) -> tuple[int, int]:
        """Add people of another device, all or nobody; new ones keep the id they had there.

        Args:
            people: whose embeddings are of this gallery's encoder.
            merge: add to people of the same name; else such a name is refused.
            again: also people who were forgotten here; they get a new id.

        Returns:
            How many templates were added, and how many were here already.

        Raises:
            InputError: an unusable or a known name, an embedding that does not fit, or somebody who was forgotten here.
        """
        gone = [person.name for person in people if person.person_id in self._tombstones]
        if gone and not again:
            raise InputError(
                f"{', '.join(map(repr, gone))}: expected people who were not forgotten here, this file was made before "
                "they were; export it again without them, or add --forgotten to enrol them again"
            )
        added = known = 0
        with self._writing() as connection:
            ids = {row["id"] for row in connection.execute("SELECT id FROM person").fetchall()}
            for person in people:
                name = clean_name(person.name)
                here = self._rows.find(name)
                if here is not None and not merge:
                    raise InputError(f"{name!r}: somebody of this name is enrolled; rename one, or add --merge")
                have = self._embeddings_of(here)
                person_id = None if person.name in gone or person.person_id in ids else person.person_id
                for item in person.templates:
                    if (
                        item.embedding.shape == (self.embedding_size,)
                        and (have @ item.embedding > _SAME_EMBEDDING).any()
                    ):
                        known += 1
                        continue
                    self.add(name, item.embedding, item.weight, item.source, forced=item.forced, person_id=person_id)
                    added += 1
                now_here = self._rows.find(name)
                if here is None and now_here is not None:
                    expires = None if person.expires is None else max(person.expires, time.time() + 1)
                    self.note(name, person.consent, expires)
                if now_here is not None:
                    self._rows.audit("imported", now_here.person_id)
        return added, known

    def _known(self, name: str) -> Known:
        """The row of the person of that name; in a transaction.

        Raises:
            InputError: nobody is called so.
        """
        person_id = self.person(name).person_id
        return next(known for known in self._rows.known() if known.person_id == person_id)

    def _embeddings_of(self, known: Known | None) -> Floats:
        """A person's embeddings, float32 (T, D); in a transaction."""
        found = [] if known is None else [embedding for _, _, embedding in self._rows.templates(known)]
        return np.array(found, np.float32).reshape(-1, self.embedding_size)
