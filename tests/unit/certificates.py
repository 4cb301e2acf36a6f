"""A certificate authority for the tests of TLS, made by OpenSSL's command line."""

import shutil
import subprocess
from pathlib import Path

import pytest

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


class Authority:
    """Keeps all it makes in `folder`; `file` is its own certificate."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("needs the openssl command")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.file = folder / "ca.pem"
        self._openssl(
            *["req", "-x509", *KEY, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test"],
            *["-addext", "keyUsage=critical,keyCertSign"],
        )

    def certify(self, *names: str) -> tuple[Path, Path]:
        """Certificate and key of a server, for names such as "DNS:shop.example"."""
        cert, key, request, names_file = (
            self.folder / f"{names[0].partition(':')[2]}{end}"
            for end in (".pem", ".key", ".csr", ".names")
        )
        names_file.write_text(f"subjectAltName={','.join(names)}\n")
        self._openssl("req", *KEY, "-keyout", str(key), "-out", str(request), "-subj", "/CN=Server")
        signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
        self._openssl(
            *["x509", "-req", "-in", str(request), *signing],
            *["-extfile", str(names_file), "-out", str(cert)],
        )
        return cert, key

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)
