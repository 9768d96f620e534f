"""The people this device knows: names and embeddings in SQLite, each value encrypted, nothing lost that was confirmed.

Names, embeddings and sources are sealed with a key per person, which the device key seals in turn; see ``vault``.
"""

from __future__ import annotations

import time

import numpy as np

from edge_runtime.errors import DamagedGalleryError, InputError, MissingError
from edge_runtime.gallery.corrections import Corrections
from edge_runtime.gallery.directory import STRANGER, Directory
from edge_runtime.gallery.exchange import MovedPerson, MovedTemplate
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

    def records(self, name: str) -> list[TemplateRecord]:
        """What is kept of one person, oldest first; without what is damaged.

        Raises:
            MissingError: nobody is called so.
        """
        with self._reading():
            return [
                TemplateRecord(
                    row["id"],
                    self._rows.text(owner, row, "source") or "",
                    weight,
                    self._rows.added(owner, row),
                    self._rows.text(owner, row, "forced"),
                    row["crop"] is not None,
                )
                for owner, row, weight, _ in self._rows.templates(*self._known(name).whole)
            ]

    def templates(self) -> Templates:
        """Every embedding, decrypted; one moment of the gallery. Whoever's time is up is forgotten first."""
        self.forget_expired()
        with self._reading():
            people = self._rows.known()
            found = self._rows.all_templates(people)
            wrong = self._rows.negatives(people)
            own = {known.person_id: self._embeddings_of(*known.whole) for known in people if known.parts}
        numbers = {known.person_id: number for number, known in enumerate(people)}
        negatives = [
            (numbers[person_id], view[-1])
            for person_id, views in wrong.items()
            for view in views
            # Of two who turned out to be one, a view of the one was kept as not the other's.
            if person_id not in own or not (own[person_id] @ view[-1] > _SAME_EMBEDDING).any()
        ]

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
            keys = {STRANGER: vault.crop_key(vault.device_key)}
            names, merged = dict[str, str](), dict[str, str]()
            for known in self._rows.known():
                names[known.person_id] = known.name
                keys |= {part.person_id: vault.crop_key(part.keys.key) for part in known.whole}
                merged |= {part.person_id: known.person_id for part in known.parts}
            return Directory.of(names, keys, self._rows.forgotten(), merged)

    def has_photo(self, name: str, digest: bytes) -> int | None:
        """The template made from a photo for this person, by the sha256 of the photo's file; None if there is none."""
        with self._reading():
            known = self._rows.find(clean_name(name))
            return None if known is None else self._photo(known, digest)

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
            if known is None:
                self.check_enrollable(name)
                person_id = self._rows.insert(name, person_id)
            else:
                person_id = known.person_id
                photo = None if digest is None else self._photo(known, digest)
                if photo is not None:
                    return photo
            keys = self._rows.keys(person_id)
            mac = None if digest is None else keys.photo_mac(digest)
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
            known = self._known(old)
            self.check_enrollable(new)
            owner = self._rows.find(new)
            if owner is not None and owner.person_id != known.person_id:
                raise InputError(f"{new!r}: expected a free name, somebody else is called so; choose another")
            sealed = self._rows.vault.seal(known.keys.key, new.encode(), "name", known.person_id)
            connection.execute("UPDATE person SET name = ? WHERE id = ?", (sealed, known.person_id))
            self._rows.audit("renamed", known.person_id)
            return self.person(new)

    def drop(self, name: str, template_id: int) -> Person:
        """Delete one template of a person, who keeps at least one; so does each who was merged into them.

        Raises:
            InputError: nobody is called so, the template is not theirs, or their last one.
        """
        with self._writing() as connection:
            known = self._known(name)
            row = connection.execute("SELECT person_id FROM template WHERE id = ?", (template_id,)).fetchone()
            owner = next((part for part in known.whole if row is not None and part.person_id == row["person_id"]), None)
            if owner is None:
                raise MissingError(
                    f"{template_id}: no photo of {known.name} has this number; familiar people show NAME"
                )
            if self._rows.count(owner.person_id) == 1:
                parted = " once they are two again: familiar people unmerge" if known.parts else ""
                raise InputError(f"{owner.name}: this is the last photo; familiar people forget NAME{parted}")
            connection.execute("DELETE FROM template WHERE id = ?", (template_id,))
            self._rows.audit("dropped", owner.person_id)
        self._clean()
        return self.person(name)

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

    def moved(self, names: list[str]) -> tuple[MovedPerson, ...]:
        """People ready for another device, with those merged into them.

        Raises:
            MissingError: nobody is called so.
        """
        with self._reading():
            people = []
            for known in (part for name in names for part in self._known(name).whole):
                person = self._rows.person(known)
                templates = tuple(
                    MovedTemplate(
                        embedding,
                        weight,
                        self._rows.text(known, row, "source") or "",
                        self._rows.text(known, row, "forced"),
                    )
                    for _, row, weight, embedding in self._rows.templates(known)
                )
                if templates:
                    people.append(
                        MovedPerson(known.person_id, known.name, person.consent, person.expires, templates, known.into)
                    )
            return tuple(people)

    def note_export(self, people: tuple[MovedPerson, ...]) -> None:
        """Leave an audit line for everybody who was exported."""
        with self._writing():
            for person in people:
                self._rows.audit("exported", person.person_id)

    def take_moved(self, people: tuple[MovedPerson, ...], merge: bool, again: bool = False) -> tuple[int, int]:
        """Add people of another device, all or nobody; new ones keep the id they had there, and stay merged.

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
        names = {person.person_id: person.name for person in people}
        fresh, added, known = list[MovedPerson](), 0, 0
        with self._writing() as connection:
            ids = {row["id"] for row in connection.execute("SELECT id FROM person").fetchall()}
            with self.apart():
                for person in people:
                    keeps_id = person.name not in gone and person.person_id not in ids
                    is_new, taken = self._take_one(person, merge, person.person_id if keeps_id else None)
                    fresh += [person] if is_new else []
                    added, known = added + taken, known + len(person.templates) - taken
            self.merge_again((one.name, names[one.into]) for one in fresh if one.into in names)
        return added, known

    def _take_one(self, person: MovedPerson, merge: bool, person_id: str | None) -> tuple[bool, int]:
        """Add one of them; whether they are new here, and how many templates were added."""
        name = clean_name(person.name)
        here, added = self._rows.find(name), 0
        if here is not None and not merge:
            raise InputError(f"{name!r}: somebody of this name is enrolled; rename one, or add --merge")
        have = self._embeddings_of(*[] if here is None else [here])
        for item in person.templates:
            if item.embedding.shape == (self.embedding_size,) and (have @ item.embedding > _SAME_EMBEDDING).any():
                continue
            self.add(name, item.embedding, item.weight, item.source, forced=item.forced, person_id=person_id)
            added += 1
        if here is None:
            expires = None if person.expires is None else max(person.expires, time.time() + 1)
            self.note(name, person.consent, expires)
        self._rows.audit("imported", self.person(name).person_id)
        return here is None, added

    def _photo(self, known: Known, digest: bytes) -> int | None:
        """The template made from a photo for a person or somebody merged into them; in a transaction."""
        found = (self._rows.photo(part.person_id, part.keys.photo_mac(digest)) for part in known.whole)
        return next((template_id for template_id in found if template_id is not None), None)

    def _embeddings_of(self, *owners: Known) -> Floats:
        """People's embeddings, float32 (T, D); in a transaction."""
        found = [embedding for _, _, _, embedding in self._rows.templates(*owners)]
        return np.array(found, np.float32).reshape(-1, self.embedding_size)
