"""Variables that Kubernetes makes of a Service, which are no settings of ours. Pure."""

import re

_OF_KUBERNETES = re.compile(
    r"ANIMATIC_(?:\w+?_)??(?:SERVICE_(?:HOST|PORT(?:_\w+)?)|(?P<port>PORT)|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)


def is_of_kubernetes(name: str, value: str) -> bool:
    """Tell a variable that Kubernetes makes of a Service named `animatic` or `animatic-…`.

    Source: Kubernetes' page on Services, "Environment variables".
    """
    found = _OF_KUBERNETES.fullmatch(name)
    return found is not None and (found["port"] is None or "://" in value)
