"""An unpacked, configured Debian of any architecture, and programs that run in it as its root.

They run in user, mount and process namespaces of their own, where the kernel knows the emulator (binfmt_misc, Linux
6.7), over a copy in memory: nothing of this machine and nothing of the unpacked root changes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tests.arm.root import CACHE, fetch_emulator, mirror, own_architecture

INCLUDED = ("python3", "adduser", "init-system-helpers", "libgomp1", "libstdc++6")
"""What the package depends on, beside what every Debian has."""
EMULATORS = {"arm64": "qemu-aarch64"}
_ELF_AARCH64 = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_ELF_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

_ENTER = """\
set -e
read -r go  # the ids are mapped from outside, then this starts
here=$ROOT
if [ -n "$REGISTER" ]; then
  mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
  printf '%s' "$REGISTER" >/proc/sys/fs/binfmt_misc/register
fi
if [ -n "$COPY" ]; then
  mount -t tmpfs memory "$COPY"
  mkdir "$COPY/upper" "$COPY/work" "$COPY/root"
  mount -t overlay -o "userxattr,lowerdir=$ROOT,upperdir=$COPY/upper,workdir=$COPY/work" overlay "$COPY/root"
  here=$COPY/root
fi
mount -t tmpfs memory "$here/dev"
for name in null zero full random urandom tty; do
  : >"$here/dev/$name"
  mount --bind "/dev/$name" "$here/dev/$name"
done
mkdir "$here/dev/pts" "$here/dev/shm"
ln -s /proc/self/fd "$here/dev/fd"
mount -t proc proc "$here/proc"
mount -t tmpfs memory "$here/run"
# Without this XNNPACK does not know an ARM processor, and LiteRT computes with other kernels.
mount -t tmpfs memory "$here/sys"
mkdir -p "$here/sys/devices/system/cpu"
mount --bind /sys/devices/system/cpu "$here/sys/devices/system/cpu"
mount -o remount,bind,ro "$here/sys/devices/system/cpu"
if [ -n "$GIVEN" ]; then
  mkdir -p "$here/run/given"
  mount --bind "$GIVEN" "$here/run/given"
fi
exec chroot "$here" /usr/bin/env -i PATH=$SEARCHED HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \\
  container=lxc QEMU_CPU=cortex-a72 "$@"
"""


def missing() -> str:
    """What this machine lacks; empty: nothing."""
    lacking = [name for name in ("debootstrap", "unshare", "dpkg-deb") if not shutil.which(name, path=_search())]
    lacking += [] if os.getuid() == 0 else ["to run as root"]
    return f"needs {' and '.join(lacking)}" if lacking else ""


def place(architecture: str, suite: str) -> Path:
    """Where a root is, or will be."""
    return CACHE / "debian" / f"{suite}-{architecture}"


def prepared(architecture: str, suite: str) -> bool:
    """Whether it is there."""
    return _stamp(place(architecture, suite)).exists()


def prepare(architecture: str, suite: str) -> Path:
    """Unpack it as debootstrap does, configured by its own programs; as far as it is not there.

    Raises:
        subprocess.CalledProcessError: debootstrap failed.
    """
    root = place(architecture, suite)
    if prepared(architecture, suite):
        return root
    shutil.rmtree(root, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    words = [
        "debootstrap",
        "--foreign",
        f"--arch={architecture}",
        "--variant=minbase",
        f"--include={','.join(INCLUDED)}",
    ]
    subprocess.run([*words, suite, str(root), mirror()], check=True, stdout=subprocess.DEVNULL, env=_environment())
    # Inside there are devices of its own; those that debootstrap made would hide below them.
    shutil.rmtree(root / "dev")
    (root / "dev").mkdir()
    words = ("/debootstrap/debootstrap", "--second-stage")
    if status := run(root, architecture, *words, keep=True, output=subprocess.DEVNULL):
        raise subprocess.CalledProcessError(status, words)
    _stamp(root).touch()
    return root


def run(root: Path, architecture: str, *command: str, given: Path | None = None, keep: bool = False,
        output: int | None = None, limit_s: float = 7200) -> int:  # fmt: skip
    """Run a program there as root; returns its exit code.

    Args:
        root: see :func:`prepare`.
        architecture: Debian's name of it.
        command: program and arguments.
        given: a folder that the program finds at ``/run/given``.
        keep: change the root itself and not a copy.
        output: where it writes, as of ``subprocess``; None: where this process does.
        limit_s: seconds after which everything there is ended.
    """
    emulator = EMULATORS.get(architecture, "") if architecture != own_architecture() else ""
    register = f":familiar:M::{_ELF_AARCH64}:{_ELF_MASK}:{fetch_emulator() / emulator}:F" if emulator else ""
    with tempfile.TemporaryDirectory(prefix="familiar-debian-") as copy:
        values = {
            "ROOT": str(root), "COPY": "" if keep else copy, "GIVEN": str(given or ""), "REGISTER": register,
            "SEARCHED": _PATH,
        }  # fmt: skip
        words = ["unshare", "--user", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _ENTER, "sh", *command]
        process = subprocess.Popen(
            words, env={**_environment(), **values}, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
        try:
            _map_ids(process.pid)
            process.communicate("go\n", timeout=limit_s)
        finally:
            process.kill()
            process.wait()
    return process.returncode


def _map_ids(process: int) -> None:
    """Every account of the root is one of its own there: accounts are made, and files given to them."""
    ours = Path("/proc/self/ns/user").readlink()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{process}/ns/user").readlink() == ours:
        if time.monotonic() > deadline:
            raise RuntimeError("unshare made no user namespace within 60 s")
        time.sleep(0.01)
    for kind in ("uid", "gid"):
        Path(f"/proc/{process}/{kind}_map").write_text("0 0 65536\n")


def _stamp(root: Path) -> Path:
    return root.with_name(f"{root.name}.complete")


def _search() -> str:
    return f"{os.environ.get('PATH', os.defpath)}:{_PATH}"


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": _search()}
