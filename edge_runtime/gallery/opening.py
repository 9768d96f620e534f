"""The configured gallery, opened with the configured device key: the one place that knows both."""

from __future__ import annotations

from edge_runtime.config import (
    Config,
    gallery_path,
    key_path,
    state_dir,
)
from edge_runtime.errors import GalleryError
from edge_runtime.faces.chain import FaceChain
from edge_runtime.gallery.directory import Directory
from edge_runtime.gallery.store import Gallery
from edge_runtime.storage.keys import KeySource


def key_source(config: Config) -> KeySource:
    """Where the device key comes from.

    Raises:
        GalleryError: from a file beside the gallery, where whoever copies the folder has both.
    """
    source = KeySource.find(key_path(config), bool(config.gallery.key_file))
    beside = gallery_path(config).resolve().parent
    key = source.path.resolve() if source.path is not None else None
    if key is not None and (key.parent == beside or key.is_relative_to(state_dir().resolve())):
        raise GalleryError(
            f"{source.path}: expected the device key outside the gallery's folder {beside}, found it within; "
            "move it and set [gallery] key_file"
        )
    return source


def open_gallery(config: Config, chain: FaceChain, create: bool = True, key: KeySource | None = None) -> Gallery:
    """The configured gallery, which must be one of this chain's embeddings.

    Args:
        config: says where gallery and key are.
        chain: of the bundle in use.
        create: make gallery and key if they are missing.
        key: instead of the configured one.

    Raises:
        GalleryError: see ``Gallery.open``.
    """
    return Gallery.open(
        gallery_path(config),
        key or key_source(config),
        chain.encoder_hash,
        chain.preprocessing_hash,
        chain.encoder.embedding_size,
        chain.bundle.manifest.name,
        create,
    )


def open_directory(config: Config) -> Directory:
    """Who is who in the configured gallery; nobody if there is no gallery yet.

    Raises:
        GalleryError: it cannot be read.
    """
    path = gallery_path(config)
    if not path.exists():
        return Directory()
    with Gallery.open_existing(path, key_source(config)) as gallery:
        return gallery.directory()
