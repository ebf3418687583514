"""A canary key, and the search for it in every byte that was left behind."""

import base64
from pathlib import Path

from torture.part import Part

KEY = "canary-key-5b1f0e77d2"


def spellings(key: str) -> list[bytes]:
    """The key as text, in UTF-16, hex, JSON's escapes, and base64 at each of its three alignments."""
    plain = key.encode()
    escaped = "".join(f"\\u{ord(char):04x}" for char in key).encode()
    in_base64 = [base64.b64encode(b"\0" * shift + plain)[4:-4] for shift in range(3)]
    return [plain, key.encode("utf-16-le"), plain.hex().encode(), escaped, plain[::-1], *in_base64]


def search(folder: Path, part: Part, *, key: str = KEY) -> int:
    """Return the number of bytes searched; each file with the key is a problem of the part."""
    wanted, looked = spellings(key), 0
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            looked += len(data)
            if any(each in data for each in wanted):
                part.problems.append(f"the key is in {path.relative_to(folder)}")
    part.searched_bytes += looked
    return looked
