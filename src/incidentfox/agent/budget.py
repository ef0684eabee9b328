"""Hard budgets round a team's models: reserve the most that a request may cost, settle what it did cost.

Two wrappers of `policy.guard_model`, with the checkpoint between them, and the Meter that they share. The ledger is the
Config Service's, so that all runs of a team, wherever they are, are held to one account.

    KeepWithinBudget    reserves, asks, settles, each a durable step; at the limit the offline model takes over
      checkpoint        one durable step per request (policy.py)
        ReserveAttempts a request that is tried again after it may have been billed is reserved for again

The most that a request may cost: a token for each byte of it, since no tokeniser makes more, and the whole answer that
the configuration allows. What an earlier request of the same conversation was counted as replaces its part of that.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, ToolCallPart, ToolReturnPart, UserPromptPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage
from pydantic_core import to_json

from incidentfox.agent.fences import fence
from incidentfox.agent.patience import patience
from incidentfox.agent.provider import ModelBusy, ModelRefused, Price
from incidentfox.agent.providers.offline import ALERT_SOURCE, OfflineModel
from incidentfox.agent.scope import RunScope
from incidentfox.clients.config_service import ConfigServiceClient
from incidentfox.contracts.budgets import ExceededBudget, Reservation, ReserveBudget, SettleBudget
from incidentfox.contracts.events import RunEventType
from incidentfox.kernel.durable import FOR_EVER
from incidentfox.kernel.errors import Failure
from incidentfox.kernel.tenant import Tenant

OVERHEAD_TOKENS = 512
"""What servers put round a conversation before they count it: chat templates, the preamble of the tools."""

_EXCEEDED = "budget_exceeded"


@dataclass(frozen=True)
class Account:
    """Where the use of a team's models is kept."""

    client: ConfigServiceClient
    tenant: Tenant

    async def reserve(self, run_id: str, request: ReserveBudget) -> Reservation:
        """See `config_service/budgets`. Waits for a Config Service that does not know this agent (`patience`)."""
        with patience():
            return await self.client.reserve_budget(self.tenant, run_id, request)

    async def settle(self, run_id: str, settled: SettleBudget) -> None:
        """See `config_service/budgets`."""
        with patience():
            await self.client.settle_budget(self.tenant, run_id, settled)


@dataclass(frozen=True)
class Cost:
    """Tokens and what they cost; `usd` None where the price is not known."""

    tokens: int
    usd: Decimal | None


NOTHING = Cost(0, Decimal(0))


@dataclass
class Meter:
    """The account as one agent of one run draws on it.

    `unused`: the attempt is reserved by this process and not made yet. Until it is made it keeps its id, so that asking
    for it again after a lost answer is the same reservation.
    """

    scope: RunScope
    account: Account
    price: Price | None
    max_output_tokens: int
    call: str = ""
    most: Cost = NOTHING
    unused: bool = False
    _attempt: str = ""
    _counted: tuple[bytes, int, int] | None = field(default=None, repr=False)

    def begin(self, messages: Sequence[ModelMessage], parameters: ModelRequestParameters) -> None:
        """Turns to the next request of the run."""
        self.scope.reserved += 1
        self.call = f"c{self.scope.reserved}"
        self.next_attempt()
        input_tokens = self._bound(_conversation(messages), len(_frame(parameters)))
        usd = self.price(input_tokens, 0, self.max_output_tokens) if self.price else None
        self.most = Cost(input_tokens + self.max_output_tokens, usd)

    def next_attempt(self) -> None:
        """The attempt is being made: another one has to be reserved for."""
        self._attempt, self.unused = secrets.token_hex(8), False

    async def reserve(self) -> Reservation:
        """Reserves for the attempt that is to be made."""
        wanted = ReserveBudget(call=self.call, attempt=self._attempt, tokens=self.most.tokens, usd=self.most.usd)
        reservation = await self.account.reserve(self.scope.run_id, wanted)
        self.unused = reservation.granted
        return reservation

    async def settle(self, cost: Cost) -> None:
        """Replaces what is open of the request by this."""
        settled = SettleBudget(call=self.call, tokens=cost.tokens, usd=cost.usd)
        await self.account.settle(self.scope.run_id, settled)

    def cost(self, usage: RequestUsage) -> Cost:
        """What an answered request cost."""
        return Cost(usage.input_tokens + usage.output_tokens, usage.cost)

    def remember(
        self, messages: Sequence[ModelMessage], parameters: ModelRequestParameters, usage: RequestUsage
    ) -> None:
        """Keeps what a request was counted as, for the bound of the one that continues it."""
        if not usage.details:
            self._counted = _conversation(messages), len(_frame(parameters)), usage.input_tokens

    def _bound(self, conversation: bytes, frame: int) -> int:
        """The most tokens that the request can be: see the module."""
        bound = len(conversation) + frame
        if self._counted is not None and conversation.startswith(self._counted[0]):
            before, frame_before, tokens = self._counted
            bound = min(bound, tokens + len(conversation) - len(before) + max(0, frame - frame_before))
        return bound + OVERHEAD_TOKENS


