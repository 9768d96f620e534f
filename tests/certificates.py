"""Certificates of a test's own, made with openssl."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


class Authority:
    """Signs certificates for 127.0.0.1; of a server of another name where its name has a dot."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("openssl is missing: apt install openssl")
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        self._folder = folder
        self.certificate, self._key = folder / "ca.crt", folder / "ca.key"
        self._run("req", "-x509", "-new", "-nodes", *_KEY, "-keyout", self._key, "-out", self.certificate,
                  "-days", "30", "-subj", f"/CN=authority {folder.name}")  # fmt: skip

    def issue(self, name: str, days: int) -> tuple[Path, Path]:
        """A certificate and its key; with ``days`` below 0 one that has expired."""
        cert, key, request, more = (self._folder / f"{name}{end}" for end in (".crt", ".key", ".csr", ".ext"))
        where = f"DNS:{name}" if "." in name else "IP:127.0.0.1"
        more.write_text(f"subjectAltName={where}\n")
        self._run("req", "-new", "-nodes", *_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        self._run("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial",
                  "-out", cert, "-days", str(days), "-extfile", more)  # fmt: skip
        key.chmod(0o644)
        return cert, key

    def _run(self, *words: str | Path) -> None:
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
