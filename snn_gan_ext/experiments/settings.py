"""Settings as frozen dataclasses whose fields carry their rules and the place of data."""

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Settings", "location"]


def location(default: Any) -> Any:
    """Return a dataclass field of the place of data, to which results are not bound."""
    return field(default=default, metadata={"location": True})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base class of all parts of an experiment."""

    def check(self) -> None:
        """Check settings against each other; `snn_gan_ext.types.check_rules` does so one by one.

        Raises:
            InputError: If they do not go together.
        """
