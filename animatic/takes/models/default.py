"""The model that is bought from where a manifest names none. Pure."""

from animatic.takes.veo2 import CHOICES, VEO2

DEFAULT_MODEL = VEO2.model

INPUT_NAMES = ("prompt", "image", *CHOICES)
"""Its inputs, in the order in which they are sent."""
