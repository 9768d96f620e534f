"""The configured file of unknowns, opened for a daemon or for a command where no daemon runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from edge_runtime.config import Config, unknowns_path
from edge_runtime.errors import UnknownsError
from edge_runtime.faces.chain import FaceChain
from edge_runtime.gallery.opening import key_source
from edge_runtime.storage.exclusive_lock import exclusive_lock
from edge_runtime.unknowns.book import UnknownsBook
from edge_runtime.unknowns.file import Kind
from edge_runtime.unknowns.keeper import UnknownsKeeper
from edge_runtime.unknowns.linkage import Linkage


def open_unknowns(config: Config, chain: FaceChain) -> UnknownsBook:
    """The strangers remembered, told apart by this chain's embeddings; the gallery was opened before.

    Raises:
        UnknownsError: they cannot be read at the moment.
        GalleryError: the device key cannot.
    """
    linkage = Linkage.of_bundle(chain.bundle, config.strangers.most)
    kind = Kind(chain.encoder_hash, chain.preprocessing_hash, chain.encoder.embedding_size)
    return UnknownsBook(unknowns_path(config), key_source(config).load(), config.strangers, kind, linkage)


@contextmanager
def unknowns_kept(
    config: Config, chain: FaceChain, on_trouble: Callable[[str | None], None], knows_people: Callable[[], bool]
) -> Iterator[UnknownsKeeper | None]:
    """The unknowns' file as long as a daemon runs; None if it cannot be read, which costs the daemon nothing else.

    Args:
        config: says where the file is.
        chain: of the bundle in use.
        on_trouble: gets why nothing can be read or stored, and None when it can.
        knows_people: whether the gallery can be read.

    Raises:
        GalleryError: another daemon uses the file.
    """
    with ExitStack() as stack:
        stack.enter_context(exclusive_lock(unknowns_path(config), "daemon", "file of strangers", "[gallery] path"))
        keeper = None
        try:
            book = open_unknowns(config, chain)
            on_trouble(book.damage)
            keeper = stack.enter_context(
                UnknownsKeeper(book, lambda reason: on_trouble(reason or book.damage), knows_people)
            )
        except UnknownsError as error:
            on_trouble(f"{error}; until the next start nobody is remembered")
        yield keeper


@contextmanager
def unknowns_alone(config: Config, chain: FaceChain | None = None) -> Iterator[UnknownsBook]:
    """The strangers' file where no daemon has it."""
    path = unknowns_path(config)
    with exclusive_lock(path, "command", "file of strangers", "[gallery] path"):
        if chain is not None:
            book = open_unknowns(config, chain)
        else:
            book = UnknownsBook(path, key_source(config).load(), config.strangers)
        with book:
            yield book
