"""Files on their way: whole or not at all."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

import pytest

from tests.examples.file_transfer.service import Service, header, put
from tests.examples.programs import Program


def test_put_and_get(service: Service) -> None:
    content = os.urandom(300_000)
    with service.peer() as peer:
        peer.send(header(cmd="put", filename="data", filesize=len(content), reply=True) + content)
        assert peer.answer() == {"status": 201}
        answer, body = peer.ask(cmd="get", filename="data")
    assert answer == {"status": 200, "filename": "data", "filesize": len(content)}
    assert body == content


def test_overwrites(service: Service) -> None:
    service.stores(put("a", b"a long first version"))
    service.stores(put("a", b"short"))
    assert service.content("a") == b"short"


def test_what_was_there_stays_until_all_has_come(service: Service) -> None:
    service.stores(put("a", b"first"))
    with service.peer() as peer, service.peer() as reader:
        peer.send(header(cmd="put", filename="a", filesize=6, reply=True) + b"seco")
        assert reader.ask(cmd="get", filename="a")[1] == b"first"
        assert reader.ask(cmd="ls")[1] == b"a\nkept.txt\n"
        peer.send(b"nd")
        assert peer.answer() == {"status": 201}
        assert reader.ask(cmd="get", filename="a")[1] == b"second"


@pytest.mark.parametrize("come", [0, 1, 70_000])
def test_cut_short_by_its_end(service: Service, come: int) -> None:
    service.stores(header(cmd="put", filename="kept.txt", filesize=70_001) + bytes(come))


def test_cut_short_by_a_reset(service: Service) -> None:
    with service.peer() as peer:
        # The answer to the first tells that the server reads the second.
        peer.send(header(cmd="put", filename="a", filesize=0, reply=True))
        assert peer.answer() == {"status": 201}
        peer.send(header(cmd="put", filename="kept.txt", filesize=100_000) + bytes(50_000))
        # Seconds to linger: none. The connection is reset when it is closed.
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert service.log_of(peer) == "stored 'a', 0 bytes"
    assert service.log_of(peer).startswith("cut short: ")


def test_more_than_declared_is_the_next_message(service: Service) -> None:
    assert service.refuses(put("a", b"content") + b"more of it") == 400
    assert service.content("a") == b"content"


def test_message_within_a_file_is_no_message(service: Service) -> None:
    service.stores(put("a", put("b", b"B")))
    assert service.content("a") == put("b", b"B")
    assert not (service.folder / "b").exists()


def test_several_in_a_segment(service: Service) -> None:
    contents = {f"file {number}": os.urandom(number) for number in (0, 1, 1000, 0, 5)}
    service.stores(b"".join(put(name, content) for name, content in contents.items()))
    assert {name: service.content(name) for name in contents} == contents


def test_split_anywhere(service: Service) -> None:
    message = put("a", b"A") + put("b", b"B")
    for position in range(1, len(message)):
        service.stores(message[:position], message[position:])
        assert service.content("a") + service.content("b") == b"AB"
        (service.folder / "a").unlink()
        (service.folder / "b").unlink()


def test_client_that_leaves_without_reading(service: Service) -> None:
    contents = {f"{number}.bin": os.urandom(200_000) for number in range(3)}
    with service.peer() as peer:
        peer.send(b"".join(put(name, content) for name, content in contents.items()))
    for name in contents:
        assert service.log_of(peer) == f"stored '{name}', 200000 bytes"
    assert {name: service.content(name) for name in contents} == contents


def test_refusal_reaches_a_client_that_goes_on_sending(service: Service) -> None:
    with service.peer() as peer:
        peer.send(put("../x", bytes(4_000_000)))
        assert peer.answer()["status"] == 400


def test_good_files_before_a_refused_one_stay(service: Service) -> None:
    assert service.refuses(put("a", b"A") + put("../b", b"B")) == 400
    assert service.content("a") == b"A"


def test_folder_that_moves_is_still_the_folder(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "files", tmp_path / "moved"
    folder.mkdir()
    with Program("file_transfer/server.py", "--port", 0, "--folder", folder) as program:
        service = Service(program, folder)
        folder.rename(elsewhere)
        folder.symlink_to("/")
        service.stores(put("a", b"A"))
    assert (elsewhere / "a").read_bytes() == b"A"


def test_end_of_the_server_leaves_no_partial_file(tmp_path: Path) -> None:
    with Program("file_transfer/server.py", "--port", 0, "--folder", tmp_path) as program:
        service = Service(program, tmp_path)
        with service.peer() as peer:
            peer.send(put("a", b"A") + header(cmd="put", filename="b", filesize=9) + b"B")
            program.wait_for("stored 'a'")
            program.end()
            assert peer.stream.read() == b""
    assert os.listdir(tmp_path) == ["a"]
