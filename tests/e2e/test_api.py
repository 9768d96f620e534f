"""The API as programs use it and as attackers would, against a real daemon."""

from __future__ import annotations

import io
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.builders import RELEASED, ROOT
from tests.e2e.test_run import environment, starting
from tests.waiting import wait_for
from tests.web_client import Served, answers, free_port, httpx, serving

CHANGING = "switch|delete|forget|calibration|wrong|take-back|live"
"""Operations that would take away from other tests what they look at, or enrol whoever is before the camera."""

ALONE = "synthetic:fps=15,size=640x480,seed=3,people=1,realtime,loop"
"""One person, again and again."""

pytest.importorskip("starlette", reason="the extra web is not installed")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served"), "--set", "events.keep=crops") as one:
        yield one


def test_a_person_is_enrolled_recognised_renamed_and_forgotten(served: Served) -> None:
    name = served.people[0]
    served.enrol(name)
    assert [one["name"] for one in served.client.get("/api/faces").json()["people"]] == [name]
    shown = served.client.get(f"/api/faces/{name}").json()
    assert len(shown["records"]) == 3 and shown["records"][0]["source"] == "API"
    found = served.client.post("/api/faces/recognize", files={"file": served.photo(name, 4)}).json()
    assert [face["person"] for face in found["faces"]] == [name]
    other = served.client.post("/api/faces/recognize", files={"file": served.photo(served.people[-1])}).json()
    assert [face["person"] for face in other["faces"]] == [None]
    assert served.client.get("/api/stats").json()["gallery"]["templates"] == 3
    renamed = served.client.post(f"/api/faces/{name}/rename", json={"new": "Zoë / second"})
    assert renamed.status_code == 200, renamed.text
    served.client.post("/api/faces/Zo%C3%AB %2F second/rename", json={"new": name})
    number = shown["records"][0]["template_id"]
    assert served.client.post(f"/api/faces/{name}/photos/{number}/delete").json()["templates"] == 2
    gone = served.client.post(f"/api/faces/{name}/delete").json()
    assert gone["name"] == name and gone["remains"] is False
    assert served.client.get("/api/faces").json() == {"people": []}
    assert served.client.get(f"/api/faces/{name}").status_code == 404


def test_events_come_as_they_happen_and_again_from_where_a_listener_was(served: Served) -> None:
    wait_for(lambda: served.client.get("/api/events").json()["newest"] > 1)
    newest = served.client.get("/api/events?limit=5").json()["newest"]
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(newest - 1)}
    numbers: list[int] = []
    with httpx.stream("GET", f"{served.url}/api/events", headers=headers, timeout=30, trust_env=False) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            if line.startswith("data: "):
                event = json.loads(line.removeprefix("data: "))
                numbers.append(event["event_id"])
                if len(numbers) == 4:
                    break
    assert numbers == [newest, newest + 1, newest + 2, newest + 3]


def test_a_wrong_name_is_marked_and_taken_back(served: Served) -> None:
    name, client = served.people[0], served.client
    served.enrol(name)

    def visit() -> dict[str, Any]:
        return dict(client.get(f"/api/visits?person={name}").json()["visits"][-1])

    wait_for(lambda: client.get(f"/api/visits?person={name}").json()["visits"])
    seen = visit()
    number = seen["event_id"]
    assert seen["state"] == "identified" and seen["person"] == name
    assert seen["decision"]["threshold"] <= seen["decision"]["score"] and not seen["decision"]["corrected"]
    corrected = client.post(f"/api/events/{number}/wrong", json={}).json()
    assert corrected["name"] == name and corrected["effect"]["photos"] == 3 and corrected["effect"]["enrolled"] is None

    def of_event() -> dict[str, Any]:
        found = client.get("/api/visits?limit=1000").json()["visits"]
        return next(one["decision"] for one in found if one["event_id"] == number)

    assert of_event()["corrected"]
    assert len(client.get(f"/api/faces/{name}").json()["negatives"]) == 1
    taken = client.post(f"/api/events/{number}/take-back").json()
    assert taken == {"people": [name], "only": []} and not of_event()["corrected"]
    assert client.post(f"/api/events/{number}/take-back").status_code == 400
    assert client.post("/api/events/999999999/wrong", json={}).status_code == 404
    itself = client.post(f"/api/events/{number}/wrong", json={"was": name})
    assert itself.status_code == 400 and "somebody else" in itself.json()["error"]
    client.post(f"/api/faces/{name}/delete")


