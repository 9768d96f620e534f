from __future__ import annotations

import subprocess
import sys

import pytest

from tests.builders import ROOT
from train.__main__ import COMMANDS, main


def test_help_needs_neither_tensorflow_nor_a_command():
    code = (
        "import sys; sys.modules['tensorflow'] = sys.modules['keras'] = None\n"
        "from train.__main__ import main\nmain(['--help'])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in COMMANDS)


def test_ctrl_c_while_tensorflow_is_imported_is_one_line():
    code = (
        "import signal, sys\n"
        "class Impatient:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'keras': signal.raise_signal(signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.meta_path.insert(0, Impatient())\n"
        "from train.__main__ import main\nsys.exit(main(['fit', '--help']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "train fit: interrupted\n")


def test_no_command_is_a_usage_error():
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2


def test_debug_shows_where_it_went_wrong(tmp_path):
    arguments = ["prepare", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "c.npz")]
    assert main(arguments) == 4
    with pytest.raises(ValueError):
        main([*arguments, "--debug"])
