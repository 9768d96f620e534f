import json

import pytest

from edge_runtime.config import WrongCamera, changed_keys, describe, load_config, parse_config
from edge_runtime.errors import ConfigError, GalleryError
from edge_runtime.gallery.opening import key_source


def write(tmp_path, text):
    path = tmp_path / "familiar.toml"
    path.write_text(text)
    return path


def test_defaults_stand_without_a_file():
    config = parse_config({})
    assert config.camera == {}
    assert config.decide.false_accepts_per_1000_strangers == 1.0


def test_command_line_beats_environment_beats_file(tmp_path):
    path = write(tmp_path, "[decide]\nmargin = 0.1\nviews = 4\nrecheck_s = 2\n")
    environ = {"FAMILIAR_DECIDE_MARGIN": "0.2", "FAMILIAR_DECIDE_VIEWS": "5", "FAMILIAR_STATE": "/elsewhere"}
    decide = load_config(path, ["decide.margin=0.3"], environ).decide
    assert (decide.margin, decide.views, decide.recheck_s) == (0.3, 5, 2.0)


def test_a_switch_may_come_from_anywhere(tmp_path):
    path = write(tmp_path, "[gallery]\nkeep_crops = true\n")
    assert load_config(path, [], {}).gallery.keep_crops
    assert not load_config(path, [], {"FAMILIAR_GALLERY_KEEP_CROPS": "false"}).gallery.keep_crops
    assert load_config(path, ["gallery.keep_crops=True"], {"FAMILIAR_GALLERY_KEEP_CROPS": "false"}).gallery.keep_crops
    with pytest.raises(ConfigError, match=r"keep_crops: expected bool, found 'maybe'"):
        load_config(path, ["gallery.keep_crops=maybe"], {})


def test_a_mistake_in_one_camera_of_several_is_that_cameras_alone(tmp_path):
    text = "[camera.front]\nsuorce = 'x'\n[camera.back]\nsource = 'v4l2:0'\n"
    cameras = load_config(write(tmp_path, text), [], {}).camera
    assert "did you mean 'source'" in cameras["front"].reason and not isinstance(cameras["back"], WrongCamera)
    for more, strict in ((text, True), (text + "[decide]\nmargn = 1\n", False), (text.replace("source", "s"), False)):
        with pytest.raises(ConfigError):
            load_config(write(tmp_path, more), [], {}, strict=strict)


