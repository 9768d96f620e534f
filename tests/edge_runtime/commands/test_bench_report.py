"""``bench --report``: what an owner sends back of a machine that we do not have."""

from __future__ import annotations

import getpass
import json
import socket
from pathlib import Path

from edge_runtime.commands._machine import describe, state
from tests.edge_runtime.conftest import Familiar

PI_4 = {
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU implementer\t: 0x41\n"
    "CPU part\t: 0xd08\n\nSerial\t\t: 10000000abcdef01\n",
    "proc/meminfo": "MemTotal:        3884376 kB\nMemFree:          100000 kB\n",
    "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nNAME="Debian GNU/Linux"\n',
    "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "1800000\n",
    "sys/class/thermal/thermal_zone0/temp": "61343\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
}


def board(root: Path, **other: str) -> Path:
    for name, text in (PI_4 | other).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_board_says_what_it_is(tmp_path: Path) -> None:
    told = describe(board(tmp_path))
    assert told["model"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert (told["cpu"], told["most_mhz"], told["dot_products"]) == ("Cortex-A72", 1800, False)
    assert (told["memory_mb"], told["system"]) == (3793, "Debian GNU/Linux 13 (trixie)")
    assert "abcdef01" not in json.dumps(told), "a serial number names its owner's board"
    newer = "processor\t: 0\nFeatures\t: fp asimd asimdhp asimddp\nCPU part\t: 0xd0b\n"
    told = describe(board(tmp_path, **{"proc/cpuinfo": newer}))
    assert (told["cpu"], told["dot_products"]) == ("Cortex-A76", True)


def test_what_slows_a_board_down_now_and_did_since_the_start(tmp_path: Path) -> None:
    told = state(board(tmp_path) / "sys")
    assert told == {
        "celsius": 61.3,
        "slowed_down": ["under-voltage", "throttled"],
        "slowed_down_since_start": ["under-voltage", "throttled"],
    }


def test_a_machine_that_tells_nothing_is_no_error(tmp_path: Path) -> None:
    told = describe(tmp_path)
    assert (told["model"], told["cpu"], told["memory_mb"], told["system"]) == (
        "not known",
        "not known",
        None,
        "not known",
    )
    assert state(tmp_path) == {"celsius": None, "slowed_down": None, "slowed_down_since_start": None}


def test_the_report_is_one_row_and_the_same_as_json(familiar: Familiar, visit_clip: str) -> None:
    code, out, err = familiar("bench", "--source", visit_clip, "--frames", "40", "--report")
    assert (code, err) == (0, "")
    table, _, rest = out.partition("\n\n```json\n")
    head, rule, row = table.splitlines()
    assert head.count("|") == rule.count("|") == row.count("|")
    cells = dict(zip(*([cell.strip() for cell in line.strip("|").split("|")] for line in (head, row)), strict=True))
    document = json.loads(rest.removesuffix("```\n"))
    assert cells["frames/s"] == f"{document['frames_per_s']:.1f}"
    assert cells["encode, ms"] == f"{document['stages']['encode']['mean_ms']:.2f}"
    assert document["machine"]["interpreter"].split()[1] in cells["interpreter"]
    assert not {socket.gethostname(), getpass.getuser()} & {*cells.values()}
    assert socket.gethostname() not in out and visit_clip.removeprefix("file:") not in out


def test_without_it_nothing_is_told_of_the_machine(familiar: Familiar, visit_clip: str) -> None:
    out = familiar("bench", "--source", visit_clip, "--frames", "10", "--json")[1]
    assert "machine" not in json.loads(out)
    out = familiar("bench", "--source", visit_clip, "--frames", "10", "--json", "--report")[1]
    assert json.loads(out)["machine"]["python"]
