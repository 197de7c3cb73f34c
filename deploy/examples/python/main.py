"""Everything that an application does with redoxworker, once. See README.md."""

import asyncio
import json
import os
import uuid

import nats

from redox import Redox
from tokens import read_secret


def message(model: str, event: str, **rest) -> bytes:
    meta = {"DataModel": model, "EventType": event, "Test": True, "Destinations": [{"ID": "de570000-0000-4000-8000-000000000001"}]}
    return json.dumps({"Meta": meta, **rest}).encode()


async def main():
    nc = await nats.connect(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"))
    redox = Redox(nc, "clinic-a", read_secret(os.environ.get("ORDER_SECRET_FILE", "data/order.secret")))

    # Three messages about one patient stay in this order; a large one goes through the object store.
    visit = str(uuid.uuid4())
    waiting = {}
    for event, note in [("Arrival", ""), ("VisitUpdate", "x" * 2_000_000), ("Discharge", "")]:
        body = message("PatientAdmin", event, Patient={"Identifiers": [{"ID": "MRN 1", "IDType": "MR"}], "Notes": [note]})
        id, ack = await redox.send(body, id=f"{visit}-{event}", order_key="MRN 1")
        print(f"stored {event}" + (", again" if ack.duplicate else ""))
        waiting[id] = event

    # Sent again under its id, nothing happens twice.
    _, ack = await redox.send(message("PatientAdmin", "Discharge"), id=f"{visit}-Discharge", order_key="MRN 1")
    print("again: duplicate", str(bool(ack.duplicate)).lower())

    # A query and its answer.
    answer = await redox.request(message("PatientSearch", "Query", Patient={"Demographics": {"LastName": "Example"}}))
    where = "from the object store" if len(answer.body) > 1_000_000 else "in the message"
    print(f"query: {answer.settlement} {answer.status}, {json.loads(answer.body)['Meta']['EventType']}, {where}")

    # The replies to the messages, also to those of an earlier run that nobody has handled.
    replies = redox.replies()
    while waiting:
        reply = await anext(replies)
        if event := waiting.pop(reply.id, None):
            print(f"reply to {event}: {reply.settlement} {reply.status}" + (f": {reply.error}" if reply.error else ""))
        await reply.ack()  # when it is handled: who dies before gets it again
    await replies.aclose()
    await nc.close()


asyncio.run(main())
