"""Sign a bundle with an Ed25519 key, make such a key, or show its public half for a device's [bundle] trusted_keys."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_runtime.bundle.folder import Bundle
from edge_runtime.bundle.manifest import MANIFEST
from edge_runtime.bundle.signature import SIGNATURE, load_private_key, make_private_key, public_text, sign
from edge_runtime.errors import BundleError
from edge_runtime.storage.files import write_whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, nargs="?", metavar="BUNDLE", help="the folder to sign (default: none)")
    parser.add_argument("--key", type=Path, required=True, metavar="KEY", help="private key, PEM")
    parser.add_argument("--new-key", action="store_true", help="make the key first")


def run(args: argparse.Namespace) -> int:
    """Sign; returns the exit code.

    Raises:
        InputError: a key that cannot be read or made.
        BundleError: what is to be signed is not whole.
    """
    key = make_private_key(args.key) if args.new_key else load_private_key(args.key)
    if args.bundle is not None:
        resign(args.bundle, args.key)
        print(f"{args.bundle}: signed")
    print(f"public key, for [bundle] trusted_keys on a device: {public_text(key)}")
    return 0


def resign(bundle: Path, key_file: Path) -> None:
    """Sign a whole bundle, or a draft of one, in the place of any older signature.

    Raises:
        InputError: the key cannot be used.
        BundleError: the bundle is not whole.
    """
    key = load_private_key(key_file)
    place = bundle / SIGNATURE
    old = place.read_bytes() if place.is_file() else None
    try:
        sign(bundle, (bundle / MANIFEST).read_bytes(), key)
        Bundle(bundle, [public_text(key)])
    except (OSError, BundleError) as error:
        place.unlink(missing_ok=True)
        if old is not None:
            write_whole(place, old)
        if isinstance(error, OSError):
            raise BundleError(f"{bundle}: expected a bundle to sign, cannot use it ({error.strerror})") from error
        raise
