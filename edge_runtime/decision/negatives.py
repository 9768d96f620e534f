"""Views that got a person's name and are not theirs: whoever is nearer to one of those than to the person is not named.

A stranger who was named once comes again and looks more like that view than like the person. A threshold raised above
their score would cost the person's own views as well; a lead over the view costs hardly any.
"""

from __future__ import annotations

import numpy as np

from edge_runtime.gallery.templates import Templates
from edge_runtime.types import Floats

LEAD = 0.05
"""How much nearer to the person than to such a view a name needs to be; see docs/gallery.md for what it costs."""


class Negatives:
    """The negatives of a gallery by person; immutable."""

    def __init__(self, templates: Templates, margin: float) -> None:
        """Take those of ``templates``.

        Args:
            templates: of a gallery.
            margin: the usual margin; no lead asked for is smaller.
        """
        self.lead = max(LEAD, margin)
        self._of = {
            int(person): templates.negatives[templates.negative_index == person]
            for person in np.unique(templates.negative_index)
        }

    def __bool__(self) -> bool:
        return bool(self._of)

    def forbid(self, person: int, embedding: Floats, score: float) -> bool:
        """Whether a view is too near to one that was not the person.

        Args:
            person: index into the gallery's people.
            embedding: float32 (D,) of unit length.
            score: of the view against the person.
        """
        views = self._of.get(person)
        return views is not None and score - float((views @ embedding).max()) < self.lead
