"""What lies on the disk, and whether it may be used."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from edge_runtime.bundle.folder import Bundle
from edge_runtime.config import bundle_path, events_path, gallery_path, key_path, trusted_keys, unknowns_path
from edge_runtime.daemon.summary import gallery_line, gallery_status
from edge_runtime.decision.matcher import Matcher, make_matcher
from edge_runtime.decision.refusal import PROMISE
from edge_runtime.doctor.databases import FIX
from edge_runtime.doctor.rows import Examination, Row, said
from edge_runtime.errors import (
    BundleError,
    DamagedGalleryError,
    DeviceKeyError,
    FamiliarError,
    GalleryError,
    OtherEncoderError,
    SelfTestError,
)
from edge_runtime.faces.chain import open_chain
from edge_runtime.faces.golden import check_golden, check_golden_faces
from edge_runtime.gallery.opening import key_source, open_gallery
from edge_runtime.interpreters import on_cpu
from edge_runtime.storage.files import with_sides
from edge_runtime.storage.ownership import user_name

_LITTLE_MB, _MUCH_MB = 50, 500
_DEPLOY = "familiar deploy USER@THIS-DEVICE --bundle FOLDER   (on the desktop)"


def bundle(examination: Examination) -> Iterator[Row]:
    """Every byte of the bundle is what its manifest says, and the models give the golden outputs."""
    config = examination.config
    path = bundle_path(config)
    try:
        found = Bundle(path, trusted_keys(config))
    except BundleError as error:
        yield Row("bundle", "fail", said(error), _DEPLOY if not config.bundle.path else f"ls -l {path}; {_DEPLOY}")
        return
    examination.seen["bundle"] = found
    signed = f", signed by {found.signed_by}" if found.signed_by else ""
    yield Row("bundle", "ok", f"{found.manifest.name} {found.hash[:12]}{signed}")
    try:
        with open_chain(config, interpreter=on_cpu(config.runtime.interpreter)) as chain:
            cosine = check_golden(chain.bundle, chain.encoder)
            check_golden_faces(chain.bundle, chain.detector)
            examination.seen["chain"] = chain
    except SelfTestError as error:
        yield Row("golden outputs", "fail", said(error), "familiar config show   (see [runtime] interpreter)")
    except FamiliarError as error:
        yield Row("golden outputs", "fail", said(error), "familiar bundle verify")
    else:
        yield Row("golden outputs", "ok", f"cosine {cosine:.4f}")


def state_folder(examination: Examination) -> Iterator[Row]:
    """The gallery's folder is there, this user's, and nobody else's."""
    folder = gallery_path(examination.config).absolute().parent
    me = user_name(os.geteuid())
    if not os.path.exists(folder):  # noqa: PTH110 - also where it is out of reach
        nearest = existing(folder)
        if os.access(nearest, os.W_OK):
            yield Row("state folder", "ok", f"{folder} is not there yet")
        else:
            make = f"sudo install -d -m 700 -o {me} {folder}"
            found = f"{folder} is not there or out of reach, and {me} cannot make it in {nearest}"
            yield Row("state folder", "fail", found, make)
        return
    mode = stat.S_IMODE(folder.stat().st_mode)
    own = events_path(examination.config), unknowns_path(examination.config)
    if not os.access(folder, os.W_OK | os.X_OK):
        owner = user_name(folder.stat().st_uid)
        yield Row(
            "state folder",
            "fail",
            f"{folder} is {owner}'s, {me} cannot write there",
            f"sudo -u {owner} familiar doctor",
        )
    elif mode & 0o077:
        yield Row("state folder", "fail", f"{folder} has mode {mode:04o}, others may look in", f"chmod 700 {folder}")
    elif wide := [str(path) for path in own if _wide(path)]:
        yield Row("state folder", "fail", f"{', '.join(wide)}: others may read it", f"chmod 600 {' '.join(wide)}")
    else:
        yield Row("state folder", "ok", f"{folder}, mode {mode:04o}")


def _wide(path: Path) -> bool:
    """Whether a file that is there is not its owner's alone."""
    return os.access(path, os.F_OK) and bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def device_key(examination: Examination) -> Iterator[Row]:
    """The key is there, outside the state folder, and its owner's alone."""
    config = examination.config
    path = key_path(config)
    try:
        source = key_source(config)
        if source.path is not None and not source.path.exists() and not gallery_path(config).exists():
            yield Row("device key", "ok", f"{source.path} is made with the gallery")
            return
        source.load()
    except GalleryError as error:
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            command = f"chmod 600 {path}"
        elif not path.exists():
            command = f"cp BACKUP/device.key {path} && chmod 600 {path}"
        else:
            command = f"ls -l {path}; cp BACKUP/device.key {path}"
        yield Row("device key", "fail", said(error), command)
    else:
        yield Row("device key", "ok", source.where)


