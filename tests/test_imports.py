"""What the device's package may load, seen from a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime.app.command_line import _summary
from edge_runtime.control.server import ControlServer
from edge_runtime.requests.access import Holdings
from edge_runtime.requests.table import LocalPeople
from edge_runtime.schema.backends import backend_names, load_backend
from tests.builders import ROOT

FORBIDDEN = {"tensorflow", "keras", "train", "convert", "models", "matplotlib"}


def loaded_by(program: str) -> set[str]:
    """The top-level modules a program has loaded at its end."""
    told = f"{program}\nimport json, sys\nprint(json.dumps(sorted({{n.partition('.')[0] for n in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", told], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_package_itself_loads_nothing_heavy() -> None:
    assert not loaded_by("import edge_runtime") & {"cv2", "numpy", "PIL", "cryptography", *FORBIDDEN}


def test_no_module_of_the_device_loads_the_desktop() -> None:
    program = (
        "import importlib, pkgutil, edge_runtime\n"
        "names = [m.name for m in pkgutil.walk_packages(edge_runtime.__path__, 'edge_runtime.')]\n"
        "assert len(names) > 30, names\n"
        "for name in names:\n"
        "    if not name.endswith('__main__'):\n"
        "        importlib.import_module(name)\n"
    )
    assert not loaded_by(program) & FORBIDDEN


def test_help_of_every_command_needs_no_interpreter() -> None:
    program = (
        "from edge_runtime.app.command_line import main\n"
        "try:\n"
        "    main(['--help'])\n"
        "except SystemExit as done:\n"
        "    assert done.code == 0\n"
    )
    assert not loaded_by(program) & {"ai_edge_litert", "tflite_runtime", *FORBIDDEN}


OUTSIDE = {"paho", "prometheus_client", "starlette", "uvicorn", "msgspec"}
"""Packages of outputs, API and page, each of which is loaded only where it is configured."""


def test_a_daemon_that_has_run_without_outputs_has_loaded_nothing_of_them(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from edge_runtime.daemon.service import Service\n"
        "from tests.builders import make_bundle\n"
        "from tests.running_service import make_config\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "config = make_config(folder, make_bundle(folder / 'tiny').path, door='synthetic:size=320x240')\n"
        "with Service(config) as service:\n"
        "    service.run()\n"
        "loaded = {n for n in sys.modules if n.startswith(('edge_runtime.sinks', 'edge_runtime.exporter'))}\n"
        "assert loaded == {'edge_runtime.sinks', 'edge_runtime.sinks.jsonlines'}, loaded\n"
        "assert not sys.modules.keys() & {'http.server', 'http.client', 'ssl', 'smtplib', 'email'}\n"
    )
    assert not loaded_by(program) & OUTSIDE


def test_reading_every_key_of_every_sink_loads_no_package_of_others() -> None:
    assert not loaded_by("from edge_runtime.config import describe\ndescribe()") & OUTSIDE


def test_a_sink_that_is_not_configured_is_not_loaded() -> None:
    program = (
        "import sys\n"
        "from edge_runtime.config import parse_config\n"
        "parse_config({})\n"
        "assert 'edge_runtime.sinks.jsonlines' not in sys.modules\n"
        "parse_config({'sink': [{'type': 'jsonlines'}]})\n"
        "assert 'edge_runtime.sinks.jsonlines' in sys.modules\n"
    )
    loaded_by(program)


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["people", "--help"], ["config", "show"], ["people", "list"]]
)
def test_what_computes_nothing_loads_nothing_that_computes(words: list[str], tmp_path: Path) -> None:
    """Each of these is run for every look on a machine where numpy and OpenCV take seconds to load; people while
    a daemon runs, which has the gallery open.
    """
    places = {"FAMILIAR_STATE": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "RUNTIME_DIRECTORY": str(tmp_path)}
    program = (
        "import sys, os\n"
        f"os.environ.update({places})\n"
        "from edge_runtime.app.command_line import main\n"
        "try:\n"
        f"    main({words!r})\n"
        "except SystemExit as done:\n"
        "    assert done.code == 0\n"
    )
    with ControlServer(tmp_path / "control.sock", LocalPeople(Holdings(None)).call):
        assert not loaded_by(program) & {"numpy", "cv2", "PIL", *FORBIDDEN}


def test_help_says_of_each_command_what_its_module_says() -> None:
    for name in backend_names("edge_runtime.commands"):
        module = load_backend("edge_runtime.commands", name, "command")
        assert _summary(name) == (module.__doc__ or "").partition("\n")[0]


def test_status_loads_nothing_that_computes() -> None:
    assert not loaded_by("import edge_runtime.commands.status") & {"numpy", "cv2", "PIL", *FORBIDDEN}
