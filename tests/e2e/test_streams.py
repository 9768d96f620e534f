"""The command with its standard streams closed, full, or fed with what other people called their files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.builders import ROOT, draw_face, make_bundle

SCENE = "synthetic:people=1,visits=1,fps=5"
ESCAPES = "\x1b]0;title\x07\x1b[31m\n.png"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("home")
    bundle = make_bundle(home / "bundle").path
    Image.fromarray(draw_face(0, 160)).save(home / "face.png")
    (home / ESCAPES).write_bytes((home / "face.png").read_bytes())
    (home / f"bad{ESCAPES}").write_bytes(b"x")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("FAMILIAR_", "XDG_"))},
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_RUNTIME_DIR": str(home),
        "FAMILIAR_BUNDLE_PATH": str(bundle),
        "PYTHONPATH": str(ROOT),
    }


def familiar(environment: dict[str, str], redirections: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    words = ["sh", "-c", f'exec "$@" {redirections}', "sh", sys.executable, "-m", "edge_runtime", *arguments]
    return subprocess.run(words, env=environment, cwd=environment["HOME"], capture_output=True, timeout=120)


@pytest.mark.parametrize("redirections", ["2>&-", "2>/dev/full", "<&-", "<&- 2>&-"])
def test_a_daemon_runs_without_a_usable_stream(environment: dict[str, str], redirections: str) -> None:
    done = familiar(environment, redirections, "run", "--camera", f"f={SCENE}")
    assert done.returncode == 0 and b"Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("redirections", ["<&-", ">&-", "<&- >&-"])
@pytest.mark.parametrize(
    "arguments", [("people", "list"), ("people", "forget", "P0"), ("gallery", "export", "x"), ("identify", "face.png")]
)
def test_a_command_without_a_stream_has_no_traceback(
    environment: dict[str, str], redirections: str, arguments: tuple[str, ...]
) -> None:
    done = familiar(environment, redirections, *arguments)
    assert b"Traceback" not in done.stdout + done.stderr
    assert not (Path(environment["HOME"]) / "x").exists()


def test_names_of_files_move_no_cursor(environment: dict[str, str]) -> None:
    for arguments in (("enroll", "Kim", ESCAPES), ("identify", ESCAPES, f"bad{ESCAPES}"), ("people", "show", "Kim")):
        done = familiar(environment, "", *arguments)
        assert b"\x1b" not in done.stdout + done.stderr and b"Traceback" not in done.stderr


def test_a_bundles_name_forges_no_line(environment: dict[str, str], tmp_path: Path) -> None:
    bundle = shutil.copytree(environment["FAMILIAR_BUNDLE_PATH"], tmp_path / "bundle")
    document = json.loads((bundle / "manifest.json").read_text())
    document["name"] = "x\nfamiliar: forged\x1b[31m"
    (bundle / "manifest.json").write_text(json.dumps(document))
    done = familiar(environment | {"FAMILIAR_BUNDLE_PATH": str(bundle)}, "", "run", "--camera", f"f={SCENE}")
    assert done.returncode == 0 and not any(line.startswith(b"familiar: forged") for line in done.stderr.splitlines())
