"""Batches of image-to-video takes: never pay twice, never lose a shot.

The domain, which knows nothing of Prefect. Analysts need two names, `read_results` and `summarise`; they are
imported when first used, because pandas takes a third of a second that no command should wait for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from animatic.results.analysis import read_results, summarise

__all__ = ["read_results", "summarise"]


def __dir__() -> list[str]:
    """Name what people use, for completion in a notebook."""
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    """Import what analysts use only when they use it."""
    if name in __all__:
        import importlib  # noqa: PLC0415

        return getattr(importlib.import_module("animatic.results.analysis"), name)
    raise AttributeError(f"module 'animatic' has no attribute {name!r}")
