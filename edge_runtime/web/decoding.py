"""The process that decodes one picture. It imports nothing of a server: there is one for each upload."""

from __future__ import annotations

import io
import json
import os
import resource
import sys
from collections.abc import Sequence

from PIL import Image

from edge_runtime.errors import FamiliarError, ImageError
from edge_runtime.pictures.reader import decode_image

_MEMORY_BYTES = 1536 << 20


def serve(arguments: Sequence[str] | None = None) -> None:
    """The process: a picture's file on standard input, a PNG on standard output, or an error and code 1."""
    (max_megapixels,) = sys.argv[1:] if arguments is None else arguments
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        pixels = decode_image(sys.stdin.buffer.read(), "picture", float(max_megapixels))
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    except MemoryError:
        failed: FamiliarError = ImageError("picture: takes more memory than is allowed; send a smaller one")
    except FamiliarError as error:
        failed = error
    else:
        sys.stdout.buffer.write(stream.getvalue())
        return
    sys.stdout.write(json.dumps([type(failed).__name__, str(failed)]))
    sys.stdout.flush()
    os._exit(1)
