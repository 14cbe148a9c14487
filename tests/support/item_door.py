"""The manager's door with the routes for workers that have only HTTP."""

from __future__ import annotations

from typing import Any

from asperathos_worker.queue.memory_queue import MemoryQueue
from asperathos_worker.queue.records import NewItem, QueueConfig
from werkzeug.test import TestResponse

from common.domain.queues import QueueAddress
from common.domain.states import State
from manager.item_api import register_items
from manager.item_desk import DeskRules, ItemDesk
from manager.item_tokens import ItemTokens, shared_secret
from tests.support.manager_door import NATIVE, Door


class ItemDoor(Door):
    """A manager's door, and one submission of ``items`` under way (``id``)."""

    def __init__(self, *items: str, rules: DeskRules | None = None, config: QueueConfig | None = None) -> None:
        super().__init__()
        self.tokens = ItemTokens(shared_secret(self.claims))
        desk = ItemDesk(lambda id: self.service.find(id).value, self.queue_of, self.clock, rules)
        register_items(self.app, desk, self.tokens)
        self.id = self.submit({**NATIVE, "workload": list(items) or ["a"]})
        self.change(self.id, state=State.ONGOING)
        self.queue = self.queue_of(self.id)
        self.queue.open(config or QueueConfig(lease=30.0, retries=1, backoff_base=0.0))
        self.queue.put([NewItem(item, str(place)) for place, item in enumerate(items)])
        self.queue.close()

    def queue_of(self, id: str) -> MemoryQueue:
        queue = self.queues.at(QueueAddress(submission=id))
        assert isinstance(queue, MemoryQueue)
        return queue

    @property
    def credentials(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens.token(self.id)}"}

    def post(self, what: str, body: Any = None) -> TestResponse:
        """One request in JSON, with the submission's token."""
        sent = {} if body is None else {"json": body}
        return self.client.post(f"/submissions/{self.id}/items/{what}", headers=self.credentials, **sent)

    def plain(self, what: str, query: str = "", body: bytes = b"") -> TestResponse:
        """One request in the plain form."""
        headers = {**self.credentials, "Accept": "text/plain"}
        return self.client.post(f"/submissions/{self.id}/items/{what}?{query}", headers=headers, data=body)

    def place(self, id: str) -> str:
        """Where an item is."""
        (state,) = self.queue.items([id])
        return state.place
