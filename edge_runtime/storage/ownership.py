"""Whose a file is, and what helps where it is somebody else's."""

from __future__ import annotations

import os
import pwd
from pathlib import Path


def user_name(uid: int) -> str:
    """The account's name, or its number where it has no entry, as in a container."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def what_helps(path: Path, what: str) -> str:
    """What to do where this user may not use a file.

    Args:
        path: of the file, or of the folder it is to be made in.
        what: the file is, for the message.
    """
    me = os.geteuid()
    try:
        file, folder = path.stat().st_uid, path.parent.stat().st_uid
    except OSError:
        file = folder = me
    # In a folder of ours a file of root's is a mistake; a folder of somebody else's is rightly closed to us.
    if folder == me != file:
        return f"it is {user_name(file)}'s, in a folder of {user_name(me)}'s; run: sudo chown {user_name(me)} {path}"
    return f"run as the user whose {what} it is"