def gallery(examination: Examination) -> Iterator[Row]:
    """The gallery opens with this key and for this bundle."""
    config, chain = examination.config, examination.seen.get("chain")
    path = gallery_path(config)
    if not path.exists():
        yield Row("gallery", "ok", f"{path} is not there yet; familiar enroll NAME PHOTO makes it")
        return
    if chain is None:
        yield Row("gallery", "unknown", "not known without a bundle that works")
        return
    try:
        with open_gallery(config, chain, create=False) as opened:
            people, fault = len(opened.people()), opened.check()
            matcher = make_matcher(opened.templates(), chain.bundle, config.decide, tracks=True)
    except GalleryError as error:
        yield Row("gallery", "fail", said(error), _fix(path, error))
    else:
        if fault is None:
            yield Row("gallery", "ok", f"{people} people, {path}")
        else:
            yield Row("gallery", "warn", f"{fault}; {people} people can be named", FIX)
        yield _promise(matcher)


def _promise(matcher: Matcher) -> Row:
    """The rate that the owner allows is kept, or nobody is named."""
    calibration = matcher.calibration
    if calibration.refused:
        return Row(PROMISE, "fail", calibration.refused, f"familiar calibrate; {_DEPLOY}")
    return Row(PROMISE, "ok", gallery_line(gallery_status(matcher)))


def disk(examination: Examination) -> Iterator[Row]:
    """There is room, it can be written, and the file system has met no error."""
    place = existing(gallery_path(examination.config).absolute().parent)
    found = os.statvfs(place)
    mount = _mount_point(place)
    free_mb = found.f_bavail * found.f_frsize // 2**20
    if found.f_flag & os.ST_RDONLY:
        yield Row("disk", "fail", f"{mount} is mounted read-only", f"sudo mount -o remount,rw {mount}")
    elif free_mb < _MUCH_MB:
        room = "sudo apt clean; sudo journalctl --vacuum-size=50M"
        yield Row("disk", "fail" if free_mb < _LITTLE_MB else "warn", f"{free_mb} MB free on {mount}", room)
    else:
        yield Row("disk", "ok", f"{free_mb} MB free on {mount}")
    yield from _card(examination)


def _card(examination: Examination) -> Iterator[Row]:
    """Errors that the file system has noted, and what an SD card or eMMC says about its age."""
    counted = [(path.parent.name, path.read_text().strip()) for path in examination.paths("sys/fs/ext4/*/errors_count")]
    bad = [name for name, count in counted if count not in ("", "0")]
    worn = [
        path.parent.parent.name
        for path in examination.paths("sys/block/mmcblk*/device/pre_eol_info")
        if path.read_text().strip() in ("0x02", "0x03")
    ]
    if bad:
        check = f"sudo tune2fs -c 1 /dev/{bad[0]} && sudo reboot"
        yield Row("card", "warn", f"the file system on {', '.join(bad)} has met errors", check)
    elif worn:
        yield Row(
            "card", "warn", f"{', '.join(worn)} is nearly worn out", "familiar gallery backup FILE   (then a new card)"
        )
    elif counted:
        yield Row("card", "ok", "no error noted")
    else:
        yield Row("card", "unknown", "not known here")


def existing(path: Path) -> Path:
    """The nearest folder on the way to ``path`` that is there."""
    way = (path, *path.parents)
    return next((folder for folder in way if os.path.exists(folder)), way[-1])  # noqa: PTH110 - also out of reach


def _fix(path: Path, error: GalleryError) -> str:
    if wide := [str(file) for file in with_sides(path) if _wide(file)]:
        return f"chmod 600 {' '.join(wide)}"
    if isinstance(error, OtherEncoderError):
        return "familiar people reembed --photos DIR   (or set [gallery] path to a new file and enrol again)"
    if isinstance(error, DeviceKeyError):
        return f"cp BACKUP/device.key KEY-FILE   (or: mv {path} {path}.old, and enrol again)"
    if isinstance(error.__cause__, OSError):
        return f"sudo -u {user_name(path.stat().st_uid)} familiar doctor"
    if isinstance(error, DamagedGalleryError):
        return FIX
    return f"mv {path} {path}.broken && cp BACKUP/gallery.db {path} && chmod 600 {path}"


def _mount_point(path: Path) -> Path:
    """The nearest mount point above ``path``; the root if none is known, as in a container or an emulator."""
    path = path.resolve()
    return next((folder for folder in (path, *path.parents) if folder.is_mount()), Path(path.anchor))
