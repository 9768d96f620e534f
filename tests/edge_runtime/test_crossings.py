"""A few of the scenes of ``make crossing``: people who pass, hide and come back keep their own names."""

from tests.builders import RELEASED
from tests.crossings import run


def test_nobody_takes_anothers_name():
    total = run(range(10), RELEASED)
    assert total.people >= 20
    assert total.swapped == total.false_names == total.doubles == 0
    assert total.strangers_named == 0
    assert total.named >= 0.7 * total.known
