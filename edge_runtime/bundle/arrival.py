"""A bundle that arrives at a device as a folder, as a .zip of one, or with the package itself; nothing is believed."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path, PurePosixPath

from edge_runtime.bundle.folder import Bundle
from edge_runtime.bundle.manifest import MANIFEST
from edge_runtime.bundle.signature import SIGNATURE
from edge_runtime.errors import BundleError

RELEASED = Path(__file__).parent.parent / "released"
"""The released bundle, which a built package brings along; a checkout has a link here."""
_MOST_FILES = 64
_MOST_BYTES = 256 << 20
"""Of all files of a .zip, unpacked: fifty times the released bundle."""


def copy_bundle(source: Path, folder: Path) -> None:
    """Fill a folder with what a bundle has to hold; who opens it afterwards checks every byte.

    Args:
        source: a bundle's folder, or a .zip with its files at the top or in one folder.
        folder: to fill; it is there and empty.

    Raises:
        BundleError: neither, or one that is damaged or too large.
        OSError: the folder cannot be written.
    """
    if source.is_dir():
        # Opened first: what is copied is then bounded by what the manifest says, and is neither a pipe nor a link.
        bundle = Bundle(source)
        signature = [SIGNATURE] if (source / SIGNATURE).is_file() else []
        for name in (MANIFEST, *bundle.manifest.files, *signature):
            shutil.copyfile(bundle.path / name, folder / name)
        return
    if not source.is_file():
        raise BundleError(f"{source}: expected a bundle's folder or a .zip of one, found none; name one, or: released")
    _unpack(source, folder)


def _unpack(source: Path, folder: Path) -> None:
    try:
        packed = zipfile.ZipFile(source)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise BundleError(f"{source}: expected a bundle's folder or a .zip of one ({error}); copy it again") from error
    with packed:
        entries = [entry for entry in packed.infolist() if not entry.is_dir()]
        homes = {PurePosixPath(entry.filename).parent for entry in entries if _name(entry) == MANIFEST}
        if len(homes) != 1:
            raise BundleError(
                f"{source}: expected one {MANIFEST} in the .zip, found {len(homes)}; pack the folder of one bundle"
            )
        (home,) = homes
        own = [entry for entry in entries if PurePosixPath(entry.filename).parent == home]
        size = sum(entry.file_size for entry in own)
        if len(own) > _MOST_FILES or size > _MOST_BYTES:
            raise BundleError(
                f"{source}: expected at most {_MOST_FILES} files of {_MOST_BYTES >> 20} MiB together, found {len(own)} "
                f"of {size >> 20} MiB; pack the folder of one bundle"
            )
        for entry in own:
            try:
                data = packed.read(entry)
            # A damaged or encrypted one raises whatever zipfile and its decoders come to.
            except Exception as error:
                raise BundleError(f"{source}: {_name(entry)} cannot be read ({error}); copy the file again") from error
            (folder / _name(entry)).write_bytes(data)


def _name(entry: zipfile.ZipInfo) -> str:
    """The last part alone, so that an entry leads to no other folder."""
    return PurePosixPath(entry.filename).name
