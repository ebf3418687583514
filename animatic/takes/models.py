"""The models that can be bought from. Pure. A new one is a schema in `MODELS`."""

from collections.abc import Mapping

from animatic.takes.schemas import Choice, ModelSchema
from animatic.takes.veo2 import VEO2

MODELS: Mapping[str, ModelSchema] = {schema.model: schema for schema in (VEO2,)}
DEFAULT_MODEL = VEO2.model

CHOICES: Mapping[str, Choice] = {choice.name: choice for schema in MODELS.values() for choice in schema.choices}
"""Inputs that have columns of their own in manifests and results, by name."""

INPUT_NAMES = ("prompt", "image", *CHOICES)
"""Every input that any of them takes, in the order in which they are sent."""
