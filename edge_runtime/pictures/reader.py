"""Pictures from files, read so that a hostile or damaged one costs one line and no memory.

Pillow reads them, not OpenCV: it tells the size from the header before a pixel is decoded, and raises on
a cut-off file where OpenCV 4.10 and 4.11 fill the missing part with the previous picture (opencv#26488).
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.errors import ImageError, InputError
from edge_runtime.types import Pixels

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".pgm", ".webp")
MAX_MEGAPIXELS = 50.0
_FORMATS = ("JPEG", "PNG", "BMP", "PPM", "WEBP")
_MAX_FILE_BYTES = 256 << 20
_REDUCE_ABOVE_MEGAPIXELS = 6.0


def list_images(folder: str | Path) -> list[Path]:
    """Every picture below ``folder``, sorted; names that start with a dot are passed over.

    Raises:
        InputError: the folder is missing, is not a folder, or holds no picture.
    """
    root = Path(folder)
    if not root.exists():
        raise InputError(f"{root}: expected a folder of photos, found nothing there; check the path")
    if not root.is_dir():
        raise InputError(f"{root}: expected a folder of photos, found a file; name the folder it is in")
    found = sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )
    if not found:
        raise InputError(
            f"{root}: expected photos ({' '.join(SUFFIXES)}), found none; put photos there or name another folder"
        )
    return found


def read_photo(path: str | Path, max_bytes: int = _MAX_FILE_BYTES) -> bytes:
    """A picture's file as it is.

    Raises:
        ImageError: it cannot be read, or is larger than ``max_bytes``.
    """
    try:
        if (size := Path(path).stat().st_size) > max_bytes:
            raise ImageError(
                f"{path}: expected at most {max_bytes >> 20} MiB, found {size >> 20} MiB; shrink the picture"
            )
        data = Path(path).read_bytes()
    except OSError as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{path}: cannot be read ({error.strerror}); check that it exists and is yours") from error
    return data


def read_image(path: str | Path, max_megapixels: float = MAX_MEGAPIXELS) -> Pixels:
    """Read one picture as RGB uint8 (H, W, 3), upright (EXIF orientation applied).

    Above 6 megapixels it is decoded at a half, a quarter or an eighth of its size.

    Raises:
        ImageError: unreadable, empty, cut short, not a picture, or more than ``max_megapixels``.
    """
    return decode_image(read_photo(path), str(path), max_megapixels)


def decode_image(data: bytes, name: str = "image", max_megapixels: float = MAX_MEGAPIXELS) -> Pixels:
    """Decode one picture as RGB uint8 (H, W, 3), upright; ``name`` is for the error line.

    Raises:
        ImageError: as for :func:`read_image`.
    """
    if not data:
        raise ImageError(f"{name}: expected a picture, found an empty file; replace or delete it")
    from PIL import Image, UnidentifiedImageError  # a daemon that enrols nobody reads no file

    try:
        with warnings.catch_warnings():
            # Pillow's own limit on size is replaced by ``max_megapixels`` below.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture: Image.Image = Image.open(io.BytesIO(data), formats=_FORMATS)
        width, height = picture.size
        megapixels = width * height / 1e6
        if megapixels > max_megapixels:
            raise _too_large(name, f"{megapixels:.0f} ({width}x{height})", max_megapixels)
        factor = 1
        while megapixels / factor**2 > _REDUCE_ABOVE_MEGAPIXELS and factor < 8:
            factor *= 2
        picture.draft("RGB", (width // factor, height // factor))
        picture.load()
        if factor > 1 and picture.size == (width, height):
            picture = picture.reduce(factor)
        picture = _upright(picture)
        if picture.mode.startswith("I"):
            # 16-bit grey: the upper byte, as every viewer shows it.
            wide = np.asarray(picture, np.int64) >> 8
            picture = Image.fromarray(np.clip(wide, 0, 255).astype(np.uint8))
        return np.ascontiguousarray(np.asarray(picture.convert("RGB"), np.uint8))
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(name, "several times that", max_megapixels) from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name}: expected a JPEG, PNG, BMP, PGM or WebP picture, found something else; convert it"
        ) from error
    except Exception as error:  # of a damaged file, decoders raise whatever they come to
        raise ImageError(
            f"{name}: the picture is damaged or cut short ({len(data)} bytes: {error}); replace the file"
        ) from error


def _upright(picture: Image.Image) -> Image.Image:
    """Turned as its EXIF orientation says; of metadata nothing else is read, and broken ones are passed over."""
    from PIL import ExifTags, Image

    try:
        orientation = picture.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # metadata never cost a picture
        return picture
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    turn = turns.get(orientation) if isinstance(orientation, int) else None
    return picture if turn is None else picture.transpose(turn)


def _too_large(name: str, found: str, max_megapixels: float) -> ImageError:
    return ImageError(
        f"{name}: expected at most {max_megapixels:g} megapixels, found {found}; "
        "shrink it or raise [images] max_megapixels"
    )