def test_visits_come_in_pages_that_miss_nothing(served: Served) -> None:
    wait_for(lambda: len(served.client.get("/api/visits").json()["visits"]) > 4)
    until_s = served.client.get("/api/visits").json()["visits"][-1]["first_s"]

    def page(before: float, limit: int) -> dict[str, Any]:
        return dict(served.client.get(f"/api/visits?before={before}&limit={limit}").json())

    def keys(answer: dict[str, Any]) -> list[tuple[str, float]]:
        return [(one["track_id"], one["first_s"]) for one in answer["visits"]]

    whole, paged, before, more = page(until_s, 1000), [], until_s, True
    while more:
        answer = page(before, 2)
        paged, more = keys(answer) + paged, answer["more"]
        begins = [one["first_s"] for one in answer["visits"]] + [one["wall_time"] for one in answer["events"]]
        before = min(begins)
    assert paged == keys(whole) and not whole["more"]


def test_whoever_stands_before_a_camera_is_told_what_to_do_and_enrolled(tmp_path: Path) -> None:
    with serving(tmp_path, "--camera", f"front={ALONE}") as served:
        wait_for(lambda: served.client.get("/api/cameras/front/snapshot.jpg").status_code == 200)

        def live(name: str, **body: Any) -> Any:
            return served.client.stream("POST", f"/api/faces/{name}/live", json=body, timeout=120)

        for name, camera, code in (("Ada", "hall", 404), ("unknown", "front", 400)):
            with live(name, camera=camera) as refused:
                refused.read()
                assert refused.status_code == code and set(refused.json()) == {"error"}
        with live("Ada", camera="front", views=20) as left:  # somebody who closes the page
            assert "guidance" in json.loads(next(left.iter_lines()))
        with live("Ada", camera="front", views=2) as stream:
            assert stream.headers["content-type"] == "application/x-ndjson"
            lines = [json.loads(line) for line in stream.iter_lines() if line]
        assert {"hold still"} <= {line.get("guidance") for line in lines}
        assert [line["views"] for line in lines if "views" in line] == sorted(line["views"] for line in lines[:-1])
        assert [one["accepted"] for one in lines[-1]["results"]] == [True, True]
        person = served.client.get("/api/faces/Ada").json()
        assert [photo["source"] for photo in person["records"]] == ["camera front"] * 2
        with live("Bo", camera="front", views=2) as other:
            error = json.loads([line for line in other.iter_lines() if line][-1])["error"]
        assert "Ada" in error and "nothing was enrolled" in error


def test_a_kept_crop_and_a_snapshot_are_pictures(served: Served) -> None:
    def with_crop() -> list[dict[str, Any]]:
        return [one for one in served.client.get("/api/events").json()["events"] if one["has_crop"]]

    wait_for(with_crop)
    event = with_crop()[-1]
    for path in (f"/api/events/{event['event_id']}/crop.jpg", "/api/cameras/front/snapshot.jpg"):
        answer = served.client.get(path)
        assert answer.headers["content-type"] == "image/jpeg"
        assert Image.open(io.BytesIO(answer.content)).size[0] > 20
    assert served.client.get("/api/events/999999999/crop.jpg").status_code == 404
    assert served.client.get("/api/cameras/cellar/snapshot.jpg").status_code == 404


def test_the_target_changes_what_a_name_needs(served: Served) -> None:
    before = served.client.get("/api/stats").json()["gallery"]["target_per_1000"]
    assert served.client.post("/api/calibration", json={"false_accepts_per_1000_strangers": 25}).status_code == 200
    assert served.client.get("/api/stats").json()["gallery"]["target_per_1000"] == 25
    served.client.post("/api/calibration", json={"false_accepts_per_1000_strangers": before})


