"""Settings as frozen dataclasses whose fields carry their rules and the place of data."""

from dataclasses import dataclass, field, fields
from typing import Any

from snn_gan_ext.validation import Rule, check_setting

__all__ = ["Settings", "check_rules", "location", "setting"]


def setting(default: Any, rule: Rule) -> Any:
    """Return a dataclass field with a default and a rule.

    Args:
        default: Default value.
        rule: Rule that `check_rules` applies.
    """
    return field(default=default, metadata={"rule": rule})


def location(default: Any) -> Any:
    """Return a dataclass field of the place of data, to which results are not bound."""
    return field(default=default, metadata={"location": True})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base class of all parts of an experiment."""

    def check(self) -> None:
        """Check settings against each other; `check_rules` does so one by one.

        Raises:
            InputError: If they do not go together.
        """


def check_rules(settings: Any, place: str = "") -> None:
    """Check each setting that has a rule, under the name that its option has.

    Raises:
        InputError: At the first one that is out of bounds.
    """
    for each in fields(settings):
        if "rule" in each.metadata:
            name = f"{place}.{each.name}".removeprefix(".")
            check_setting(name, getattr(settings, each.name), each.metadata["rule"])
