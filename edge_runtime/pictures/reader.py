"""Pictures from files, read so that a hostile or damaged one costs one line and no memory.

Pillow reads them, not OpenCV: it tells the size from the header before a pixel is decoded, and raises on
a cut-off file where OpenCV 4.10 and 4.11 fill the missing part with the previous picture (opencv#26488).
"""

from __future__ import annotations

import errno
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.errors import ImageError
from edge_runtime.pictures.formats import HEAD_BYTES, HEIF_EXTRA, cost_of, format_of, readable
from edge_runtime.pictures.metadata import upright, without_metadata
from edge_runtime.schema.given_file import read_given
from edge_runtime.types import Pixels

if TYPE_CHECKING:
    from PIL import Image

MAX_MEGAPIXELS = 50.0
_FREE_COST = 2.0
"""A pixel may cost this much more than one of a PNG picture; of formats above it, fewer pixels are taken."""
_MAX_FILE_BYTES = 256 << 20
_REDUCE_ABOVE_MEGAPIXELS = 6.0
_STRIPE_ROWS = 64
_MOST_SCANS = 100
"""Of a JPEG file; cameras and editors write up to a dozen, and a decoder goes through all pixels for each."""
_SCAN = b"\xff\xda"


def read_photo(path: str | Path, max_bytes: int = _MAX_FILE_BYTES) -> bytes:
    """A picture's file as it is.

    Raises:
        ImageError: it cannot be read, or is larger than ``max_bytes``.
    """
    try:
        return read_given(path, max_bytes)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise ImageError(
                f"{path}: expected at most {max_bytes >> 20} MiB, found more; shrink the picture"
            ) from error
        raise ImageError(f"{path}: cannot be read ({error.strerror}); check that it exists and is yours") from error


def read_image(path: str | Path, max_megapixels: float = MAX_MEGAPIXELS) -> Pixels:
    """Read one picture as RGB uint8 (H, W, 3), upright (EXIF orientation applied).

    Above 6 megapixels it is decoded at a half, a quarter or an eighth of its size.

    Raises:
        ImageError: unreadable, empty, cut short, not a picture, or more than ``max_megapixels``.
    """
    return decode_image(read_photo(path), str(path), max_megapixels)


def decode_image(data: bytes, name: str = "image", max_megapixels: float = MAX_MEGAPIXELS) -> Pixels:
    """Decode one picture as RGB uint8 (H, W, 3), upright; ``name`` is for the error line.

    What it may take of memory and time is judged by the header alone, before a pixel is decoded. Of metadata only the
    orientation is read: a picture whose metadata a decoder stumbles over is decoded without them.

    Raises:
        ImageError: as for :func:`read_image`.
    """
    if not data:
        raise ImageError(f"{name}: expected a picture, found an empty file; replace or delete it")
    from PIL import Image, UnidentifiedImageError  # a daemon that enrols nobody reads no file

    if (kind := format_of(data[:HEAD_BYTES])) is not None and kind not in readable():
        raise ImageError(f"{name}: {kind} pictures need {HEIF_EXTRA}; install that, or convert the picture")
    try:
        try:
            return _decoded(data, name, max_megapixels)
        except Exception:  # of broken metadata, decoders raise whatever they come to
            if (bare := without_metadata(data)) is None:
                raise
            return _decoded(bare, name, max_megapixels)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(name, "several times that", max_megapixels) from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name}: expected a picture ({', '.join(readable())}), found something else; convert it"
        ) from error
    except Exception as error:  # of a damaged file, decoders raise whatever they come to
        raise ImageError(
            f"{name}: the picture is damaged or cut short ({len(data)} bytes: {error}); replace the file"
        ) from error


def _decoded(data: bytes, name: str, max_megapixels: float) -> Pixels:
    from PIL import Image

    with warnings.catch_warnings():
        # Pillow's own limit on size is replaced by ``max_megapixels``; what it says of metadata does not matter.
        warnings.simplefilter("ignore")
        picture: Image.Image = Image.open(io.BytesIO(data), formats=readable())
        kind, (width, height) = picture.format or "", picture.size
        megapixels = width * height / 1e6
        _check_cost(data, kind, megapixels, f"{megapixels:.0f} ({width}x{height})", name, max_megapixels)
        factor = 1
        while megapixels / factor**2 > _REDUCE_ABOVE_MEGAPIXELS and factor < 8:
            factor *= 2
        picture.draft("RGB", (width // factor, height // factor))
        picture.load()
        whole = factor == 1 or picture.size != (width, height)
        return upright(_rgb(picture) if whole else _reduced(picture, factor), picture)


def _check_cost(data: bytes, kind: str, megapixels: float, found: str, name: str, max_megapixels: float) -> None:
    """Refuse what would take more memory or time than ``max_megapixels`` stands for."""
    most = max_megapixels / max(cost_of(kind) / _FREE_COST, 1.0)
    if megapixels > most:
        raise _too_large(f"{name}: {kind}" if most < max_megapixels else name, found, most)
    if kind in ("JPEG", "MPO") and (scans := data.count(_SCAN)) > _MOST_SCANS:
        raise ImageError(f"{name}: expected at most {_MOST_SCANS} scans, found {scans}; save the picture anew")


def _rgb(picture: Image.Image) -> Pixels:
    """Decoded pixels as uint8 (H, W, 3) RGB; of 16-bit grey the upper byte, as every viewer shows it."""
    if picture.mode.startswith("I"):
        wide = np.asarray(picture)
        grey = (np.clip(wide, 0, 65535) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    return np.array(picture.convert("RGB"), np.uint8)


def _reduced(picture: Image.Image, factor: int) -> Pixels:
    """``_rgb`` at a share of the size, made in stripes so that no second picture of full size is in memory."""
    from PIL import Image

    width, height = picture.size
    rows = _STRIPE_ROWS * factor
    stripes = (picture.crop((0, top, width, min(top + rows, height))) for top in range(0, height, rows))
    return np.concatenate([np.asarray(Image.fromarray(_rgb(stripe)).reduce(factor)) for stripe in stripes])


def _too_large(name: str, found: str, max_megapixels: float) -> ImageError:
    return ImageError(
        f"{name}: expected at most {max_megapixels:.3g} megapixels, found {found}; "
        "shrink it or raise [images] max_megapixels"
    )
