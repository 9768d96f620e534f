from __future__ import annotations

import json

import pytest

from edge_runtime.bundle.preprocessing import Preprocessing
from edge_runtime.errors import InputError
from tests.builders import TINY_PREPROCESSING
from train.runs.run import load_run


def test_a_preprocessing_survives_json():
    text = json.dumps(TINY_PREPROCESSING.as_json())
    assert Preprocessing.from_json(json.loads(text)) == TINY_PREPROCESSING
    assert isinstance(Preprocessing.from_json(json.loads(text)), Preprocessing)


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "expected the folder of a run"),
        ("{", "missing or wrong"),
        ('{"schema": 99}', "expected schema 1, found 99"),
        ('{"schema": 1, "chips": {}}', "missing or wrong"),
    ],
)
def test_a_wrong_folder_is_one_line(tmp_path, content, message):
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(InputError, match=message):
        load_run(tmp_path)
