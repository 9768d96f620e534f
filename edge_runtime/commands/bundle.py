"""Put a bundle into its place on this device, check one, show what it is, or compare two.

install: BUNDLE is a bundle's folder, a .zip of one, or the word "released" for the one that the package brings along.
It is verified as below; only then does it take the place of the present one, at once or not at all.
verify: every byte is what the manifest says, the signature is right, and the installed interpreter gives the
golden outputs, of the encoder and of the bundle's own detector.
diff ends with 1 if the manifests differ, as diff(1) does.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

from edge_runtime.bundle.arrival import RELEASED, copy_bundle
from edge_runtime.bundle.folder import Bundle
from edge_runtime.config import Config, bundle_path, gallery_path, installed_bundle, load_config, trusted_keys
from edge_runtime.detectors import DetectorOptions, open_detector
from edge_runtime.errors import BundleError, ConfigError, FamiliarError, UsageError
from edge_runtime.faces.encoder import open_encoder
from edge_runtime.faces.golden import check_golden, check_golden_faces
from edge_runtime.gallery.opening import key_source
from edge_runtime.gallery.store import Gallery
from edge_runtime.interpreters import try_model
from edge_runtime.storage.files import give_to_owner, replacing_folder

_ABSENT = "(absent)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("install", "verify", "show", "diff"))
    parser.add_argument("path", nargs="*", type=Path, metavar="BUNDLE", help="default: the configured bundle")
    parser.add_argument("--all", action="store_true", help="show: every value of the manifest")
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def run(args: argparse.Namespace) -> int:
    """Run one action; returns the exit code.

    Raises:
        UsageError: more bundles than the action takes, or fewer.
        ConfigError: one is to be installed where the configuration names another.
        BundleError: a bundle that is missing, altered or not one.
        SelfTestError: the golden outputs do not come out.
    """
    most = 2 if args.action == "diff" else 1
    if len(args.path) > most or (most == 2 and not args.path):
        expected = "one bundle (compared with the configured one) or two" if most == 2 else "one bundle at most"
        raise UsageError(f"bundle {args.action}: expected {expected}, received {len(args.path)}; name fewer or more")
    config = load_config(args.config, args.set)
    if args.action == "install":
        return _install(config, args.path, args.json)
    paths = args.path
    if len(paths) < most:
        paths = [bundle_path(config), *paths]
    bundles = [Bundle(path, trusted_keys(config)) for path in paths]
    if args.action == "diff":
        return _diff(bundles[0], bundles[1], args.json)
    if args.action == "show":
        if args.json:
            told = {"path": str(bundles[0].path), "hash": bundles[0].hash, "signed_by": bundles[0].signed_by}
            print(json.dumps(told | {"manifest": bundles[0].manifest.as_json()}, indent=2))
        else:
            _show(bundles[0], args.all)
        return 0
    _tell(bundles[0], _verified(bundles[0], config), args.json)
    return 0


def _install(config: Config, paths: list[Path], as_json: bool) -> int:
    if len(paths) != 1:
        raise UsageError(
            f"bundle install: expected one bundle's folder, .zip of one, or the word released, received {len(paths)}"
        )
    place = installed_bundle()
    if config.bundle.path and Path(config.bundle.path).resolve() != place.resolve():
        raise ConfigError(
            f"[bundle] path: expected no value, as the bundle goes to {place}, found {config.bundle.path}; "
            "take the key away (also FAMILIAR_BUNDLE_PATH), or send another with familiar deploy --bundle"
        )
    source = paths[0]
    if str(source) == "released":
        if not RELEASED.is_dir():
            raise BundleError(
                "released: expected the bundle that the package brings along, found none in this one; name a bundle's "
                "folder or a .zip of one"
            )
        source = RELEASED
    with replacing_folder(place) as draft:
        copy_bundle(source, draft)
        lowest = _verified(Bundle(draft, trusted_keys(config)), config)
        for path in (*draft.iterdir(), draft):
            path.chmod(0o755 if path.is_dir() else 0o644)
            give_to_owner(path, place.parent)
    bundle = Bundle(place, trusted_keys(config))
    _tell(bundle, lowest, as_json)
    if not as_json:
        print(f"next     {_next(config, bundle)}")
    return 0


def _next(config: Config, bundle: Bundle) -> str:
    """What is left to do after a bundle has been installed."""
    path = gallery_path(config)
    if path.exists():
        # A gallery that cannot be opened is another matter, and whoever uses it next is told.
        with suppress(FamiliarError), Gallery.open_existing(path, key_source(config)) as gallery:
            if gallery.encoder_hash != bundle.encoder_hash and gallery.people():
                return (
                    f"the people in {path} were enrolled with another encoder: stop the daemon, then "
                    "familiar people reembed --photos DIR"
                )
    return "a daemon that runs takes it at its next start; familiar enroll NAME PHOTO…"


def _verified(bundle: Bundle, config: Config) -> float:
    """The smallest cosine to the golden embeddings.

    Raises:
        SelfTestError: the golden outputs do not come out.
    """
    interpreter, threads = config.runtime.interpreter, config.runtime.threads
    # In a child first: a bundle is somebody else's, and a model may be made to crash an interpreter.
    own = bundle.manifest.own_detector
    for file in (bundle.manifest.encoder_file, *(own.files if own else ())):
        try_model(bundle.path / file, interpreter)
    with ExitStack() as stack:
        encoder = stack.enter_context(closing(open_encoder(bundle, interpreter, threads)))
        lowest = check_golden(bundle, encoder)
        if own is not None:
            options = DetectorOptions(interpreter=interpreter, threads=threads)
            detector = stack.enter_context(closing(open_detector(f"bundle:{bundle.path}", options)))
            check_golden_faces(bundle, detector)
    return lowest


def _tell(bundle: Bundle, lowest: float, as_json: bool) -> None:
    embeddings = len(bundle.strangers()) if "cohort.npz" in bundle.manifest.files else 0
    files = bundle.manifest.files
    if as_json:
        document = {"ok": True, "path": str(bundle.path), "bundle": bundle.hash, "signed_by": bundle.signed_by}
        document |= {"golden_cosine_min": lowest, "cohort_codes": embeddings}
        print(json.dumps(document | {"files": sorted(files)}))
        return
    print(f"{bundle.path}: {_text(bundle.manifest.name)}, bundle {bundle.hash[:12]}")
    print(f"files    {len(files)} as listed, {sum(size for _, size in files.values()):,} bytes")
    print(f"signed   {'by ' + bundle.signed_by if bundle.signed_by else 'by nobody'}")
    print(f"golden   {len(bundle.golden()[0])} outputs, smallest cosine {lowest:.5f}")
    print(f"cohort   {embeddings} embeddings from {bundle.manifest.strangers} people")


def _show(bundle: Bundle, whole: bool) -> None:
    manifest, metrics = bundle.manifest, bundle.manifest.metrics
    print(f"{_text(manifest.name)}  {bundle.path}  bundle {bundle.hash[:12]}")
    rows = {"signed": f"by {bundle.signed_by or 'nobody'}"}
    if whole:
        rows |= {name: f"{size:,} bytes, sha256 {digest[:12]}" for name, (digest, size) in manifest.files.items()}
        document = manifest.as_json()
        rows |= {key: _text(value) for key, value in _flat(document) if key.split(".")[0] not in ("name", "files")}
    else:
        width, height = manifest.preprocessing.template.size_wh
        size = manifest.files[manifest.encoder_file][1]
        rows["made"] = f"{manifest.created or '-'} by the recipe {manifest.recipe.get('name', '-')}"
        rows["encoder"] = (
            f"{width}x{height} px {manifest.preprocessing.colour} to {manifest.embedding_size} numbers, {size:,} bytes"
        )
        rows["detector"] = manifest.detector + (", in the bundle" if manifest.own_detector else ", not in the bundle")
        rows["cohort"] = f"{manifest.cohort.codes or '-'} embeddings from {manifest.strangers:,} people"
        looks = manifest.looks
        rows["looks"] = f"{looks.kinds} of {looks.people:,} people" if looks else "not known"
        rows["accuracy"] = "not measured"
        if metrics.pairs_right:
            pairs, right = metrics.pairs_right
            rows["accuracy"] = f"{right:.1%} of {pairs:,} pairs of photos judged right"
        maps = metrics.edgetpu.get("maps_wholly")
        rows["edge tpu"] = "not known" if maps is None else "maps wholly" if maps else "does not map wholly"
        total = sum(size for _, size in manifest.files.values())
        rows["files"] = f"{len(manifest.files)}, {total:,} bytes; --all shows every value with lineage and licence"
    for key, value in rows.items():
        print(f"  {_text(key):<10} {_text(value)}")


def _diff(old: Bundle, new: Bundle, as_json: bool) -> int:
    before, after = dict(_flat(old.manifest.as_json())), dict(_flat(new.manifest.as_json()))
    changed = {
        key: [before.get(key, _ABSENT), after.get(key, _ABSENT)]
        for key in sorted(before.keys() | after.keys())
        if before.get(key, _ABSENT) != after.get(key, _ABSENT)
    }
    if as_json:
        print(json.dumps({"same": not changed, "changed": changed}, indent=2))
    elif not changed:
        print("the manifests are the same")
    else:
        print(f"--- {old.path}\n+++ {new.path}")
        for key, (left, right) in changed.items():
            print(f"{_text(key)}\n  - {_text(left)}\n  + {_text(right)}")
    return 1 if changed else 0


def _flat(value: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Leaves of a JSON document by dotted key; a list stays whole unless it holds mappings."""
    if isinstance(value, Mapping) and value:
        pairs = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        pairs = [(str(index), item) for index, item in enumerate(value)]
    else:
        return [(prefix, value)]
    return [leaf for key, item in pairs for leaf in _flat(item, f"{prefix}.{key}" if prefix else key)]


def _text(value: Any) -> str:
    """One printable line: a bundle is somebody else's text, and a terminal obeys what it is sent."""
    text = value if isinstance(value, str) else json.dumps(value)
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
