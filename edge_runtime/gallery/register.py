"""Who is enrolled: looked up by name, made one with somebody and two again, and forgotten."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

from edge_runtime.errors import InputError, MissingError
from edge_runtime.gallery.faults import REPAIR
from edge_runtime.gallery.file import GalleryFile
from edge_runtime.gallery.rows import Known
from edge_runtime.gallery.templates import Person


class Register(GalleryFile):
    """The part of a gallery that says who is who.

    Whoever is merged keeps their row, key, photos and dates; only whom they are part of is noted. So a merge and its
    undoing are one row each, and an undoing gives back exactly what there was.
    """

    def people(self) -> list[Person]:
        """Everybody enrolled, in the order they were added; without those who were merged."""
        with self._reading():
            return [self._rows.person(known) for known in self._rows.known()]

    def person(self, name: str) -> Person:
        """The person of that name; case does not matter.

        Raises:
            MissingError: nobody is called so.
        """
        with self._reading():
            return self._rows.person(self._known(name))

    def merge(self, name: str, into: str) -> Person:
        """Take somebody for the same person as another one, who keeps name, note and expiry.

        Photos and events of both are the other one's from then on. The name stays taken.

        Raises:
            MissingError: nobody is called so.
            InputError: both names are one person's.
        """
        with self._writing():
            known, other = self._known(name), self._known(into)
            if known.person_id == other.person_id:
                raise InputError(f"{into!r}: expected somebody else than {known.name!r} to merge them into")
            self._rows.merge(known, other.person_id)
            return self.person(into)

    def unmerge(self, name: str) -> Person:
        """Undo :meth:`merge`: photos, name, note and expiry are as they were, but for photos deleted since.

        What was enrolled meanwhile stays with the other one.

        Args:
            name: that the merged person had.

        Raises:
            MissingError: nobody is or was called so.
            InputError: they are not merged.
        """
        with self._writing():
            held = self._rows.holder(name)
            if held is None or held[0].into is None:
                person = self.person(name)
                raise InputError(
                    f"{person.name!r}: expected somebody who was merged into another, they were not; "
                    "familiar people show NAME says who was"
                )
            self._rows.unmerge(held[0].person_id)
            return self.person(name)

    def check_enrollable(self, name: str) -> None:
        """Make sure that somebody can be enrolled by a name.

        Raises:
            InputError: whoever is called so was merged into another.
        """
        with self._reading():
            held = self._rows.holder(name)
            if held is not None and held[0].into is not None:
                raise InputError(f"{name!r}: expected a free name, {_merged_note(*held)}")

    def merges(self) -> list[tuple[str, str]]:
        """(name, name of whom they were merged into) of everybody who was."""
        with self._reading():
            everybody = [part for known in self._rows.known() for part in known.whole]
        names = {one.person_id: one.name for one in everybody}
        return [(one.name, names[one.into]) for one in everybody if one.into is not None]

    def merge_again(self, merges: Iterable[tuple[str, str]]) -> None:
        """Merge people as they were in another gallery; those who are not here, or merged already, stay as they are."""
        with self._writing():
            for name, into in merges:
                held, other = self._rows.holder(name), self._rows.holder(into)
                if held is None or other is None or held[0].into is not None or held[0].person_id == other[1].person_id:
                    continue
                self._rows.merge(held[0], other[0].person_id)

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Take those who were merged for people of their own; nobody else may use this gallery meanwhile."""
        with self._guarded():
            self._rows.apart = True
            try:
                yield
            finally:
                self._rows.apart = False

    def forget(self, name: str) -> Person:
        """Delete a person, their embeddings and their key, everywhere here; the audit keeps no name.

        Whoever was merged into them goes too. Everywhere is the database, its write-ahead log, and the galleries that
        migrations, repairs and changes of the encoder have left beside it. A tombstone stays, written first: where a
        power cut comes between, the next opening finishes it.

        Raises:
            MissingError: nobody is called so.
        """
        with self._writing():
            person = self.person(name)
            self._delete(self._rows.with_merged(person.person_id), "forgotten")
        self._clean()
        return person

    def forget_expired(self) -> list[str]:
        """Forget everybody whose time is up, with those merged into them; returns their opaque ids."""
        if not self.version[-1]:
            return []
        now_s = time.time()
        with self._writing():
            over = [person_id for person_id, until_s in self._rows.expiries().items() if until_s <= now_s]
            expired = list(dict.fromkeys(one for person_id in over for one in self._rows.with_merged(person_id)))
            self._delete(expired, "expired")
        self._clean()
        return expired

    def _delete(self, person_ids: list[str], action: str) -> None:
        self._tombstones.add(person_ids)
        for person_id in person_ids:
            self._rows.delete(person_id, action)

    def _known(self, name: str) -> Known:
        """The row of the person of that name; in a transaction.

        Raises:
            MissingError: nobody is called so.
        """
        held = self._rows.holder(name)
        if held is not None and held[0].into is None:
            return held[0]
        if held is not None:
            raise MissingError(f"{name!r}: {_merged_note(*held)}")
        names = [other.name for other in self._rows.known()]
        near = get_close_matches(name, names, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else "familiar people list shows who is"
        if unreadable := self.damage().people:
            hint += f"; {unreadable} people are damaged and unreadable, see {REPAIR}"
        raise MissingError(f"{name!r}: nobody of this name is enrolled; {hint}")


def _merged_note(part: Known, listed: Known) -> str:
    """What to say of a name whose bearer was merged."""
    return f"this person was merged into {listed.name!r}; familiar people unmerge {part.name!r} takes that back"
