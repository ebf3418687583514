"""Models: their request schemas, and the way from a manifest's cells to the inputs of a take. Pure.

This module is the room's face.
"""

from animatic.takes.models.catalogue import BUILT_IN, Catalogue, read_catalogue
from animatic.takes.models.default import DEFAULT_MODEL, INPUT_NAMES
from animatic.takes.models.properties import NO_LENGTHS, Property, SchemaError
from animatic.takes.models.schema import RequestSchema, read_schema
from animatic.takes.models.values import Unfit, read_value

__all__ = [
    "BUILT_IN",
    "DEFAULT_MODEL",
    "INPUT_NAMES",
    "NO_LENGTHS",
    "Catalogue",
    "Property",
    "RequestSchema",
    "SchemaError",
    "Unfit",
    "read_catalogue",
    "read_schema",
    "read_value",
]
