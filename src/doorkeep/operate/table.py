"""`doorkeep settings`: the table of all settings, for people and for the documentation."""

from __future__ import annotations

from doorkeep.http.settings import HTTPSettings
from doorkeep.operate.models import MODELS
from doorkeep.operate.options import Entry, all_settings, shown
from doorkeep.operate.web import http_settings

__all__ = ["entries", "markdown_table", "text_table"]


def entries() -> list[Entry]:
    """Return the settings of the table: those of all servers, then those of HTTP alone."""
    general = all_settings()
    known = {entry.name for entry in general}
    return general + [entry for entry in http_settings() if entry.name not in known]


def text_table() -> str:
    """Return what there is to know of each setting, in paragraphs."""
    return "\n\n".join(_paragraph(entry) for entry in entries())


def markdown_table() -> str:
    """Return the same as a table in Markdown."""
    rows = ["| setting | value | default | what it says | at its limit | takes effect | servers |", "|---" * 7 + "|"]
    for entry in entries():
        setting = entry.setting
        cells = (
            f"`{entry.name}`",
            setting.kind.name,
            _defaults(entry),
            setting.summary,
            setting.at_limit,
            setting.takes_effect,
            _servers(entry),
        )
        rows.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(rows)


def _paragraph(entry: Entry) -> str:
    setting = entry.setting
    facts = [
        f"value: {setting.kind.name}{', or None' if setting.optional else ''}",
        f"default: {_defaults(entry)}",
        f"at its limit: {setting.at_limit}" if setting.at_limit else "",
        f"takes effect: {setting.takes_effect}",
        f"servers: {_servers(entry)}",
    ]
    return "\n    ".join([entry.name, setting.summary, *filter(None, facts)])


def _defaults(entry: Entry) -> str:
    """Return the default, and beside it those of models that have others."""
    texts = [shown(entry.default)]
    for model in MODELS:
        own = {shown(default) for (its_model, _), default in entry.defaults.items() if its_model == model}
        texts += [f"{model}: {default}" for default in sorted(own) if default != texts[0]]
    return "; ".join(texts)


def _servers(entry: Entry) -> str:
    """Return which servers a setting means something to."""
    if entry.name in vars(HTTPSettings):
        return "HTTP"
    models = {model for model, _ in entry.defaults}
    kinds = {"datagrams" if scheme in ("udp", "unixgram") else "streams" for _, scheme in entry.defaults}
    parts = [] if len(models) == len(MODELS) else [", ".join(model for model in MODELS if model in models)]
    if entry.setting.streams_only:
        kinds = {"streams"}
    if len(kinds) == 1:
        parts += kinds
    return "; ".join(parts) or "all"
