"""Images that come inside a request, as `data:image/...;base64,...`. Pure.

Source: Hugging Face's provider and others send them; not tried live.
"""

import base64
import binascii

from animatic.sandbox.catalogue import InvalidInputError

MAX_IMAGE_BYTES = 10_000_000
MAX_URI_CHARS = MAX_IMAGE_BYTES * 4 // 3 + 200


def is_data_uri(text: object) -> bool:
    """Tell if a field holds such an image."""
    return isinstance(text, str) and text[:5].lower() == "data:"


def image_in(uri: str) -> bytes:
    """Return the image, undecoded. Raises InvalidInputError for another type or encoding, or one that is too large."""
    head, comma, text = uri[5:].partition(",")
    media_type, _, encoding = head.lower().rpartition(";")
    if not comma or not media_type.startswith("image/") or encoding != "base64":
        raise InvalidInputError("image: a data: URI must begin with data:image/TYPE;base64,")
    if len(text) > MAX_URI_CHARS:
        raise InvalidInputError(f"image: more than {MAX_IMAGE_BYTES:,} bytes in a data: URI; upload it instead")
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise InvalidInputError("image: the base64 text of the data: URI cannot be read") from None
