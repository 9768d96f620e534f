"""The people of the files, where no daemon runs: the gallery, and for enrolling the models and cameras too."""

from __future__ import annotations

from contextlib import ExitStack

from edge_runtime.capture.own_cameras import OwnCameras
from edge_runtime.config import Config, events_path, gallery_path
from edge_runtime.enrolment.photo import Enroller
from edge_runtime.events.store import forget_without_daemon
from edge_runtime.faces.chain import open_chain
from edge_runtime.gallery.opening import key_source, open_gallery
from edge_runtime.gallery.store import Gallery
from edge_runtime.recognizer import FaceNamer
from edge_runtime.requests.access import Holdings
from edge_runtime.requests.table import LocalPeople
from edge_runtime.unknowns.opening import unknowns_alone


def open_files(config: Config, strangers: bool = False) -> LocalPeople:
    """The gallery as it is, if there is one; see :func:`.people.open_people`."""
    path = gallery_path(config)
    if not path.exists():
        return LocalPeople(Holdings(None, events=events_path(config)))
    with ExitStack() as resources:
        gallery = resources.enter_context(Gallery.open_existing(path, key_source(config)))
        book = resources.enter_context(unknowns_alone(config)) if strangers else None
        holdings = Holdings(
            gallery,
            on_forget=lambda: forget_without_daemon(events_path(config), gallery.directory()),
            unknowns=lambda: book,
            events=events_path(config),
        )
        return LocalPeople(holdings, resources.pop_all())


def open_for_enrolling(config: Config, strangers: bool = False) -> LocalPeople:
    """The gallery, made where there is none, with the models; see :func:`.people.open_people`."""
    with ExitStack() as resources:
        cameras = resources.enter_context(OwnCameras(config.camera))
        chain = resources.enter_context(open_chain(config))
        gallery = resources.enter_context(open_gallery(config, chain))
        book = resources.enter_context(unknowns_alone(config, chain)) if strangers else None
        holdings = Holdings(
            gallery,
            lambda: Enroller(chain, gallery, keep_crops=config.gallery.keep_crops),
            config.images.max_megapixels,
            config.decide.margin,
            cameras.latest,
            unknowns=lambda: book,
            events=events_path(config),
            recognize=FaceNamer(chain, gallery, lambda: config).name,
        )
        return LocalPeople(holdings, resources.pop_all())
