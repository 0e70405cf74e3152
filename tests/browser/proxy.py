"""A TCP relay that a test can cut, as a network does."""

from __future__ import annotations

import contextlib
import socket
import threading


class CuttableProxy:
    """Relays connections on a port of its own to another port of this machine, until they are cut."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._down = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break every open connection and refuse new ones until `mend`."""
        with self._lock:
            self._down = True
            broken, self._open = self._open, set()
        for connection in broken:
            _drop(connection)

    def mend(self) -> None:
        """Relay again."""
        with self._lock:
            self._down = False

    def close(self) -> None:
        _drop(self._listener)
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                refused = self._down
            if refused:
                _drop(near)
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._target_port))
            except OSError:
                _drop(near)
                continue
            with self._lock:
                self._open |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._relay, args=(source, sink), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for connection in (source, sink):
            _drop(connection)
        with self._lock:
            self._open -= {source, sink}


def _drop(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
