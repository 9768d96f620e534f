"""Where things lie on the device, and the three texts made for it: unit, wrapper, first configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files

from edge_runtime.errors import UsageError

FIRST_CONFIGURATION = """\
# Familiar on this device. Every key, its default and its meaning: familiar config schema
# After a change: sudo familiar config check && sudo systemctl restart familiar

[camera.front]
source = "v4l2:0"          # the first camera of the kernel (/dev/video0); or file:CLIP, dir:PHOTOS, synthetic:

# [decide]
# false_accepts_per_1000_strangers = 1.0
"""

_PATH = re.compile(r"(/[A-Za-z0-9][A-Za-z0-9._-]*)+\Z")
_ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,31}\Z")


@dataclass(frozen=True)
class Layout:
    """Places on the device; they go into a unit and a shell script, so only plain names are allowed.

    Attributes:
        prefix: holds the releases.
        root: put before every path, to try a deployment without touching the system; empty: the system itself.
        user: the account the service runs as; made if it is missing.
    """

    prefix: str = "/opt/familiar"
    root: str = ""
    user: str = "familiar"

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            UsageError: a path that is not absolute, or with other characters than letters, digits, ``. _ -``.
        """
        for option, value in (("--prefix", self.prefix), ("--root", self.root)):
            if not _PATH.match(value) and (value or option == "--prefix"):
                raise UsageError(
                    f"{option}: expected an absolute path of letters, digits, '.', '_' and '-', found {value!r}; "
                    "name another"
                )
        if not _ACCOUNT.match(self.user):
            raise UsageError(f"--user: expected the name of an account, found {self.user!r}; name another")

    @property
    def releases_home(self) -> str:
        """Folder with ``current`` and ``releases/``."""
        return self.root + self.prefix

    @property
    def config_file(self) -> str:
        return f"{self.root}/etc/familiar/familiar.toml"

    @property
    def command(self) -> str:
        """What a person types: a link in the path where there is no root."""
        return f"{self.releases_home}/current/familiar" if self.root else "familiar"

    def arguments(self) -> list[str]:
        """The layout as arguments of ``install.sh``."""
        return ["--root", self.root, "--prefix", self.prefix, "--user", self.user]

    def unit(self, groups: Iterable[str]) -> str:
        """The systemd unit.

        Args:
            groups: those that own cameras and exist on the device; systemd refuses a unit with an unknown one.
        """
        joined = " ".join(groups)
        return _filled(
            "familiar.service",
            PREFIX=self.releases_home,
            CONFIG=self.config_file,
            USER=self.user,
            GROUPS=f"SupplementaryGroups={joined}" if joined else "# no group of this device owns cameras",
        )

    def wrapper(self) -> str:
        """The command of a release: its own program and bundle, the system's configuration and state."""
        return _filled("familiar.sh", ROOT=self.root, USER=self.user)


def package_text(name: str) -> str:
    """A text file shipped beside this module."""
    return files("edge_runtime.deploy").joinpath(name).read_text(encoding="utf-8")


def _filled(name: str, **values: str) -> str:
    text = package_text(name)
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text
