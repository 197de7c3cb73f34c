"""A client of redoxworker for one source. What goes over the wire is in outbox/CONTRACT.md."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import TimeoutError
from nats.js.api import AckPolicy, ConsumerConfig, PubAck
from nats.js.errors import NotFoundError

from tokens import dedup_id, order_token

REPLIES, BODIES = "REDOX_REPLIES", "REDOX_BODIES"


@dataclass
class Reply:
    id: str
    settlement: str
    status: int | None
    error: str | None
    possible_duplicate: bool
    body: bytes
    _msg: Msg

    async def ack(self) -> None:
        """The reply is handled: nobody gets it again. Of those from Redox.replies() alone."""
        await self._msg.ack_sync()


class Redox:
    def __init__(self, nc: Client, source: str, secret: bytes):
        self.nc, self.js, self.source, self.secret = nc, nc.jetstream(), source, secret

    async def send(
        self, body: bytes, *, id: str | None = None, order_key: str | None = None, headers: dict[str, str] | None = None
    ) -> tuple[str, PubAck]:
        """Stores a SEND and returns when it is stored: its id, and JetStream's confirmation.

        Messages with one order key stay in the order in which they were stored: wait for each before
        the next. headers are more, such as Redox-Kind. The reply comes to replies().
        """
        id = id or str(uuid.uuid4())
        headers = {
            "Redox-Message-Id": id,
            "Nats-Msg-Id": dedup_id(self.secret, self.source, id),
            "Redox-Reply-To": f"redox.reply.{self.source}.{uuid.uuid4()}",
            **(headers or {}),
        }
        if len(body) > self.nc.max_payload - 16 * 1024:  # headers count, too
            name = f"{self.source}/{uuid.uuid4()}"
            await (await self.js.object_store(BODIES)).put(name, body)
            headers["Redox-Body-Object"], body = name, b""
        subject = f"redox.out.{self.source}.send"
        if order_key is not None:
            subject += "." + order_token(self.secret, order_key)
        for tries in range(5):
            try:
                return id, await self.js.publish(subject, body, headers=headers)
            except TimeoutError:
                # No answer is no proof that nothing was stored: again, under the same id.
                if tries == 4:
                    raise

    async def request(self, body: bytes, *, timeout: float = 150, headers: dict[str, str] | None = None) -> Reply:
        """Sends a query through the gateway and returns its reply."""
        msg = await self.nc.request(f"redox.gateway.{self.source}.request", body, timeout=timeout, headers=headers)
        if "Nats-Service-Error-Code" in msg.headers:
            raise RuntimeError(f"not stored: {msg.headers['Nats-Service-Error-Code']} {msg.headers['Nats-Service-Error']}")
        return await self._reply(msg)

    async def replies(self) -> AsyncIterator[Reply]:
        """All replies of the source, as they come, each at least once.

        All processes share them by one durable consumer, which goes on where they were; a reply is
        done when its ack() was called.
        """
        name = f"{self.source}-replies"
        try:
            await self.js.consumer_info(REPLIES, name)
        except NotFoundError:
            await self.js.add_consumer(REPLIES, ConsumerConfig(
                durable_name=name, filter_subject=f"redox.reply.{self.source}.>", ack_policy=AckPolicy.EXPLICIT, ack_wait=10,
                max_ack_pending=1,  # one after the other, in order
                max_deliver=-1,
            ))
        consumer = await self.js.pull_subscribe_bind(durable=name, stream=REPLIES)
        try:
            while True:
                try:
                    for msg in await consumer.fetch(1, timeout=30):
                        yield await self._reply(msg)
                except TimeoutError:
                    pass  # no reply for so long
        finally:
            await consumer.unsubscribe()

    async def _reply(self, msg: Msg) -> Reply:
        h, body = msg.headers, msg.data
        if object := h.get("Redox-Body-Object"):
            body = (await (await self.js.object_store(BODIES)).get(object)).data
        status = h.get("Redox-Status")
        return Reply(
            h["Redox-Message-Id"], h["Redox-Settlement"], int(status) if status else None, h.get("Redox-Error"),
            h.get("Redox-Possible-Duplicate") == "true", body, msg,
        )
