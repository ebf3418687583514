"""The demo's stills: thirteen scenes in two storyboards, drawn by code, the same ones every time.

`python -m tools.stills manifests/stills` draws them all again.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tools.stills import last_train_city, last_train_journey, lighthouse_shore, lighthouse_tower
from tools.stills.paint import Painting


@dataclass(frozen=True, slots=True)
class Scene:
    """One still: its file's stem, its size in pixels, the seed of its brushes, and what draws it."""

    name: str
    width: int
    height: int
    seed: int
    draw: Callable[[Painting], None]


def _wide(number: int, seed: int, draw: Callable[[Painting], None]) -> Scene:
    return Scene(f"lighthouse-{number:02}", 1600, 900, seed, draw)


def _tall(number: int, seed: int, draw: Callable[[Painting], None]) -> Scene:
    return Scene(f"last-train-{number:02}", 900, 1600, seed, draw)


SCENES = (
    _wide(1, 216, lighthouse_shore.headland_at_dusk),
    _wide(2, 191, lighthouse_tower.keepers_room),
    _wide(3, 192, lighthouse_shore.storm_front),
    _wide(4, 199, lighthouse_tower.spiral_stair),
    _wide(5, 171, lighthouse_tower.lamp_room),
    _wide(6, 231, lighthouse_shore.beam_over_the_storm),
    _wide(7, 199, lighthouse_shore.safe_harbour),
    _tall(1, 199, last_train_city.empty_platform),
    _tall(2, 206, last_train_city.station_clock),
    _tall(3, 174, last_train_city.headlights),
    _tall(4, 196, last_train_journey.window_seat),
    _tall(5, 167, last_train_journey.viaduct),
    _tall(6, 209, last_train_journey.halt_by_the_sea),
)


def draw_still(scene: Scene) -> bytes:
    """Draw the scene as a JPEG."""
    painting = Painting(scene.width, scene.height, scene.seed)
    scene.draw(painting)
    return painting.jpeg()
