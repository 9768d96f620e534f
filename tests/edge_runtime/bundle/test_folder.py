"""A bundle is somebody else's folder: whatever is wrong with it ends in one line, and nothing of it is used."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.app.command_line import main
from edge_runtime.bundle.folder import Bundle, file_digest
from edge_runtime.bundle.manifest import MANIFEST, Manifest
from edge_runtime.errors import BundleError, SelfTestError
from edge_runtime.faces.encoder import open_encoder
from edge_runtime.faces.golden import check_golden
from tests.builders import TINY_PREPROCESSING, make_bundle, write_manifest

FILES = ("encoder.tflite", "cohort.npz", "golden.npz", "CARD.md")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "tiny").path


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "tiny"))


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Alter the manifest as somebody would who knows the format."""
    document = json.loads((folder / MANIFEST).read_text())
    edit(document)
    (folder / MANIFEST).write_text(json.dumps(document))


def put(folder: Path, name: str, **arrays: Any) -> None:
    """Replace an archive and make the manifest agree with it."""
    np.savez(folder / name, **arrays)
    write_manifest(folder)


def refused(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        Bundle(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_whole_bundle_opens_and_says_what_it_is(pristine: Path) -> None:
    bundle = Bundle(pristine)
    assert bundle.manifest.preprocessing == TINY_PREPROCESSING
    assert (bundle.manifest.embedding_size, bundle.manifest.strangers) == (32, 400)
    assert bundle.manifest.own_detector is not None and bundle.manifest.detector == bundle.manifest.own_detector.name
    assert bundle.encoder_hash == file_digest(pristine / "encoder.tflite")[0]
    strangers = bundle.strangers()
    assert strangers.shape == (400, 32) and strangers.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(strangers, axis=1), 1, atol=1e-5)
    encoder = open_encoder(bundle)
    assert check_golden(bundle, encoder) > 0.999
    encoder.close()


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", "..", ".hidden", "", "a\nb", "x" * 200, MANIFEST])
def test_file_names_that_lead_elsewhere_are_refused(folder: Path, name: str) -> None:
    (folder.parent / "x").write_text("outside")
    change(folder, lambda m: m["files"].update({name: {"sha256": "0" * 64, "bytes": 7}}))
    assert "plain file names" in refused(folder)


@pytest.mark.parametrize(
    ("schema", "advice"), [(2, "upgrade"), (99, "upgrade"), (0, "again"), ("1", "again"), (True, "again")]
)
def test_another_schema_says_what_to_do(folder: Path, schema: Any, advice: str) -> None:
    change(folder, lambda m: m.update(schema=schema))
    assert advice in refused(folder)


@pytest.mark.parametrize(
    "path",
    [
        ("schema",), ("name",), ("files",), ("encoder",), ("detector",), ("cohort",),
        ("encoder", "file"), ("encoder", "colour"), ("encoder", "mean"), ("encoder", "std"), ("encoder", "template"),
        ("encoder", "template", "points"), ("encoder", "template", "size_wh"), ("encoder", "code_size"),
        ("detector", "name"), ("cohort", "people"), ("files", "CARD.md", "sha256"), ("files", "CARD.md", "bytes"),
    ],
    ids=".".join,
)  # fmt: skip
def test_a_missing_value_is_named(folder: Path, path: tuple[str, ...]) -> None:
    def drop(document: dict[str, Any]) -> None:
        for key in path[:-1]:
            document = document[key]
        del document[path[-1]]

    change(folder, drop)
    assert path[-1] in refused(folder)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("colour", "hsv"), ("mean", [1, 2, 3]), ("mean", 5), ("mean", [float("nan")]), ("std", [0.0]), ("std", [-1.0]),
        ("std", [float("inf")]), ("code_size", 0), ("code_size", "many"), ("code_size", float("inf")),
        ("file", "other.tflite"), ("template", []), ("template", {"points": [[0, 0]] * 5, "size_wh": [28]}),
        ("template", {"points": [[0, float("nan")]] * 5, "size_wh": [28, 28]}),
        ("template", {"points": [[0, 0]] * 4, "size_wh": [28, 28]}),
        ("template", {"points": [[0, 0]] * 5, "size_wh": [100000, 100000]}),
    ],
)  # fmt: skip
def test_a_wrong_value_of_the_encoder_is_refused(folder: Path, where: str, value: Any) -> None:
    change(folder, lambda m: m["encoder"].update({where: value}))
    refused(folder)