def test_the_calibration_is_the_one_that_the_command_line_makes(served: Served) -> None:
    if not served.client.get("/api/faces").json()["people"]:
        nobody = served.client.get("/api/calibration")
        assert nobody.status_code == 404 and "nobody is enrolled" in nobody.json()["error"]
    for name in served.people[:2]:
        served.enrol(name)
    found = served.client.get("/api/calibration").json()
    done = subprocess.run(
        [sys.executable, "-m", "edge_runtime", "calibrate", "--json", "--set", f"bundle.path={RELEASED}"],
        cwd=served.folder,
        env=environment(served.folder),
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    assert found == told
    assert {one["name"] for one in found["persons"]} == set(served.people[:2])
    assert [row["target_per_1000"] for row in found["targets"]] == [0.1, 0.3, 1, 3, 10, 30, 100]
    alike = [row["alike_per_1000"] for row in found["targets"]]
    assert alike == sorted(alike) and all(0 <= row["miss_rate"] <= 1 for row in found["targets"])
    for name in served.people[:2]:
        served.client.post(f"/api/faces/{name}/delete")


def test_the_device_says_what_the_doctor_says_and_which_model_it_has(served: Served) -> None:
    from edge_runtime.bundle.folder import Bundle

    wait_for(lambda: served.client.get("/api/stats").json()["cameras"]["front"]["state"] == "running")
    rows = {row["check"]: row for row in served.client.get("/api/doctor").json()["rows"]}
    assert rows["daemon"]["state"] in ("ok", "warn") and rows["golden outputs"]["state"] == "ok"
    assert rows["camera front"]["found"].startswith("running in the daemon")
    assert all(row["command"] for row in rows.values() if row["state"] == "fail")
    bundle, found = Bundle(RELEASED), served.client.get("/api/bundle").json()
    assert (found["hash"], found["card"]) == (bundle.hash, (RELEASED / "CARD.md").read_text())
    assert served.client.get("/api/stats").json()["version"]
    off = served.client.get("/api/metrics")
    assert off.status_code == 404 and "[metrics] listen" in off.json()["error"]


def test_two_people_are_made_one_and_two_again(served: Served) -> None:
    one, other = served.people[:2]
    client = served.client
    for name in (one, other):
        served.enrol(name)
    wait_for(lambda: all(client.get(f"/api/visits?person={name}").json()["visits"] for name in (one, other)))
    wait_for(lambda: client.get(f"/api/visits?person={other}").json()["visits"][-1]["left"])
    seen = client.get(f"/api/visits?person={other}").json()["visits"][-1]
    before = client.get("/api/calibration").json()["persons"]
    faces = client.get("/api/faces").json()
    merged = client.post(f"/api/faces/{other}/merge", json={"into": one}).json()
    assert (merged["name"], merged["templates"], [part["name"] for part in merged["merged"]]) == (one, 6, [other])
    assert client.get("/api/faces").json() == {"people": [merged]}
    photo = {"file": served.photo(other, 4)}
    assert [face["person"] for face in client.post("/api/faces/recognize", files=photo).json()["faces"]] == [one]
    after = client.get("/api/calibration").json()["persons"]
    assert [(person["name"], person["photos"]) for person in after] == [(one, 6)]
    assert after[0]["threshold"] != next(p["threshold"] for p in before if p["name"] == one)
    of_both = client.get(f"/api/visits?person={one}&limit=1000").json()["visits"]
    # Which event decided a visit may change as long as it goes on.
    mine = [visit for visit in of_both if visit["track_id"] == seen["track_id"]]
    assert [visit["person"] for visit in mine] == [one], "visits of both are the one's"
    assert client.get(f"/api/events/{seen['event_id']}/crop.jpg").status_code == 200
    number = seen["event_id"]
    assert client.post(f"/api/events/{number}/wrong", json={}).json()["name"] == one
    assert client.post(f"/api/events/{number}/take-back").json() == {"people": [one], "only": []}
    gone = client.get(f"/api/faces/{other}")
    assert gone.status_code == 404 and "familiar people unmerge" in gone.json()["error"]
    for path, body in ((f"{one}/merge", {"into": one}), (f"{one}/unmerge", None), (f"{other}/merge", {"into": one})):
        refused = client.post(f"/api/faces/{path}", json=body)
        assert refused.status_code in (400, 404) and set(refused.json()) == {"error"}, path
    assert client.post(f"/api/faces/{other}/unmerge").json() == faces["people"][1]
    assert client.get("/api/faces").json() == faces
    assert client.get(f"/api/visits?person={other}").json()["visits"]
    client.post(f"/api/faces/{other}/merge", json={"into": one})
    assert client.post(f"/api/faces/{one}/delete").json()["merged"][0]["name"] == other
    assert client.get("/api/faces").json() == {"people": []}
    wait_for(lambda: not [one for one in client.get("/api/visits?limit=1000").json()["visits"] if one["person"]])


def test_people_leave_under_a_passphrase_and_come_back(served: Served) -> None:
    name, client = served.people[3], served.client
    served.enrol(name)
    words = {"Familiar-Passphrase": "gr%C3%BCne%20Kuh%201"}
    short = client.get("/api/backup", headers={"Familiar-Passphrase": "short"})
    assert short.status_code == 400 and "8 characters" in short.json()["error"]
    kept = client.get("/api/backup", headers=words)
    assert kept.status_code == 200 and "attachment" in kept.headers["content-disposition"]
    assert kept.headers["cache-control"] == "no-store" and name.encode() not in kept.content
    client.post(f"/api/faces/{name}/delete")
    place = {"content": kept.content, "headers": words | {"Content-Type": "application/octet-stream"}}
    forgotten = client.post("/api/restore", **place)
    assert forgotten.status_code == 400 and "forgotten" in forgotten.json()["error"]
    wrong = client.post("/api/restore", content=kept.content, headers={"Familiar-Passphrase": "another one"})
    assert wrong.status_code == 400 and "passphrase" in wrong.json()["error"]
    taken = client.post("/api/restore?forgotten=true", **place).json()
    assert (taken["people"], taken["added"], taken["known"]) == (1, 3, 0)
    again = client.post("/api/restore?forgotten=true&merge=true", **place).json()
    assert (again["added"], again["known"]) == (0, 3)
    assert [one["templates"] for one in client.get("/api/faces").json()["people"] if one["name"] == name] == [3]
    # The same file is the command line's.
    (served.folder / "people.familiar").write_bytes(kept.content)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "edge_runtime",
            "gallery",
            "import",
            "people.familiar",
            "--merge",
            "--forgotten",
            "--json",
        ],
        cwd=served.folder,
        env=environment(served.folder) | {"FAMILIAR_PASSPHRASE": "grüne Kuh 1"},
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout) | {"signer": ""} == again | {"signer": ""}, done.stderr
    client.post(f"/api/faces/{name}/delete")


