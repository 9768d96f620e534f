"""Signing on the desktop, from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("ai_edge_litert")

from convert.__main__ import main
from edge_runtime.bundle.folder import Bundle
from edge_runtime.bundle.signature import SIGNATURE
from tests.builders import make_bundle


def test_a_key_is_made_and_signs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, key = make_bundle(tmp_path / "b").path, tmp_path / "k.pem"
    assert main(["sign", str(bundle), "--key", str(key), "--new-key"]) == 0
    public = capsys.readouterr().out.split()[-1]
    assert Bundle(bundle, [public]).signed_by == public
    assert main(["sign", "--key", str(key)]) == 0
    assert capsys.readouterr().out.split()[-1] == public
    assert main(["sign", str(bundle), "--key", str(key), "--new-key"]) == 4


def test_what_is_not_whole_is_not_signed_and_keeps_the_signature_it_had(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, key = make_bundle(tmp_path / "b").path, tmp_path / "k.pem"
    assert main(["sign", str(bundle), "--key", str(key), "--new-key"]) == 0
    old = (bundle / SIGNATURE).read_bytes()
    (bundle / "CARD.md").write_text("another")
    assert main(["sign", str(bundle), "--key", str(key)]) == 6
    assert (bundle / SIGNATURE).read_bytes() == old
    assert main(["sign", str(tmp_path / "nothing"), "--key", str(key)]) == 6
    assert capsys.readouterr().err.count("\n") == 2
