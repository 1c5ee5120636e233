"""The table of settings."""

from __future__ import annotations

import pytest

from doorkeep.operate.table import entries, markdown_table, text_table


def cells_of(name: str) -> list[str]:
    row = next(line for line in markdown_table().splitlines() if line.startswith(f"| `{name}` |"))
    return [cell.strip() for cell in row.strip("|").split(" | ")]


def test_each_setting_is_there() -> None:
    names = [entry.name for entry in entries()]
    rows = markdown_table().splitlines()
    assert [row.split("`")[1] for row in rows[2:]] == names
    assert {row.count("|") for row in rows} == {8}
    assert [paragraph.partition("\n")[0] for paragraph in text_table().split("\n\n")] == names


@pytest.mark.parametrize(
    ("name", "servers"),
    [
        ("max_connections", "all"),
        ("idle_timeout", "streams"),
        ("max_packet_size", "datagrams"),
        ("pool_size", "pool"),
        ("daemon_threads", "thread, pool"),
        ("head_timeout", "HTTP"),
    ],
)
def test_which_servers(name: str, servers: str) -> None:
    assert cells_of(name)[-1] == servers


def test_a_default_that_differs_between_models() -> None:
    assert cells_of("thread_linger")[2] == "0.1; pool: 1"


def test_a_paragraph() -> None:
    assert (
        "max_children\n"
        "    how many children handle requests\n"
        "    value: count\n"
        "    default: 40\n"
        "    at its limit: clients wait in the kernel's backlog\n"
        "    takes effect: at once\n"
        "    servers: fork"
    ) in text_table().split("\n\n")