def test_without_a_camera_it_serves_and_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    port = free_port()
    with starting(tmp_path, "--set", f"bundle.path={RELEASED}", "--set", f"web.listen=127.0.0.1:{port}") as start:
        served = Served(tmp_path, start(), port)
        served.daemon.next_line("no camera yet")
        wait_for(lambda: answers(served))
        stats = served.client.get("/api/stats").json()
        assert (stats["state"], [one["part"] for one in stats["troubles"]]) == ("failing", ["cameras"])
        assert "[camera.front]" in stats["troubles"][0]["reason"]
        enrolled = served.client.post(
            "/api/faces/Ash/register", content=served.photo("Ash"), headers={"Content-Type": "image/jpeg"}
        )
        assert enrolled.status_code == 200, "people can be enrolled before there is a camera"
        answer = served.client.post("/api/faces/Ash/live", json={"camera": "front"})
        assert answer.status_code == 404 and "none is configured" in answer.json()["error"]
        served.daemon.end()
        assert served.daemon.process.returncode == 0


def test_metrics_are_those_of_the_exporter(tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client", reason="prometheus-client, of the extra metrics, is missing")
    with serving(tmp_path, "--set", "metrics.listen=127.0.0.1:0") as served:
        answer = served.client.get("/api/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        assert re.search(r'^familiar_camera_fps{camera="front"} \d', answer.text, re.M), answer.text[:2000]
        assert "familiar_gallery_people 0.0" in answer.text


def test_the_document_is_sound_openapi(served: Served) -> None:
    from openapi_spec_validator import validate

    document = served.client.get("/api/openapi.json").json()
    validate(document)
    assert document["openapi"].startswith("3.1")


def test_generated_requests_find_nothing(served: Served) -> None:
    """Sound and unsound requests of every operation that leaves the daemon as it is, by the document."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{served.url}/api/openapi.json"),
            *("--exclude-path-regex", f"session|{CHANGING}", "--max-examples", "15"),
            *("--checks", "not_a_server_error,status_code_conformance,content_type_conformance"),
            *("--checks", "response_schema_conformance", "--seed", "1", "--no-color", "--phases", "examples,fuzzing"),
        ],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-4000:]


def test_the_python_and_the_curl_of_the_docs_do_what_they_say(served: Served, tmp_path: Path) -> None:
    name, text = served.people[1], (ROOT / "docs/web.md").read_text().replace("http://127.0.0.1:8470", served.url)
    (tmp_path / "ann.jpg").write_bytes(served.photo(name))
    (tmp_path / "group.jpg").write_bytes(served.photo(name, 1))
    (shell,) = re.findall(r"```sh\n(.*?)```", text, re.S)
    register, recognize, _, delete = shell.strip().splitlines()
    (program,) = re.findall(r"```python\n(.*?)```", text, re.S)

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    answer = json.loads(run("sh", "-c", register))
    assert answer["accepted"], (answer, served.client.get("/api/faces").text)
    assert json.loads(run("sh", "-c", recognize))["faces"][0]["person"] == "Ann"
    assert run(sys.executable, "-c", program) == "['Ann']\n"
    assert json.loads(run("sh", "-c", delete))["name"] == "Ann"


# Attacks.


def test_another_sites_page_changes_nothing_and_reads_nothing(served: Served) -> None:
    url = "/api/faces/Nobody/delete"
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        assert served.client.post(url, headers=headers).status_code == 403
    assert served.client.post(url, headers={"Origin": served.url}).status_code == 404
    # A foreign name that leads to this device (DNS rebinding), and somebody behind a proxy, are not this device.
    assert served.client.get("/api/faces", headers={"Host": "evil.example:8470"}).status_code == 401
    assert served.client.get("/api/faces", headers={"X-Forwarded-For": "203.0.113.9"}).status_code == 401
    page = served.client.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-frame-options"] == "DENY" and "access-control-allow-origin" not in page.headers


@pytest.mark.parametrize(
    "path", ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/page/..%2fserver.py", "/server.py", "//"]
)
def test_no_path_leads_out_of_the_page(served: Served, path: str) -> None:
    with socket.create_connection(("127.0.0.1", served.client.base_url.port), 10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.split(b" ")[1] == b"404" and b"root:" not in answer


def test_bodies_that_are_no_pictures_or_too_much_of_one_are_refused_in_a_line(served: Served) -> None:
    bomb = io.BytesIO()
    Image.new("1", (30000, 30000)).save(bomb, "PNG")
    cut = served.photo(served.people[0])[:2000]
    deep = b"[" * 60000
    refused = {
        "bomb": served.client.post("/api/faces/recognize", content=bomb.getvalue()),
        "cut": served.client.post("/api/faces/recognize", content=cut),
        "none": served.client.post("/api/faces/recognize", content=b""),
        "text": served.client.post("/api/faces/recognize", content=b"<svg/>", headers={"Content-Type": "text/html"}),
        "large": served.client.post("/api/faces/recognize", content=bytes(17 << 20)),
        "form": served.client.post("/api/faces/recognize", files={"other": b"x"}),
        "deep": served.client.post("/api/faces/A/rename", content=deep, headers={"Content-Type": "application/json"}),
        "huge": served.client.post("/api/faces/A/rename", json={"new": "x" * 100000}),
    }
    codes = {name: answer.status_code for name, answer in refused.items()}
    assert codes == {
        "bomb": 422,
        "cut": 422,
        "none": 422,
        "text": 415,
        "large": 413,
        "form": 400,
        "deep": 400,
        "huge": 413,
    }, {name: answer.text for name, answer in refused.items()}
    for answer in refused.values():
        assert "\n" not in answer.json()["error"] and "Traceback" not in answer.text
    assert answers(served)


def test_silent_and_slow_connections_keep_nobody_out(served: Served) -> None:
    address = ("127.0.0.1", served.client.base_url.port)
    silent = [socket.create_connection(address, 10) for _ in range(200)]
    try:
        for connection in silent[:100]:
            connection.sendall(
                b"POST /api/faces/recognize HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\nslow"
            )
        assert served.client.get("/api/faces").status_code == 200
        # Who never says anything is let go.
        silent[150].settimeout(30)
        assert silent[150].recv(10) == b""
    finally:
        for connection in silent:
            connection.close()
    # Bodies that were cut off hold up nobody who comes after them.
    assert served.client.get("/api/faces").status_code == 200


def test_a_listener_that_does_not_read_is_let_go_and_costs_no_other(served: Served) -> None:
    address = ("127.0.0.1", served.client.base_url.port)
    request = b"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\nLast-Event-ID: 0\r\n\r\n"
    deaf = [socket.create_connection(address, 10) for _ in range(16)]
    try:
        for connection in deaf:
            connection.sendall(request)
        for connection in deaf:  # begun, and from here on nobody reads
            assert connection.recv(12) == b"HTTP/1.1 200"
        wait_for(lambda: not _listens(served))
        assert served.client.get("/api/faces").status_code == 200
    finally:
        for connection in deaf:
            connection.close()
    wait_for(lambda: _listens(served), 30)


def _listens(served: Served) -> bool:
    try:
        with served.client.stream("GET", "/api/events", headers={"Accept": "text/event-stream"}) as stream:
            return bool(stream.status_code == 200)
    except httpx.ReadTimeout:
        return True  # it began, and nothing happened


def test_the_process_that_serves_has_no_secret_and_is_started_again(served: Served, monkeypatch: Any) -> None:
    pid = served.web_pid()
    names = re.findall(rb"([A-Z_]+)=", Path(f"/proc/{pid}/environ").read_bytes())
    assert not [name for name in names if name.startswith(b"FAMILIAR")]
    opened = [str(link.resolve()) for link in Path(f"/proc/{pid}/fd").iterdir()]
    assert not [name for name in opened if name.endswith((".db", "device.key"))]
    maps = Path(f"/proc/{pid}/maps").read_text()
    assert "cv2" not in maps and "litert" not in maps
    subprocess.run(["kill", "-9", str(pid)], check=True)
    wait_for(lambda: answers(served), 30)
    assert served.web_pid() != pid


def test_tokens_keep_out_limit_and_end(tmp_path: Path) -> None:
    def token(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "edge_runtime", "token", *arguments, "--set", "camera.front.source=synthetic:"],
            cwd=ROOT,
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    reader, admin = token("add", "tv"), token("add", "me", "--scope", "admin")
    blind = token("add", "gate", "--camera", "front")
    halfblind = token("add", "guard", "--scope", "name", "--camera", "front")
    with serving(tmp_path, "--camera", "back=synthetic:fps=2,realtime,loop") as served:
        client = served.client

        def get(path: str, text: str | None) -> int:
            headers = {} if text is None else {"Authorization": f"Bearer {text}"}
            return client.get(path, headers=headers).status_code

        assert get("/api/health", None) == 200  # says nothing but the state
        assert get("/api/faces", None) == 401 and get("/api/faces", "fam_wrong") == 401
        assert get("/api/faces", reader) == 200
        denied = client.post("/api/faces/A/delete", headers={"Authorization": f"Bearer {reader}"})
        assert denied.status_code == 403 and "scope name" in denied.json()["error"]
        # A token for one camera sees no other one's pictures, events or state.
        assert get("/api/cameras/back/snapshot.jpg", blind) == 403
        assert get("/api/events?camera=back", blind) == 403
        assert get("/api/visits?camera=back", blind) == 403
        bearer = {"Authorization": f"Bearer {blind}"}
        assert list(client.get("/api/stats", headers=bearer).json()["cameras"]) == ["front"]
        whole = {"Authorization": f"Bearer {admin}"}
        wait_for(lambda: client.get("/api/events?camera=back", headers=whole).json()["events"])
        seen = client.get("/api/events?limit=1000", headers=bearer).json()["events"]
        assert {event["camera"] for event in seen} <= {"front", ""}
        answer = client.get("/api/visits?limit=1000", headers=bearer).json()
        assert {one["camera"] for one in answer["visits"] + answer["events"]} <= {"front", ""}
        elsewhere = client.get("/api/events?camera=back", headers=whole).json()["events"][0]["event_id"]
        assert get(f"/api/events/{elsewhere}/crop.jpg", blind) == 403
        namer = {"Authorization": f"Bearer {halfblind}"}
        assert client.post(f"/api/events/{elsewhere}/wrong", json={}, headers=namer).status_code == 403
        beside = {"camera": "back"}
        assert client.post("/api/faces/A/live", json=beside, headers=namer).status_code == 403
        assert client.post("/api/faces/A/live", json={"camera": "front"}, headers=bearer).status_code == 403
        # What tells of everything at once is for nobody who sees one camera, and backups are for an admin.
        assert get("/api/metrics", blind) == 403
        assert [get(path, reader) for path in ("/api/backup", "/api/doctor")] == [403, 403]
        # The page's session: a cookie that scripts cannot read, and that ends with its token.
        session = client.post("/api/session", json={"token": admin}, headers={"Origin": served.url})
        cookie = session.headers["set-cookie"]
        assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower() and admin not in cookie
        assert client.get("/api/faces").status_code == 200
        crossing = client.post("/api/faces/A/delete", headers={"Origin": "https://evil.example"})
        assert crossing.status_code == 403
        with client.stream("GET", "/api/events", headers={"Accept": "text/event-stream"}, timeout=30) as stream:
            heard = stream.iter_lines()
            assert next(heard) == "retry: 2000"
            token("remove", "me")
            until_s = time.monotonic() + 40
            for _ in heard:  # it ends, as its token does
                assert time.monotonic() < until_s
        assert client.get("/api/faces").status_code == 401 and get("/api/faces", admin) == 401
        # Guessing ends after ten.
        codes = [get("/api/faces", f"fam_{number}") for number in range(12)]
        assert codes[-1] == 429
        threads = [threading.Thread(target=lambda: get("/api/faces", "fam_x")) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert get("/api/faces", reader) == 429  # from this address, until the minute is over


def test_beyond_this_device_nothing_is_served_in_the_clear(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    cases = {
        "0.0.0.0:0": "tls_cert",
        "nonsense": "ADDRESS:PORT",
        "127.0.0.1:99999": "ADDRESS:PORT",
        "203.0.113.7:80": "tls_cert",
    }
    for listen, says in cases.items():
        done = subprocess.run(
            [sys.executable, "-m", "edge_runtime", "run", "--camera", "a=synthetic:", "--set", f"web.listen={listen}"],
            cwd=ROOT,
            env={key: value for key, value in environment(tmp_path).items() if key != "FAMILIAR_BUNDLE_PATH"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 3 and says in done.stderr and done.stderr.count("\n") == 1, done.stderr
