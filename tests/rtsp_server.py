"""An RTSP camera of GStreamer's making, run by Debian's Python: ``rtsp_server.py PORT`` or ``--check``."""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PICTURES = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=15/1"
WAYS = {
    "openh264enc": "openh264enc gop-size=15 ! rtph264pay name=pay0 config-interval=1",
    "jpegenc": "jpegenc ! rtpjpegpay name=pay0",
}


def main() -> None:
    Gst.init(None)
    way = next((WAYS[name] for name in WAYS if Gst.ElementFactory.find(name)), None)
    if way is None or not Gst.ElementFactory.find("videotestsrc"):
        sys.exit(f"expected videotestsrc and one of {', '.join(WAYS)}, found none")
    if sys.argv[1] == "--check":
        return
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=sys.argv[1])
    factory = GstRtspServer.RTSPMediaFactory(shared=True, launch=f"( {PICTURES} ! videoconvert ! {way} )")
    server.get_mount_points().add_factory("/camera", factory)
    server.attach(None)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
