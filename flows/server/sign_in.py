"""A page that signs a browser in to Prefect's own pages, so that the generated password need not be typed.

It is given the password in the fragment of its address, which browsers send to no server and write in no log, keeps it
where Prefect's pages look for it, and goes on to one of them.
"""

import base64
import hashlib

SIGN_IN_PATH = "/animatic"

_SCRIPT = """
const [, password, page] = /^#([A-Za-z0-9+\\/=]+?)(\\/runs[\\w\\/-]*)?$/.exec(location.hash) || [];
if (password) localStorage.setItem("prefect-password", password);
location.replace(page || "/");
"""
PAGE = f"<!doctype html><meta charset=utf-8><title>animatic</title><script>{_SCRIPT}</script>"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    + "'",
    "Referrer-Policy": "no-referrer",
}
