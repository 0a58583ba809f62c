import asyncio
import socket

import pytest

from napari_uninuc.errors import OutputError
from napari_uninuc.serve.running import listen, open_to_clients


def test_answers_are_sent_at_once():
    """asyncio sets TCP_NODELAY only where a socket names its protocol; else 40 ms are waited."""

    async def option() -> int:
        told = asyncio.get_running_loop().create_future()

        class Told(asyncio.Protocol):
            def connection_made(self, transport):
                accepted = transport.get_extra_info("socket")
                told.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                transport.close()

        with listen("127.0.0.1", 0) as listener:
            server = await asyncio.get_running_loop().create_server(Told, sock=listener)
            _, writer = await asyncio.open_connection(*listener.getsockname())
            found = await told
            writer.close()
            await writer.wait_closed()
            server.close()
            await server.wait_closed()
        return found

    assert asyncio.run(option())


def test_who_asks_while_the_model_is_loaded_is_told_at_once():
    with listen("127.0.0.1", 0) as listener:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(listener.getsockname(), 5)
        open_to_clients(listener)
        socket.create_connection(listener.getsockname(), 5).close()


def test_of_two_servers_started_at_once_one_is_told():
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        try:
            second = listen("127.0.0.1", port)
        except OutputError:  # some systems tell it here already
            return
        with second:
            open_to_clients(first)
            with pytest.raises(OutputError, match="cannot listen"):
                open_to_clients(second)
