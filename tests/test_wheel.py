"""What pip puts on a device: the runtime and its data, and none of the desktop's packages."""

import tomllib
import zipfile

import pytest

from edge_runtime.bundle.folder import Bundle
from edge_runtime.deploy.payload import build_wheel
from edge_runtime.errors import DeployError
from tests.builders import RELEASED, ROOT


def built(folder, released=False):
    try:
        return build_wheel(ROOT, folder, released)
    except DeployError as error:
        if "setuptools" in str(error):
            pytest.skip("no package index to fetch setuptools from")
        raise


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return built(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def wheel_names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_same_code_is_the_same_wheel(tmp_path, wheel):
    """So a deployment that changes the bundle alone does not send it again."""
    assert built(tmp_path).read_bytes() == wheel.read_bytes()


def test_the_wheel_that_pip_builds_brings_the_released_bundle_whole(tmp_path, wheel_names):
    with zipfile.ZipFile(built(tmp_path, released=True)) as archive:
        archive.extractall(tmp_path / "unpacked")
        assert (
            "LicenseRef-Familiar-released-bundle"
            in archive.read(next(name for name in archive.namelist() if name.endswith("METADATA"))).decode()
        )
    assert Bundle(tmp_path / "unpacked/edge_runtime/released").hash == Bundle(RELEASED).hash
    assert not [name for name in wheel_names if "released/" in name], "a deployment sends its bundle beside the wheel"


def test_the_wheel_holds_one_package(wheel_names):
    roots = {name.partition("/")[0] for name in wheel_names}
    assert {root for root in roots if not root.endswith(".dist-info")} == {"edge_runtime"}


def test_every_module_and_data_file_of_the_runtime_is_in_the_wheel(wheel_names):
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "edge_runtime").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted - set(wheel_names) == set()


def test_a_device_needs_no_tensorflow():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    device = [*project["dependencies"], *project["optional-dependencies"]["litert"]]
    assert not [need for need in device if need.startswith(("tensorflow", "keras"))]
    assert {need.split(">")[0].split("=")[0] for need in project["dependencies"]} == {
        "numpy",
        "opencv-python-headless",
        "cryptography",
        "pillow",
        "tqdm",
    }
