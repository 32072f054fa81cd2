"""An API server as informers see one: real HTTP on loopback, with one history, and faults to order."""

import asyncio
import json
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Fault:
    """What the server does instead of answering, so many times."""

    status: int
    message: str = "as ordered"
    times: int = 1
    path: str = ""
    """Only for requests whose path holds this."""
    watch: bool | None = None


@dataclass
class FakeServer:
    paths: set = field(default_factory=set)
    """Collections that exist."""
    tokens: set = field(default_factory=set)
    """Bearer tokens that count; without any, everybody may ask."""
    page_lifetime: int = 1000
    faults: list = field(default_factory=list)
    watch_seconds: float = 60.0
    """How long a watch lasts at most."""
    asked: Counter = field(default_factory=Counter)
    seen: list = field(default_factory=list)
    version: int = 100
    oldest: int = 0
    """Versions before it are compacted away."""
    objects: dict = field(default_factory=dict)
    history: list = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)
    writers: set = field(default_factory=set)
    url: str = ""

    # --- what users do ---

    async def put(self, path, document, silent=False):
        name = (path, document["metadata"].get("namespace", ""), document["metadata"]["name"])
        self.version += 1
        document = json.loads(json.dumps(document))
        document["metadata"]["resourceVersion"] = str(self.version)
        kind = "MODIFIED" if name in self.objects else "ADDED"
        self.objects[name] = document
        await self.tell(kind, path, document, silent)

    async def delete(self, path, namespace, name, silent=False):
        document = self.objects.pop((path, namespace, name))
        self.version += 1
        document = json.loads(json.dumps(document))
        document["metadata"]["resourceVersion"] = str(self.version)
        await self.tell("DELETED", path, document, silent)

    async def tell(self, kind, path, document, silent=False, version=None):
        """Sends an event, as any history might hold it."""
        if not silent:
            self.history.append((version or self.version, path, {"type": kind, "object": document}))
        async with self.news:
            self.news.notify_all()

    def compact(self):
        """Nobody can watch from an earlier version any more; pages of lists are gone as well."""
        self.oldest = self.version
        self.history.clear()

    def drop_all(self):
        """Breaks every connection."""
        for writer in list(self.writers):
            writer.transport.abort()

    # --- HTTP ---

    @asynccontextmanager
    async def running(self, port=0):
        server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            self.drop_all()
            await server.wait_closed()

    async def _serve(self, reader, writer):
        self.writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                url = urlsplit(head[0].split()[1])
                headers = dict(line.split(": ", 1) for line in head[1:] if line)
                if not await self._answer(writer, url.path, dict(parse_qsl(url.query)), headers):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    async def _answer(self, writer, path, query, headers):
        is_watch = query.get("watch") == "1"
        self.asked["watch" if is_watch else "list"] += 1
        self.seen.append((path, query))
        if self.tokens and headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return await self._refuse(writer, 401, "Unauthorized")
        for fault in self.faults:
            if fault.times and fault.path in path and fault.watch in (None, is_watch):
                fault.times -= 1
                if fault.status == 0:
                    writer.transport.abort()
                    return False
                return await self._refuse(writer, fault.status, fault.message)
        if path not in self.paths:
            return await self._refuse(writer, 404, "the server could not find the requested resource")
        if is_watch:
            return await self._watch(writer, path, int(query["resourceVersion"]))
        return await self._list(writer, path, query)

    async def _refuse(self, writer, status, message):
        await self._send(writer, {"kind": "Status", "code": status, "message": message}, status)
        return True

    async def _list(self, writer, path, query):
        limit, start = int(query.get("limit", 10**9)), 0
        version = self.version
        if "continue" in query:
            version, start = map(int, query["continue"].split("."))
            if version < self.oldest:
                return await self._refuse(writer, 410, "the provided continue parameter is too old")
        items = [document for name, document in sorted(self.objects.items()) if name[0] == path]
        meta = {"resourceVersion": str(version)}
        if start + limit < len(items):
            meta["continue"] = f"{version}.{start + limit}"
        await self._send(writer, {"kind": "List", "metadata": meta, "items": items[start : start + limit]})
        return True

    async def _watch(self, writer, path, version):
        if version < self.oldest:
            return await self._refuse(writer, 410, "too old resource version")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        sent = len(self.history)
        for at, where, event in self.history:
            if where == path and at > version:
                self._event(writer, event)
        until = asyncio.get_running_loop().time() + self.watch_seconds
        while (left := until - asyncio.get_running_loop().time()) > 0 and not writer.is_closing():
            try:
                async with asyncio.timeout(left), self.news:
                    await self.news.wait_for(lambda known=sent: len(self.history) != known)
            except TimeoutError:
                break
            sent = min(sent, len(self.history))
            for _, where, event in self.history[sent:]:
                if where == path:
                    self._event(writer, event)
            sent = len(self.history)
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    def _event(self, writer, event):
        line = json.dumps(event).encode() + b"\n"
        # In two pieces: a chunk is no event.
        half = len(line) // 2
        for part in (line[:half], line[half:]):
            writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")

    async def _send(self, writer, document, status=200):
        body = json.dumps(document).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
