"""A host of N slots and a fixed latency, in its own process.

`python -m benchmarks.scale_host SLOTS MILLISECONDS [PORT]` prints its port.

It plays llama.cpp: models, `/props` with its slots, embeddings, streamed chats of three tokens. `POST /control` with
`{"mode": "well" | "busy" | "hang"}` makes it answer 503 or nothing at all, `/health` included; `GET /asked` tells how many
texts it was asked, `GET /counts` all it did: requests, texts, the most in flight at once, and the times of its answers. It
ends with its standard input.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import struct
import sys
import time
from typing import Any

VECTOR = base64.b64encode(struct.pack("<384f", *(number / 384 for number in range(384)))).decode()
SSE = [
    *({"choices": [{"index": 0, "delta": {"content": word}}]} for word in ("one ", "two ", "three")),
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
]
CHAT = "".join(f"data: {json.dumps(event)}\n\n" for event in SSE).encode() + b"data: [DONE]\n\n"
BUSY = json.dumps({"error": {"message": "no slot", "code": 503, "type": "unavailable_error"}}).encode()
NO_RANKING = json.dumps({"error": {"message": "no ranking", "code": 501, "type": "not_supported_error"}}).encode()


class Host:
    """What a host knows and counts."""

    def __init__(self, slots: int, latency: float) -> None:
        self.slots = slots
        self.latency = latency
        self.places = asyncio.Semaphore(slots)
        self.mode = "well"
        self.requests = self.in_flight = self.most = self.hung = 0
        self.texts: dict[str, int] = {}
        self.answered: list[float] = []

    async def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, str, bytes] | None:
        if path == "/control":
            self.mode = body["mode"]
            return 200, "application/json", b"{}"
        if path == "/asked":
            return 200, "application/json", str(sum(self.texts.values())).encode()
        if path == "/counts":
            shown = ("requests", "most", "hung", "texts", "answered")
            return 200, "application/json", json.dumps({name: getattr(self, name) for name in shown}).encode()
        if self.mode == "hang":
            self.hung += method == "POST"
            return None
        if self.mode == "busy":
            return 503, "application/json", BUSY
        if path == "/v1/rerank":
            return 501, "application/json", NO_RANKING
        if method == "GET":
            return 200, "application/json", json.dumps(self.about(path)).encode()
        return await self.work(path, body)

    async def work(self, path: str, body: dict[str, Any]) -> tuple[int, str, bytes] | None:
        self.requests += 1
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            async with self.places:
                await asyncio.sleep(self.latency)
        finally:
            self.in_flight -= 1
        if self.mode == "hang":
            self.hung += 1
            return None
        self.answered.append(time.monotonic())
        if path == "/v1/embeddings":
            for text in body["input"]:
                self.texts[text] = self.texts.get(text, 0) + 1
            vectors = [{"index": at, "embedding": VECTOR} for at in range(len(body["input"]))]
            return 200, "application/json", json.dumps({"model": "fake", "data": vectors}).encode()
        question = body["messages"][-1]["content"]
        self.texts[question] = self.texts.get(question, 0) + 1
        return 200, "text/event-stream", CHAT

    def about(self, path: str) -> dict[str, Any]:
        if path == "/v1/models":
            return {"object": "list", "data": [{"id": "fake", "owned_by": "llamacpp", "meta": {"n_ctx": 8192}}]}
        return {"status": "ok", "total_slots": self.slots, "build_info": "b1-0c1e570", "chat_template": "x"}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := (await reader.readline()).decode().split():
                size = 0
                while (header := (await reader.readline()).strip()) != b"":
                    if header.lower().startswith(b"content-length:"):
                        size = int(header.split(b":")[1])
                body = json.loads(await reader.readexactly(size)) if size else {}
                found = await self.answer(line[0], line[1].partition("?")[0], body)
                if found is None:
                    await reader.read()  # says nothing until the client hangs up
                    break
                status, kind, document = found
                head = f"HTTP/1.1 {status} X\r\nServer: llama.cpp\r\nContent-Type: {kind}\r\nContent-Length: {len(document)}"
                writer.write(head.encode() + b"\r\n\r\n" + document)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def main(slots: int, latency: float, port: int = 0) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(Host(slots, latency).serve, "127.0.0.1", port, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop.add_reader(sys.stdin.fileno(), lambda: os._exit(0) if not os.read(sys.stdin.fileno(), 1) else None)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]) / 1000, *map(int, sys.argv[3:])))
