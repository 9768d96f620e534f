import io
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from edge_runtime.errors import ImageError
from edge_runtime.pictures import formats
from edge_runtime.pictures.reader import decode_image, read_image
from tests.builders import draw_face


def encoded(pixels, kind="JPEG", **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def needs(kind):
    name = "JPEG" if kind == "MPO" else kind
    if name not in formats.readable():
        pytest.skip(f"needs a decoder of {name}: {formats.HEIF_EXTRA}")


FACE = draw_face(0, 60)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM", "TIFF"])
def test_lossless_pictures_come_back_as_rgb(kind):
    np.testing.assert_array_equal(decode_image(encoded(FACE, kind)), FACE)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "MPO", "GIF", "AVIF", "HEIF"])
def test_lossy_pictures_come_back_nearly(kind):
    needs(kind)
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


@pytest.mark.parametrize("data", [b"", b"hello, this is text", b"\xff\xd8", b"GIF89a" + bytes(3), bytes(1000)])
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
    for kind in ("JPEG", "PNG", "TIFF"):
        small = decode_image(encoded(large, kind))
        assert small.shape == (1800, 1800, 3), kind
        assert np.abs(small[10::20, 10::20].astype(int) - FACE).mean() < 6


@pytest.mark.parametrize("mode", ["1", "P", "I;16", "LA", "RGBA"])
def test_large_pictures_of_every_mode_are_reduced(mode):
    large = Image.fromarray(np.kron(FACE, np.ones((40, 40, 1), np.uint8)))
    grey = np.asarray(large.convert("L"))
    picture = Image.fromarray(grey.astype(np.uint16) << 8) if mode == "I;16" else large.convert(mode)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    small = decode_image(buffer.getvalue())
    assert small.shape == (1800, 1800, 3)
    if mode != "1":
        assert np.abs(small.mean(2) - grey[::2, ::2]).mean() < 12


def test_a_decompression_bomb_is_one_error():
    header = bytearray(encoded(FACE, "PNG"))
    header[16:24] = (60000).to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")
    with pytest.raises(ImageError, match="at most 50 megapixels"):
        decode_image(bytes(header))


def test_formats_whose_decoders_take_more_memory_may_have_fewer_pixels():
    buffer = io.BytesIO()
    Image.new("RGB", (5500, 5500)).save(buffer, "WEBP", method=0)
    with pytest.raises(ImageError, match=r"WEBP: expected at most 25 megapixels, found 30 \(5500x5500\)"):
        decode_image(buffer.getvalue())


def test_a_jpeg_made_to_be_gone_through_a_thousand_times_is_refused():
    data = encoded(FACE, progressive=True)
    scan = data.rindex(b"\xff\xda")
    many = data[:scan] + data[scan:-2] * 1000 + data[-2:]
    with pytest.raises(ImageError, match="at most 100 scans"):
        decode_image(many)


def with_metadata(kind):
    """A picture full of metadata, and where they lie: from the first to the last byte of what no pixel needs."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 1, "Make" * 20
    exif.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    options = {"exif": exif, "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()}
    if kind == "PNG":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_text("Comment", "text " * 50, zip=True)
    if kind == "MPO":
        options |= {"save_all": True, "append_images": [Image.fromarray(FACE)]}
    data = encoded(FACE, kind, **options)
    return data, [*payloads(kind, data)]


def payloads(kind, data):
    """(start, end) of what metadata segments and chunks hold, without what says how long they are."""
    if kind in ("JPEG", "MPO"):
        at = 2
        while data[at + 1] != 0xDA:
            length = int.from_bytes(data[at + 2 : at + 4], "big")
            if data[at + 1] in (0xE1, 0xE2, 0xFE):
                yield at + 4, at + 2 + length
            at += 2 + length
    elif kind == "PNG":
        at = 8
        while at < len(data):
            length = int.from_bytes(data[at : at + 4], "big")
            if data[at + 4 : at + 8] in (b"eXIf", b"iCCP", b"zTXt"):
                yield at + 8, at + 12 + length
            at += 12 + length
    else:
        at = 12
        while at < len(data):
            length = int.from_bytes(data[at + 4 : at + 8], "little")
            if data[at : at + 4] in (b"EXIF", b"ICCP"):
                yield at + 8, at + 8 + length
            at += 8 + length + length % 2


@pytest.mark.parametrize("kind", ["JPEG", "MPO", "PNG", "WEBP"])
def test_broken_metadata_never_cost_a_picture(kind):
    data, places = with_metadata(kind)
    assert places
    whole, rng = decode_image(data), np.random.default_rng(0)
    for _ in range(300):
        broken = bytearray(data)
        for _ in range(rng.integers(1, 40)):
            start, end = places[rng.integers(len(places))]
            broken[rng.integers(start, end)] = rng.integers(256)
        pixels = decode_image(bytes(broken))
        turned = (np.rot90(flip, turns) for flip in (whole, whole[:, ::-1]) for turns in range(4))
        assert any(np.array_equal(pixels, way) for way in turned)


def test_a_text_that_unpacks_to_gigabytes_costs_no_picture():
    data = encoded(FACE, "PNG")
    bomb = b"zTXtComment\0\0" + zlib.compress(bytes(80 << 20))
    chunk = (len(bomb) - 4).to_bytes(4, "big") + bomb + zlib.crc32(bomb).to_bytes(4, "big")
    np.testing.assert_array_equal(decode_image(data[:33] + chunk + data[33:]), FACE)


def test_a_heic_picture_without_its_decoder_names_what_to_install(monkeypatch):
    monkeypatch.setattr(formats, "readable", lambda: ("JPEG", "PNG"))
    monkeypatch.setattr("edge_runtime.pictures.reader.readable", lambda: ("JPEG", "PNG"))
    with pytest.raises(ImageError, match=r"x\.heic: HEIF pictures need pip install 'familiar-edge\[heif\]'"):
        decode_image(b"\x00\x00\x00\x1cftypheic\x00\x00\x00\x00mif1heic", "x.heic")


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(ImageError, match="No such file"):
        read_image(tmp_path / "nothing.png")
