"""What a device is, as ``install.sh look`` prints it, and what follows from that for a deployment."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.deploy.wheels import OUTPUTS, Target
from edge_runtime.errors import DeployError

PYTHONS = ((3, 11), (3, 12), (3, 13))
NEEDED_MB = 600
"""Room for one release: what is installed, and before it is trimmed half as much again."""
LOW_MEMORY_MB = 400
"""Below this (a Pi Zero has 512 MB, less what the GPU takes) opening the models may need swap."""


@dataclass(frozen=True)
class Python:
    """An interpreter found on the device.

    Attributes:
        version: major and minor.
        bits: of its pointers: 32 on a 32-bit system, whatever the kernel is.
        has_venv: ``venv`` and ``ensurepip`` are there (Debian packs them apart).
        in_home: it lies in somebody's home folder, which the service may not see.
    """

    path: str
    version: tuple[int, int]
    bits: int
    has_venv: bool
    in_home: bool

    @classmethod
    def parse(cls, text: str) -> Python:
        """Read ``3.11 64 venv - /usr/bin/python3``."""
        version, bits, venv, home, path = text.split(" ", 4)
        major, minor = version.split(".")
        return cls(path, (int(major), int(minor)), int(bits), venv == "venv", home == "home")


@dataclass(frozen=True)
class Facts:
    """A device before a deployment.

    Attributes:
        architecture: of the kernel, as ``aarch64``.
        system: name and version of the distribution.
        pythons: in the order in which they are preferred.
        free_mb: on the disk that holds the releases.
        memory_mb: all there is.
        rights: root | sudo (without a password) | password (sudo asks for one) | none.
        writable: the login may write everywhere a deployment writes.
        systemd: it runs.
        groups: those of video and plugdev that exist.
        cameras: /dev/video* there is.
        current: the release in use; empty: no release.
        configuration: yes | no | unknown (the login may not look).
        files: sha256 (hex) and name of what the release in use was sent, as the device computes them.
    """

    architecture: str
    system: str
    pythons: tuple[Python, ...]
    free_mb: int
    memory_mb: int
    rights: str
    writable: bool
    systemd: bool
    groups: tuple[str, ...]
    cameras: tuple[str, ...]
    current: str
    configuration: str
    files: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, pairs: list[tuple[str, str]]) -> Facts:
        """Read names and values in the order they were printed; some names come several times.

        Raises:
            DeployError: one is missing or makes no sense: the other side is no Linux with a POSIX shell.
        """
        last = dict(pairs)

        def every(name: str) -> tuple[str, ...]:
            return tuple(value for key, value in pairs if key == name)

        try:
            return cls(
                last["architecture"],
                last["system"] or "unknown Linux",
                tuple(Python.parse(text) for text in every("python")),
                int(last["free_kb"]) // 1024,
                int(last["memory_kb"]) // 1024,
                last["rights"],
                last["writable"] == "yes",
                last["systemd"] == "yes",
                every("group"),
                every("camera"),
                last["current"],
                last["configuration"],
                tuple((digest, name) for digest, _, name in (text.partition("  ") for text in every("have"))),
            )
        except (KeyError, ValueError) as error:
            raise DeployError(f"expected a Linux device that says what it is, {error} is missing or wrong") from error

    def python(self) -> Python:
        """The interpreter to use.

        Raises:
            DeployError: no Python of a version that runtime and interpreter need, or it cannot make environments.
        """
        found = ", ".join(sorted({"{}.{}".format(*p.version) for p in self.pythons})) or "none"
        # tflite-runtime, the only interpreter for 32 bits, ends with Python 3.11.
        fitting = [p for p in self.pythons if p.version in (PYTHONS if p.bits == 64 else PYTHONS[:1])]
        if not fitting:
            wide = not self.pythons or self.pythons[0].bits == 64
            wanted = "3.11 to 3.13" if wide else "3.11 on a 32-bit system"
            raise DeployError(
                f"expected Python {wanted}, found {found}; install it there (Raspberry Pi OS bookworm has 3.11)"
            )
        ready = sorted((p for p in fitting if p.has_venv), key=lambda p: p.in_home)
        if not ready:
            raise DeployError(
                "expected Python's venv on the device, found it missing; run there: sudo apt install python3-venv"
            )
        return ready[0]

    def target(self) -> Target:
        """What its wheels are for; the kernel of a 32-bit system may be a 64-bit one."""
        python = self.python()
        machine = self.architecture
        if python.bits == 32:
            machine = {"aarch64": "armv7l", "x86_64": "i686"}.get(machine, machine)
        return Target(machine, python.version, self.extra())

    def extras(self) -> str:
        """Everything that pip is asked for beside the wheel, as it stands in brackets."""
        return ",".join((self.extra(), *OUTPUTS))

    def extra(self) -> str:
        """The extra of the wheel: which interpreter there is for this device."""
        return "litert" if self.python().bits == 64 else "tflite"

    def elevation(self, on_terminal: bool) -> list[str]:
        """What the installing command starts with: nothing, or sudo.

        Args:
            on_terminal: somebody can be asked for a password.

        Raises:
            DeployError: root's rights are needed and cannot be had.
        """
        if self.rights == "root" or (self.writable and not self.systemd):
            return []
        if self.rights == "sudo":
            return ["sudo", "-n", "-H"]
        if self.rights == "password" and on_terminal:
            return ["sudo", "-H"]
        if self.rights == "password":
            raise DeployError(
                "sudo asks for a password there, and there is no terminal to ask on; "
                "run this in a terminal, or log in as root"
            )
        raise DeployError("expected root's rights or sudo on the device, found neither; log in as another user")

    def check_room(self, payload_mb: int) -> None:
        """Refuse to fill the disk.

        Raises:
            DeployError: less free than a release needs.
        """
        needed = NEEDED_MB + 2 * payload_mb
        if self.free_mb < needed:
            raise DeployError(f"expected {needed} MB free on the device, found {self.free_mb}; make room there")

    def warnings(self) -> list[str]:
        """What will probably go wrong, one line each."""
        told = []
        if self.memory_mb < LOW_MEMORY_MB:
            told.append(f"{self.memory_mb} MB of memory is little: expect swapping")
        if not self.cameras:
            told.append("no /dev/video* there: a configuration with v4l2: will not start")
        return told

    def lines(self) -> list[str]:
        """The facts for a person."""
        python = self.python()
        return [
            f"{self.system}, {self.architecture}, {python.bits}-bit, {self.memory_mb} MB memory, "
            f"{self.free_mb} MB free",
            f"Python {python.version[0]}.{python.version[1]} ({python.path}), rights: {self.rights}, "
            f"systemd: {'runs' if self.systemd else 'does not run'}",
            f"cameras: {', '.join(self.cameras) or 'none'}; in use: {self.current or 'no release'}; "
            f"configuration: {self.configuration}",
        ]