@pytest.mark.parametrize(
    "edit",
    [
        lambda m: m["files"]["CARD.md"].update(sha256="abc"),
        lambda m: m["files"]["CARD.md"].update(bytes=-1),
        lambda m: m.update(files=["encoder.tflite"]),
        lambda m: m["cohort"].update(people=-5),
        lambda m: m.update(golden=[0.99]),
    ],
)
def test_wrong_values_elsewhere_are_refused(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    change(folder, edit)
    refused(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", "[" * 100_000, "\xff\xfe", '{"schema": 1}'])
def test_a_manifest_that_is_no_manifest_is_refused(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_bytes(text.encode("latin-1"))
    refused(folder)


def test_a_manifest_of_gigabytes_is_not_read(folder: Path) -> None:
    with (folder / MANIFEST).open("r+b") as stream:
        stream.truncate(1 << 32)
    assert "expected a bundle" in refused(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_one_flipped_bit_in_any_file_is_found(folder: Path, name: str, place: float) -> None:
    data = bytearray((folder / name).read_bytes())
    data[int(place * (len(data) - 1))] ^= 1
    (folder / name).write_bytes(data)
    assert name in refused(folder)


def test_one_flipped_bit_in_the_manifest_is_another_bundle(folder: Path) -> None:
    before = Bundle(folder).hash
    data = bytearray((folder / MANIFEST).read_bytes())
    at = data.index(b"tiny")
    data[at] ^= 1
    (folder / MANIFEST).write_bytes(data)
    assert Bundle(folder).hash != before


def test_missing_extra_and_linked_files_are_found(folder: Path, tmp_path: Path) -> None:
    (folder / "notes.txt").write_text("hello")
    assert "notes.txt" in refused(folder)
    (folder / "notes.txt").unlink()
    (folder / "more").mkdir()
    assert "more" in refused(folder)
    (folder / "more").rmdir()
    shutil.move(folder / "CARD.md", tmp_path / "CARD.md")
    assert "CARD.md" in refused(folder)
    (folder / "CARD.md").symlink_to(tmp_path / "CARD.md")
    assert "CARD.md" in refused(folder)


def test_a_linked_manifest_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder / MANIFEST, tmp_path / MANIFEST)
    (folder / MANIFEST).symlink_to(tmp_path / MANIFEST)
    refused(folder)


@pytest.mark.parametrize("make", [lambda p: p, lambda p: p.mkdir(), lambda p: p.write_text("x")])
def test_no_bundle_there_says_how_to_make_one(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "nothing")
    assert "python -m convert model" in refused(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["cohort.npz", "golden.npz"])
@pytest.mark.parametrize("damage", ["half", "middle", "empty", "text", "npy"])
def test_a_damaged_archive_ends_in_one_line(folder: Path, name: str, damage: str) -> None:
    data = (folder / name).read_bytes()
    single = io.BytesIO()
    np.save(single, np.zeros(3))
    spoilt = {
        "half": data[: len(data) // 2],
        "middle": data[:100] + bytes(len(data) - 200) + data[-100:],
        "empty": b"",
        "text": b"not an archive",
        "npy": single.getvalue(),
    }
    (folder / name).write_bytes(spoilt[damage])
    write_manifest(folder)
    bundle = Bundle(folder)
    with pytest.raises(BundleError, match=name) as caught:
        bundle.strangers() if name == "cohort.npz" else bundle.golden()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "codes",
    [np.zeros((0, 32), np.int8), np.zeros((4, 16), np.int8), np.ones((4, 32), np.float32), np.array([{}], object)],
)
def test_a_cohort_of_another_kind_is_refused(folder: Path, codes: Any) -> None:
    put(folder, "cohort.npz", codes=codes)
    with pytest.raises(BundleError, match=r"cohort\.npz"):
        Bundle(folder).strangers()


@pytest.mark.parametrize(
    ("chips", "codes"),
    [
        (np.zeros((0, 28, 28, 3), np.uint8), np.zeros((0, 32), np.float32)),
        (np.zeros((2, 28, 28, 1), np.uint8), np.zeros((2, 32), np.float32)),
        (np.zeros((2, 28, 28, 3), np.float32), np.zeros((2, 32), np.float32)),
        (np.zeros((2, 28, 28, 3), np.uint8), np.zeros((3, 32), np.float32)),
        (np.zeros((2, 28, 28, 3), np.uint8), np.zeros((2, 31), np.float32)),
        (np.zeros((2, 28, 28, 3), np.uint8), np.float32(1)),
    ],
)
def test_golden_outputs_of_another_kind_are_refused(folder: Path, chips: Any, codes: Any) -> None:
    put(folder, "golden.npz", chips=chips, codes=codes)
    with pytest.raises(BundleError, match=r"golden\.npz"):
        Bundle(folder).golden()


def test_other_outputs_than_the_golden_ones_fail_the_self_test(folder: Path) -> None:
    chips, codes = Bundle(folder).golden()
    for wrong in (codes[::-1], np.full_like(codes, np.nan), np.zeros_like(codes)):
        put(folder, "golden.npz", chips=chips, codes=wrong)
        bundle = Bundle(folder)
        encoder = open_encoder(bundle)
        with pytest.raises(SelfTestError):
            check_golden(bundle, encoder)
        encoder.close()


def test_the_manifest_may_ask_for_nearer_outputs_but_not_for_fewer(folder: Path) -> None:
    chips, codes = Bundle(folder).golden()
    noise = np.random.default_rng(0).normal(size=codes.shape)
    near = codes + 0.1 * noise / np.linalg.norm(noise, axis=1, keepdims=True)  # cosine about 0.995
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    put(folder, "golden.npz", chips=chips, codes=near.astype(np.float32))
    encoder = open_encoder(Bundle(folder))
    assert check_golden(Bundle(folder), encoder) < 0.999
    change(folder, lambda m: m.update(golden={"cosine": 0.9995}))
    with pytest.raises(SelfTestError, match=r"0\.9995"):
        check_golden(Bundle(folder), encoder)
    put(folder, "golden.npz", chips=chips, codes=codes[::-1])
    for floor in (-1.0, float("nan")):
        change(folder, lambda m, floor=floor: m.update(golden={"cosine": floor}))
        with pytest.raises(SelfTestError):
            check_golden(Bundle(folder), encoder)
    encoder.close()


def test_a_model_that_is_not_the_manifests_is_refused(folder: Path) -> None:
    change(folder, lambda m: m["encoder"].update(code_size=31))
    with pytest.raises(BundleError, match="expected embeddings of 31"):
        open_encoder(Bundle(folder))
    change(folder, lambda m: m["encoder"].update(code_size=32, colour="rgb", mean=[0] * 3, std=[1] * 3))
    with pytest.raises(BundleError, match="expected input"):
        open_encoder(Bundle(folder))


def test_the_preprocessing_hash_is_of_all_that_shapes_a_chip(pristine: Path) -> None:
    document = json.loads((pristine / MANIFEST).read_text())
    original = Manifest.parse(json.dumps(document))
    hashes = {original.preprocessing_hash("haar"), original.preprocessing_hash("yunet")}
    for key, value in (("colour", "rgb"), ("mean", [1.0]), ("std", [1.0])):
        encoder = document["encoder"] | {key: value}
        if key == "colour":
            encoder |= {"mean": [127.5] * 3, "std": [127.5] * 3}
        hashes.add(Manifest.parse(json.dumps(document | {"encoder": encoder})).preprocessing_hash("haar"))
    assert len(hashes) == 5
    renamed = Manifest.parse(json.dumps(document | {"name": "other"}))
    assert renamed.preprocessing_hash("haar") == original.preprocessing_hash("haar")


# The command


def test_verify_show_and_diff(folder: Path, pristine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "verify", str(folder)]) == 0
    assert "golden   4 outputs" in capsys.readouterr().out
    assert main(["bundle", "verify", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["golden_cosine_min"] > 0.999
    assert main(["bundle", "show", str(folder), "--all"]) == 0
    shown = capsys.readouterr().out
    assert "encoder.tflite" in shown and "size_wh" in shown and "26,448 bytes" in shown
    assert main(["bundle", "show", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["manifest"]["name"] == "tiny"
    assert main(["bundle", "diff", str(folder), str(pristine)]) == 0
    assert "same" in capsys.readouterr().out
    change(folder, lambda m: m["cohort"].update(people=7))
    assert main(["bundle", "diff", str(pristine), str(folder)]) == 1
    assert capsys.readouterr().out.splitlines()[2:] == ["cohort.people", "  - 400", "  + 7"]
    assert main(["bundle", "diff", str(pristine), str(folder), "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"same": False, "changed": {"cohort.people": [400, 7]}}


def test_without_a_path_it_is_the_configured_bundle(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configured = ["--set", f"bundle.path={folder}"]
    assert main(["bundle", "verify", *configured]) == 0
    assert str(folder) in capsys.readouterr().out
    assert main(["bundle", "diff", str(folder), *configured]) == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["verify", "a", "b"], 2), (["diff"], 2), (["diff", "a", "b", "c"], 2), (["verify", "nowhere"], 6)],
)
def test_wrong_use_is_one_line_and_an_exit_code(
    arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bundle", *arguments]) == code
    assert capsys.readouterr().err.count("\n") == 1


def test_a_bundle_cannot_send_the_terminal_commands(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(folder, lambda m: m.update(name="\x1b]0;owned\x07", licence="a\x1b[2Jb"))
    assert main(["bundle", "show", str(folder)]) == 0
    assert main(["bundle", "verify", str(folder)]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_a_failed_self_test_has_its_own_exit_code(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chips, codes = Bundle(folder).golden()
    put(folder, "golden.npz", chips=chips, codes=-codes)
    assert main(["bundle", "verify", str(folder)]) == SelfTestError.exit_code
    assert "golden outputs" in capsys.readouterr().err
