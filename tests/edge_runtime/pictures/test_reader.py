import io
import zlib

import numpy as np
import pytest
from PIL import Image

from edge_runtime.errors import ImageError, InputError
from edge_runtime.pictures.reader import decode_image, list_images, read_image
from tests.builders import draw_face


def encoded(pixels, kind="JPEG", **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


FACE = draw_face(0, 60)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM"])
def test_lossless_pictures_come_back_as_rgb(kind):
    np.testing.assert_array_equal(decode_image(encoded(FACE, kind)), FACE)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_pictures_come_back_nearly(kind):
    assert np.abs(decode_image(encoded(FACE, kind, quality=95)).astype(int) - FACE).mean() < 4


def test_grey_sixteen_bit_and_alpha_become_rgb():
    grey = FACE[:, :, 0]
    np.testing.assert_array_equal(decode_image(encoded(grey, "PNG"))[..., 1], grey)
    np.testing.assert_array_equal(decode_image(encoded(grey.astype(np.uint16) * 257, "PNG"))[..., 1], grey)
    alpha = np.dstack([FACE, np.full(FACE.shape[:2], 9, np.uint8)])
    np.testing.assert_array_equal(decode_image(encoded(alpha, "PNG")), FACE)


@pytest.mark.parametrize(
    ("orientation", "turned"), [(3, np.rot90(FACE, 2)), (6, np.rot90(FACE, -1)), (2, FACE[:, ::-1])]
)
def test_exif_orientation_is_applied(orientation, turned):
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(decode_image(encoded(FACE, "PNG", exif=exif)), turned)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "PPM", "WEBP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_a_cut_off_picture_is_refused(kind, share):
    whole = encoded(FACE, kind)
    with pytest.raises(ImageError, match=r"damaged or cut short|something else"):
        decode_image(whole[: int(len(whole) * share)], "cut")


@pytest.mark.parametrize("data", [b"", b"hello, this is text", b"\xff\xd8", b"GIF89a" + bytes(50), bytes(1000)])
def test_what_is_no_picture_is_refused_by_name(data):
    with pytest.raises(ImageError, match=r"^holiday\.jpg: .+; (replace|convert)"):
        decode_image(data, "holiday.jpg")


def test_one_pixel_is_a_picture():
    assert decode_image(encoded(np.zeros((1, 1, 3), np.uint8), "PNG")).shape == (1, 1, 3)


def test_a_hundred_megapixels_are_refused_from_the_header():
    image = Image.new("L", (10000, 10000))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    with pytest.raises(ImageError, match=r"at most 50 megapixels, found 100 \(10000x10000\)"):
        decode_image(buffer.getvalue())


def test_below_the_limit_large_pictures_are_decoded_reduced():
    large = np.kron(FACE, np.ones((40, 40, 1), np.uint8))
    for kind in ("JPEG", "PNG"):
        small = decode_image(encoded(large, kind))
        assert small.shape == (1800, 1800, 3), kind
        assert np.abs(small[10::20, 10::20].astype(int) - FACE).mean() < 6


def test_a_decompression_bomb_is_one_error():
    header = bytearray(encoded(FACE, "PNG"))
    header[16:24] = (60000).to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")
    with pytest.raises(ImageError, match="at most 50 megapixels"):
        decode_image(bytes(header))


def test_files_are_listed_sorted_without_hidden_ones(tmp_path):
    for name in ("b/2.JPG", "a/1.png", "a/notes.txt", ".thumbs/x.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    assert [p.relative_to(tmp_path).as_posix() for p in list_images(tmp_path)] == ["a/1.png", "b/2.JPG"]


def test_missing_empty_and_unreadable_places_say_what_to_do(tmp_path):
    with pytest.raises(InputError, match="check the path"):
        list_images(tmp_path / "nowhere")
    with pytest.raises(InputError, match="found none"):
        list_images(tmp_path)
    with pytest.raises(ImageError, match="No such file"):
        read_image(tmp_path / "nothing.png")