class ReserveAttempts(WrapperModel):
    """Sees to it that each attempt of a request is reserved for. Belongs inside of the checkpoint.

    The first attempt is reserved before the checkpoint. A later one is reserved here, and so is the first of a process
    that took the run over: what became of the one before is not known, and the ledger counts it in full.
    """

    def __init__(self, wrapped: Model, meter: Meter) -> None:
        super().__init__(wrapped)
        self.meter = meter

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Asks the model. Where the budget does not allow it: an empty response that says so."""
        if not self.meter.unused:
            exceeded = (await self.meter.reserve()).exceeded
            if exceeded is not None:
                return ModelResponse(parts=[], metadata={_EXCEEDED: exceeded.model_dump(mode="json")})
        self.meter.next_attempt()
        try:
            return await self.wrapped.request(messages, model_settings, model_request_parameters)
        except (ModelBusy, ModelRefused):
            # If this is not taken, the attempt stays open and is counted in full: never too little.
            with suppress(Failure):
                await self.meter.settle(NOTHING)
            raise


class KeepWithinBudget(WrapperModel):
    """Holds the run and its team to their budgets. Belongs outside of the checkpoint.

    At the limit the offline model takes over, for all agents of the run: it reads what the run has gathered, asks the
    tools for what is missing, and writes the report. It costs nothing.
    """

    def __init__(self, wrapped: Model, meter: Meter) -> None:
        super().__init__(wrapped)
        self.meter = meter
        self._offline = OfflineModel()

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Asks the model, or the offline one."""
        scope = self.meter.scope
        if scope.budget_exhausted is None:
            response = await self._ask(messages, model_settings, model_request_parameters)
            if response is not None:
                return response
        return await self._offline.request(_gathered(scope), model_settings, model_request_parameters)

    async def _ask(
        self, messages: list[ModelMessage], settings: ModelSettings | None, parameters: ModelRequestParameters
    ) -> ModelResponse | None:
        meter, journal = self.meter, self.meter.scope.journal
        meter.begin(messages, parameters)

        async def reserve() -> object:
            return (await meter.reserve()).model_dump(mode="json")

        reservation = Reservation.model_validate(await journal.step("reserve budget", reserve, retry=FOR_EVER))
        if reservation.exceeded is not None:
            self._exhausted(reservation.exceeded)
            return None
        try:
            response = await self.wrapped.request(messages, settings, parameters)
        except Failure:
            # Only what is still open, so only what may have been billed.
            await self._settle(meter.most)
            raise
        if response.metadata and _EXCEEDED in response.metadata:
            self._exhausted(ExceededBudget.model_validate(response.metadata[_EXCEEDED]))
            return None
        await self._settle(meter.cost(response.usage))
        meter.remember(messages, parameters, response.usage)
        return response

    async def _settle(self, cost: Cost) -> None:
        async def settle() -> None:
            await self.meter.settle(cost)

        await self.meter.scope.journal.step("settle budget", settle, retry=FOR_EVER)

    def _exhausted(self, exceeded: ExceededBudget) -> None:
        scope = self.meter.scope
        scope.budget_exhausted = exceeded.limit
        scope.note(RunEventType.BUDGET_EXHAUSTED, "budget-exhausted", exceeded.model_dump(mode="json"))


def _conversation(messages: Sequence[ModelMessage]) -> bytes:
    """Everything that is said, as JSON: longer than what any server makes of it, and growing at its end only."""
    return b"\n".join(to_json(part) for message in messages for part in message.parts)


def _frame(parameters: ModelRequestParameters) -> bytes:
    """What goes along with every request: the instructions and the tools."""
    tools = [*parameters.function_tools, *parameters.output_tools]
    described = [(tool.name, tool.description, tool.parameters_json_schema) for tool in tools]
    return to_json((described, [part.content for part in parameters.instruction_parts or ()]))


def _gathered(scope: RunScope) -> list[ModelMessage]:
    """What all agents of the run have gathered, as a conversation: the alert, then each call with its result."""
    alert = scope.alert.model_dump_json() if scope.alert else ""
    messages: list[ModelMessage] = [
        ModelRequest(parts=[UserPromptPart(fence(alert, source=ALERT_SOURCE, nonce=scope.nonce))])
    ]
    for call_id, kept in scope.results.items():
        source = f"tool-error:{kept.tool}" if kept.is_error else f"tool:{kept.tool}"
        text = fence(to_json(kept.result).decode(), source=source, nonce=scope.nonce, call=call_id)
        messages.append(ModelResponse(parts=[ToolCallPart(kept.tool, {}, tool_call_id=call_id)]))
        messages.append(ModelRequest(parts=[ToolReturnPart(kept.tool, text, tool_call_id=call_id)]))
    return messages