def test_cameras_are_tables_by_name(tmp_path):
    path = write(tmp_path, '[camera.front]\nsource = "v4l2:0"\n')
    environ = {"FAMILIAR_CAMERA_BACK_SOURCE": "file:a.mp4", "FAMILIAR_CAMERA_FRONT_DEADLINE_S": "3"}
    cameras = load_config(path, [], environ).camera
    assert cameras["front"].source.reveal() == "v4l2:0"
    assert cameras["front"].deadline_s == 3.0
    assert str(cameras["back"].source) == "file:a.mp4"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[decide]\nmargn = 0.1\n", r"unknown key 'margn'; did you mean 'margin'\?"),
        ("[decid]\n", r"unknown section 'decid'; did you mean 'decide'\?"),
        ("[decide]\nviews = 'three'\n", "expected int, found 'three'"),
        ("[decide]\nviews = true\n", "expected int, found True"),
        ("[decide]\nmargin = 9\n", "expected 0 to 2"),
        ("[decide]\nmargin = nan\n", "expected 0 to 2"),
        ("decide = 3\n", r"\[decide\]: expected a table"),
        ("[camera]\nsource = 'v4l2:0'\n", r"as \[camera.front\]"),
        ("[camera.front]\nsuorce = 'x'\n", "did you mean 'source'"),
        ("[decide\n", "not valid TOML"),
        ("[[sink]]\n", "expected the key 'type', found none"),
        ("[[sink]]\ntype = 'jsonline'\n", r"unknown type 'jsonline'; did you mean 'jsonlines'\?"),
        ("[[sink]]\ntype = 'jsonlines'\npaht = 'a'\n", r"\[\[sink\]\] 1: unknown key 'paht'; did you mean 'path'\?"),
        ("[[sink]]\ntype = 'jsonlines'\n" * 2, r"\[\[sink\]\] 2: expected a name of its own, found 'jsonlines:-'"),
        ("[sink]\ntype = 'jsonlines'\n", r"\[\[sink\]\]: expected a list of tables"),
        ("[events]\npath = 'a'\n[[sink]]\ntype = 'jsonlines'\n", r'write instead \[\[sink\]\] with .*"jsonlines"'),
    ],
)
def test_mistakes_are_one_line_with_the_file_and_the_mend(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(write(tmp_path, text), [], {})
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("override", ["margin=3", "decide.margin", "decide.margin=much", "decide.marign=0.1"])
def test_a_wrong_override_is_refused(override):
    with pytest.raises(ConfigError):
        load_config(None, [override], {})


def test_a_mistake_outside_the_file_is_not_blamed_on_it(tmp_path):
    path = write(tmp_path, "[decide]\nmargin = 0.1\n")
    with pytest.raises(ConfigError, match=r"^--set decide.margin=9: ") as caught:
        load_config(path, ["decide.margin=9"], {})
    assert str(path) not in str(caught.value)
    with pytest.raises(ConfigError, match=r"^FAMILIAR_DECIDE_MARGN: .*did you mean 'margin'"):
        load_config(path, [], {"FAMILIAR_DECIDE_MARGN": "0.1"})


def test_a_named_file_must_exist(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path / "absent.toml", [], {})


def test_every_key_is_described():
    for key, kind, _, meaning in describe():
        assert meaning, key
        assert kind in ("str", "int", "float", "bool", "list"), key


def test_what_has_changed_is_named_key_by_key(tmp_path):
    old = parse_config({"camera": {"front": {"source": "v4l2:0"}, "hall": {"source": "v4l2:1"}}})
    new = parse_config(
        {
            "camera": {"front": {"source": "v4l2:0", "deadline_s": 3.0}, "door": {"source": "v4l2:1"}},
            "decide": {"margin": 0.3},
            "log": {"names": True},
        }
    )
    assert changed_keys(old, old) == []
    assert changed_keys(old, new) == [
        "camera.door", "camera.hall", "camera.front.deadline_s", "decide.margin", "log.names",
    ]  # fmt: skip


def test_a_yes_or_no_comes_from_anywhere(tmp_path):
    path = write(tmp_path, "[log]\nnames = true\nformat = 'json'\n")
    assert load_config(path, [], {}).log.names is True
    assert load_config(path, ["log.names=false"], {}).log.names is False
    assert load_config(path, [], {"FAMILIAR_LOG_NAMES": "False"}).log.names is False
    with pytest.raises(ConfigError, match="expected bool, found 'perhaps'"):
        load_config(path, ["log.names=perhaps"], {})
    with pytest.raises(ConfigError, match="expected text or json, found 'xml'"):
        load_config(path, ["log.format=xml"], {})


def test_a_shown_configuration_hides_passwords(tmp_path, capsys):
    from edge_runtime.app import command_line as cli

    path = write(tmp_path, '[camera.front]\nsource = "rtsp://user:secret@host/live"\n')
    for more in ([], ["--json"]):
        assert cli.main(["config", "show", "--config", str(path), *more]) == 0
        shown = capsys.readouterr().out
        assert "rtsp://***@host/***" in shown and "secret" not in shown


def test_every_mistake_is_told_at_once_and_repeats_no_address(tmp_path, capsys):
    from edge_runtime.app import command_line as cli

    path = write(
        tmp_path,
        """
[camera]
gate = "rtsp://bob:hunter2#@cam/x"
[camera.front]
source = "rtsp://bob:hunter2#@cam/live"
deadline_s = "rtsp://bob:hunter2@cam/live"
[camera.hall]
sorce = "v4l2:0"
[camera."a/b"]
source = "v4l2:0"
[camera.yard]
source = "v4l2:0?size=1280"
[detect]
detector = "haar:x"
[runtime]
interpreter = "gpu"
threads = 900
[decide]
margin = "wide"
[moonlight]
""",
    )
    assert cli.main(["config", "check", "--config", str(path), "--set", "log.format=xml"]) == 3
    out, err = capsys.readouterr()
    for said in (
        "[camera]: expected a table a name", "whose text has a # in it", "[camera.front] deadline_s: expected float",
        "[camera.hall]: unknown key 'sorce'; did you mean 'source'?", "[camera.hall]: expected a source",
        "camera 'a/b': expected a name", "size: expected WIDTHxHEIGHT", "detector 'haar'", "interpreter 'gpu'",
        "threads: expected 1 to 64", "margin: expected float, found 'wide'", "unknown section 'moonlight'",
        "--set log.format=xml: [log] format: expected text or json",
    ):  # fmt: skip
        assert err.count(said) == 1, said
    assert out == "" and len(err.splitlines()) == 13 and "hunter2" not in err
    assert cli.main(["config", "check", "--config", str(path), "--json"]) == 3
    assert len(json.loads(capsys.readouterr().out)["faults"]) == 12


def test_sinks_are_shown_checked_and_can_be_read_again(tmp_path, capsys):
    from edge_runtime.app import command_line as cli

    path = write(tmp_path, "[[sink]]\ntype = 'jsonlines'\n[[sink]]\ntype = 'jsonlines'\npath = 'a'\nname = 'mine'\n")
    assert cli.main(["config", "check", "--config", str(path)]) == 0
    capsys.readouterr()
    assert cli.main(["config", "show", "--config", str(path)]) == 0
    again = write(tmp_path, capsys.readouterr().out)
    sinks = load_config(again, [], {}).sink
    assert [(sink.name, sink.settings.path) for sink in sinks] == [("jsonlines:-", "-"), ("mine", "a")]
    assert changed_keys(parse_config({}), load_config(again, [], {})) == ["sink"]
    for more in ([], ["--json"]):
        assert cli.main(["config", "schema", *more]) == 0
        shown = capsys.readouterr().out
        assert "[[sink]].type" in shown and "[[sink]] jsonlines.path" in shown


@pytest.mark.parametrize("name", ["", "a\udcff", "a\x1b[2J", "a/b", "front+", "#", "x" * 65])
def test_a_cameras_name_can_stand_in_a_line_and_a_topic(name):
    with pytest.raises(ConfigError, match="camera ") as refused:
        parse_config({"camera": {name: {"source": "v4l2:0"}}})
    assert str(refused.value).isprintable()


def test_a_key_beside_the_gallery_is_refused_through_a_link_too(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "state/familiar"
    folder.mkdir(parents=True)
    (folder / "device.key").write_text("k")
    (tmp_path / "linked.key").symlink_to(folder / "device.key")
    with pytest.raises(GalleryError, match="found it within"):
        key_source(load_config(None, [f"gallery.key_file={tmp_path / 'linked.key'}"], {}))


@pytest.mark.parametrize("section", ["metrics", "web"])
def test_where_a_server_listens_is_checked_before_anything_starts(section: str) -> None:
    with pytest.raises(ConfigError, match=rf"\[{section}\] listen: expected ADDRESS:PORT, .*found '9108'"):
        parse_config({section: {"listen": "9108"}})


def test_a_mistake_that_a_sink_finds_itself_says_in_which_table() -> None:
    tables = [{"type": "webhook", "url": "http://a"}, {"type": "webhook", "url": "http://b", "text": "$persn"}]
    with pytest.raises(ConfigError, match=r"\[\[sink\]\] 2: sink webhook, text: expected words of person"):
        parse_config({"sink": tables})
