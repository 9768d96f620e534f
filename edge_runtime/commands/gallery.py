"""Manage the gallery's file: show it, seal it with new keys, back it up, export people to another device, import them.

A backup opens only with this device's key, and no longer after a rekey. An export opens with its passphrase on any
device whose bundle has the same encoder. It is signed, and the import says by which device.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from edge_runtime.config import Config, check_output, gallery_path, load_config, unknowns_path
from edge_runtime.errors import InputError, UsageError
from edge_runtime.gallery.exchange import fingerprint, unpack
from edge_runtime.gallery.opening import key_source
from edge_runtime.gallery.store import Gallery
from edge_runtime.gallery.transfer import exported, imported
from edge_runtime.schema.given_file import read_given
from edge_runtime.storage.exclusive_lock import exclusive_lock
from edge_runtime.storage.files import write_whole
from edge_runtime.unknowns.book import reseal

_ACTIONS = {
    "show": "where it is, which encoder its embeddings belong to, and what was done to it",
    "rekey": "seal everything again: new device key and new keys of people",
    "backup": "write a whole copy, which opens only with this device's key",
    "export": "write people to a file under a passphrase, for another device",
    "import": "take people from such a file",
}
_PASSPHRASE_VARIABLE = "FAMILIAR_PASSPHRASE"
_LARGEST_EXPORT_BYTES = 64 << 20
"""Some ten thousand templates take a sixth of it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for action, summary in _ACTIONS.items():
        sub = actions.add_parser(action, help=summary, description=summary)
        if action in ("backup", "export", "import"):
            sub.add_argument("file", type=Path, metavar="FILE")
        if action == "export":
            sub.add_argument("names", nargs="*", metavar="NAME", help="whom to export (default: everybody)")
        if action == "import":
            sub.add_argument("--merge", action="store_true", help="add to people of the same name")
            sub.add_argument("--forgotten", action="store_true", help="also people who were forgotten here since")
            sub.add_argument("--signer", metavar="FINGERPRINT", help="only from the device with this fingerprint")
        sub.add_argument("--json", action="store_true", help="machine-readable output")
        for option in ("--config", "--set"):
            extra = {"action": "append"} if option == "--set" else {}
            sub.add_argument(option, default=argparse.SUPPRESS, help=argparse.SUPPRESS, **extra)  # type: ignore[arg-type]
        sub.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Run one action; returns the exit code.

    Raises:
        UsageError: no passphrase where nobody can be asked.
        InputError: a file that cannot be used, or nobody of a name.
        GalleryError: the gallery cannot be used, or a daemon uses it while it is to be rekeyed.
    """
    actions: dict[str, Callable[[Config, argparse.Namespace], int]] = {
        "show": _show,
        "rekey": _rekey,
        "backup": _backup,
        "export": _export,
        "import": _import,
    }
    return actions[args.action](load_config(args.config, args.set), args)


def _open(config: Config) -> Gallery:
    return Gallery.open_existing(gallery_path(config), key_source(config))


def _show(config: Config, args: argparse.Namespace) -> int:
    source = key_source(config)
    with _open(config) as gallery:
        people, audit = gallery.people(), gallery.audit()
    document = {
        "path": str(gallery.path),
        "device_key": source.where,
        "fingerprint": fingerprint(source.load()),
        "bundle": gallery.bundle_name,
        "encoder": gallery.encoder_hash,
        "people": len(people),
        "templates": sum(person.templates for person in people),
        "audit": [{"at_s": at_s, "action": action, "person_id": person} for at_s, action, person in audit],
    }
    if args.json:
        print(json.dumps(document, indent=2))
        return 0
    print(f"{gallery.path}: {len(people)} people, {document['templates']} photos, embeddings of {gallery.bundle_name}")
    print(f"device key: {source.where}; other devices know this one as {document['fingerprint']}")
    for at_s, action, person in audit[-20:]:
        print(f"  {time.strftime('%Y-%m-%d %H:%M', time.localtime(at_s))}  {action:<9} {person[:8]}")
    return 0


def _rekey(config: Config, args: argparse.Namespace) -> int:
    source = key_source(config)
    with exclusive_lock(gallery_path(config), "rekey"), _open(config) as gallery:
        old_key = source.load()
        new = gallery.rekey()
        reseal(unknowns_path(config), old_key, source.load(), config.strangers)
    kept = f"the device key comes from {source.where}, so it stayed" if not new else "the device key is new"
    document = {"device_key_new": new, "fingerprint": fingerprint(source.load())}
    told = f"sealed again; {kept}; earlier backups no longer open" if new else f"sealed again; {kept}"
    print(json.dumps(document) if args.json else told)
    return 0


def _backup(config: Config, args: argparse.Namespace) -> int:
    check_output(config, args.file)
    with _open(config) as gallery:
        if args.file.exists() and (not args.file.is_file() or args.file.samefile(gallery.path)):
            raise InputError(
                f"{args.file}: expected a file to write to, found the gallery itself or no file; name another"
            )
        gallery.backup(args.file)
        people = len(gallery.people())
    print(json.dumps({"file": str(args.file), "people": people}) if args.json else f"{args.file}: {people} people")
    return 0


def _export(config: Config, args: argparse.Namespace) -> int:
    check_output(config, args.file)
    with _open(config) as gallery:
        found = exported(gallery, args.names, _passphrase(twice=True))
    write_whole(args.file, found.data, 0o600)
    document = {"file": str(args.file), "people": found.people, "signer": found.signer}
    print(json.dumps(document) if args.json else f"{args.file}: {found.people} people, signed by {found.signer}")
    return 0


def _import(config: Config, args: argparse.Namespace) -> int:
    try:
        data = read_given(args.file, _LARGEST_EXPORT_BYTES)
    except OSError as error:
        raise InputError(f"{args.file}: expected exported people, cannot read it ({error.strerror})") from error
    try:
        package = unpack(data, _passphrase(twice=False), args.signer)
    except InputError as error:
        raise InputError(f"{args.file}: {error}") from error
    bound = package.bound
    with Gallery.open(
        gallery_path(config),
        key_source(config),
        bound["encoder_hash"],
        bound["preprocessing_hash"],
        bound["code_size"],
        bound["bundle_name"],
    ) as gallery:
        found = imported(gallery, package, args.merge, args.forgotten)
    told = "{people} people of the device {signer}: {added} photos added, {known} known already".format(**found)
    print(json.dumps(found) if args.json else told)
    return 0


def _passphrase(twice: bool) -> str:
    given = os.environ.get(_PASSPHRASE_VARIABLE)
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise UsageError(f"expected a passphrase in {_PASSPHRASE_VARIABLE} where nobody can be asked")
    passphrase = getpass.getpass("Passphrase: ")
    if twice and getpass.getpass("Again: ") != passphrase:
        raise UsageError("the two passphrases differ; nothing was written")
    return passphrase
