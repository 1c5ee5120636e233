"""The settings of the servers as options of the command line: `idle_timeout` is `--idle-timeout SECONDS`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from doorkeep.errors import DoorkeepError
from doorkeep.operate.models import MODELS, SCHEMES, Model
from doorkeep.settings import CONTEXT, FLAG, Setting, settings_of

__all__ = ["Entry", "add_options", "all_settings", "given_settings", "option_of", "settings_of_classes", "shown"]


@dataclass
class Entry:
    """A setting and where it exists: its default for each model and scheme whose server class has it."""

    name: str
    setting: Setting
    defaults: dict[tuple[str, str], Any] = field(default_factory=dict)

    @property
    def default(self) -> Any:
        """The default of the first server class that has the setting."""
        return next(iter(self.defaults.values()))


def all_settings() -> list[Entry]:
    """Return the settings of all server classes that this system has, those of all servers first."""
    classes = {}
    for model in MODELS:
        for scheme in SCHEMES:
            with suppress(DoorkeepError):
                classes[model, scheme] = Model(model).server_class(scheme)
    return settings_of_classes(classes)


def settings_of_classes(classes: Mapping[tuple[str, str], type]) -> list[Entry]:
    """Return the settings of server classes, which are told by their models and schemes."""
    entries: dict[str, Entry] = {}
    for place, server_class in classes.items():
        for name, setting in settings_of(server_class).items():
            entry = entries.setdefault(name, Entry(name, setting))
            entry.defaults[place] = getattr(server_class, name)
    return list(entries.values())


def option_of(name: str) -> str:
    """Return the option of a setting."""
    return "--" + name.replace("_", "-")


def shown(value: Any) -> str:
    """Return a setting's value as people write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "None" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def add_options(
    parser: argparse.ArgumentParser, defaults: Mapping[str, Any], entries: Iterable[Entry] | None = None
) -> None:
    """Let the parser understand an option for each setting, of all or those of `entries`.

    `defaults` are those that differ from the servers'.
    """
    group = parser.add_argument_group("settings", "each is described by `doorkeep settings`")
    for entry in all_settings() if entries is None else entries:
        setting = entry.setting
        if setting.kind is CONTEXT:
            continue
        help_text = f"{setting.summary} (default: {shown(defaults.get(entry.name, entry.default))})".replace("%", "%%")
        if setting.kind is FLAG:
            group.add_argument(
                option_of(entry.name),
                action=argparse.BooleanOptionalAction,
                default=argparse.SUPPRESS,
                help=help_text,
            )
        else:
            group.add_argument(
                option_of(entry.name),
                type=_reader_of(setting),
                default=argparse.SUPPRESS,
                metavar=setting.kind.name.upper().replace(" OR ", "|").replace(" ", "-"),
                help=help_text,
            )


def given_settings(options: argparse.Namespace, entries: Iterable[Entry] | None = None) -> dict[str, Any]:
    """Return the settings that the command line gave, by name; of all or those of `entries`."""
    names = {entry.name for entry in (all_settings() if entries is None else entries)}
    return {name: value for name, value in vars(options).items() if name in names}


def _reader_of(setting: Setting) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        if setting.optional and text.lower() == "none":
            return None
        try:
            return setting.kind.check(setting.kind.parse(text))
        except ValueError as error:
            choice = ", or None" if setting.optional else ""
            raise argparse.ArgumentTypeError(f"{error}{choice}, not {text!r}") from None

    return read
