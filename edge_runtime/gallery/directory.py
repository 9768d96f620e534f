"""Who is who at one moment of a gallery: what the log of events needs of it, and no more.

The log knows people by the gallery's opaque ids alone; a name is looked up here whenever one is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from edge_runtime.errors import MissingError
from edge_runtime.gallery.names import same_name

STRANGER = ""
"""Whose key seals the crops of people without a name."""


@dataclass(frozen=True)
class Directory:
    """Ids, names and keys.

    Attributes:
        names: by person id; without those who were merged.
        crop_keys: 32 bytes by person id, and one for ``STRANGER``: seal the crops beside events.
        forgotten: ids of everybody whom the gallery has forgotten.
        ids: by name; in a running daemon former names too, as an event under way may still carry one.
        merged: for those who were merged, the id of whom they are part of.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    crop_keys: Mapping[str, bytes] = field(default_factory=dict)
    forgotten: frozenset[str] = frozenset()
    ids: Mapping[str, str] = field(default_factory=dict)
    merged: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        names: Mapping[str, str],
        crop_keys: Mapping[str, bytes],
        forgotten: frozenset[str],
        merged: Mapping[str, str] | None = None,
    ) -> Directory:
        """A directory in which everybody is found by the present name."""
        return cls(names, crop_keys, forgotten, {name: person_id for person_id, name in names.items()}, merged or {})

    def listed(self, person_id: str | None) -> str | None:
        """The id of whom somebody is part of, which is their own unless they were merged."""
        return None if person_id is None else self.merged.get(person_id, person_id)

    def name_of(self, person_id: str | None) -> str | None:
        """What somebody is called now, whoever they were merged into; None: nobody, or they are not here."""
        listed = self.listed(person_id)
        return None if listed is None else self.names.get(listed)

    def named(self, name: str) -> str:
        """The id of the person who is called so now.

        Raises:
            MissingError: nobody is.
        """
        for person_id, known in self.names.items():
            if same_name(known, name):
                return person_id
        near = get_close_matches(name, list(self.names.values()), 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else "familiar people list shows who is"
        raise MissingError(f"{name!r}: nobody of this name is enrolled; {hint}")

    def after(self, earlier: Directory) -> Directory:
        """The same directory, in which those renamed or merged since ``earlier`` are found by the former name too."""
        former = {name: person_id for name, person_id in earlier.ids.items() if self.name_of(person_id) is not None}
        return Directory(self.names, self.crop_keys, self.forgotten, {**former, **self.ids}, self.merged)
