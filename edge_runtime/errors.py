"""The error tree: each error has an exit code and also is a builtin, so callers can catch either.

Messages say what was expected, what was found, and what to do next, on one line.
"""

from __future__ import annotations

from edge_runtime.text.masking import masked


class FamiliarError(Exception):
    """Base of everything raised on purpose; ``exit_code`` is what the command line ends with.

    Its text names no camera's password, whoever put the camera's address into it.
    """

    exit_code = 1

    def __str__(self) -> str:
        """The line, without passwords: it goes to logs, events and terminals."""
        return masked(super().__str__())


class UsageError(FamiliarError, ValueError):
    """The command was called with arguments that make no sense together."""

    exit_code = 2


class ConfigError(FamiliarError, ValueError):
    """An unknown key, a wrong type or a value out of range in the configuration."""

    exit_code = 3


class SinkRefusedError(ConfigError):
    """A receiver of events that refuses until somebody changes something: a password, an address, a certificate."""


class InputError(FamiliarError, ValueError):
    """A folder, file or array that cannot be used as it is."""

    exit_code = 4


class MissingError(InputError):
    """There is no person, unknown, camera or event of that name or number."""


class ImageError(InputError):
    """A picture that cannot be decoded, is cut short, or is larger than allowed."""

    exit_code = 5


class BundleError(FamiliarError, ValueError):
    """A bundle that is missing, altered, of a newer schema, or inconsistent."""

    exit_code = 6


class InterpreterError(FamiliarError, RuntimeError):
    """No interpreter is installed, or it refuses the model."""

    exit_code = 7


class GalleryError(FamiliarError, ValueError):
    """The gallery cannot be opened, or holds embeddings of another encoder."""

    exit_code = 8


class DamagedGalleryError(GalleryError):
    """The gallery's file is not sound; what is good in it can be saved."""


class OtherEncoderError(GalleryError):
    """The gallery holds embeddings of another encoder or preprocessing than the bundle in use."""


class DeviceKeyError(GalleryError):
    """The device key is missing, unusable, or not the one that sealed the gallery."""


class CameraError(FamiliarError, OSError):
    """A source that is not there, went away, or missed its deadline."""

    exit_code = 9


class EnrolmentError(FamiliarError, ValueError):
    """Not one photo of the person could be used."""

    exit_code = 10


class ControlError(FamiliarError, OSError):
    """The control socket of a running daemon cannot be reached or refuses the peer."""

    exit_code = 11


class DeployError(FamiliarError, RuntimeError):
    """A deployment that did not reach its end; what ran before still runs."""

    exit_code = 12


class SelfTestError(FamiliarError, RuntimeError):
    """The device's own outputs are not the bundle's golden outputs."""

    exit_code = 13


class EventLogError(FamiliarError, ValueError):
    """The log of events cannot be used as it is, or holds no such event."""

    exit_code = 14


class MissingEventError(EventLogError):
    """The log of events holds no event of that number."""


class UnknownsError(FamiliarError, ValueError):
    """Unknowns cannot be remembered, or what is remembered of them cannot be read."""

    exit_code = 15


class BusyError(GalleryError):
    """Another program uses a file that only one may use; try again later."""

    exit_code = 16


def revive(name: str, message: str) -> FamiliarError:
    """The error that another process of ours raised, from its class's name; an unknown one is a ``FamiliarError``."""
    kind = globals().get(name)
    if isinstance(kind, type) and issubclass(kind, FamiliarError):
        return kind(message)
    return FamiliarError(message)
