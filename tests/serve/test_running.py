import asyncio
import socket

from napari_uninuc.serve.running import listen


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
