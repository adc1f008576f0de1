"""Which run made which connection: the gate's word joined with the runtime's.

    gate (another process)     record: thread, address, port, names, verdict     trusted, but knows of no runs
    runtime (in the process)   claim: run, address, port                         knows the run, but may be forged

The gate writes its record before the process gets its answer, and the runtime its claim after it, so a claim always
has a record, which may still be on its way: the two come through different channels. Connections of the main thread
keep their order in both, so a claim takes the oldest record of its address and port that nobody has claimed. What
nobody claims (native code, another thread) belongs to every run that was open when it was read, marked ``shared``
where there were several. Verdicts are the gate's alone: a forged claim can move a record between the runs of one
tenant, but neither make nor hide one, for an unclaimed record is shown in all of them.

Names that DNS refused, or that ``report`` marks, come as records without a port; they belong to the runs that said they
would ask for the name. Addresses that were kept back end here, in the operator's log: runs are read by the hooks'
authors, who must not learn them.
What became of a connection in progress (``outcome``) counts if it comes before the run is over.

Bookkeeping, no clock and no loop. Everything is bounded: ``MAX_PER_RUN`` attempts, ``MAX_PENDING`` records and
claims that wait for each other; the oldest give way. Whoever keeps a ledger asks ``is_complete`` when a run has settled,
and waits ``WAIT_SECONDS`` at most for what is still on its way.
"""

from __future__ import annotations

import dataclasses
import errno as errnos
import ipaddress
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from typing import Any

import structlog

from tenterhook.egress import GRANTS_SETTING, Reason
from tenterhook.sandbox.execution import ConnectionAttempt

_log = structlog.get_logger(__name__)

MAX_PER_RUN = 512
"""Attempts kept for one run, of those that were allowed and of those that were refused each."""
MAX_PENDING = 2048
"""Records, and claims, that may wait for their counterpart in one process."""
WAIT_SECONDS = 0.1
"""How long a settled run waits for records that are still on their way from the gate."""
UNJUDGED = "unjudged"
"""The reason of a connection where there is no gate."""
LONGEST_NAME = 255
"""Characters of a name that are kept; what is longer is cut."""
_MAX_NAMES = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class GateRecord:
    """One connect(2), or one refused name, as the gate judged it."""

    sequence: int
    """Counts the records of one process, from 1."""
    main_thread: bool
    """Made by the thread that runs the hooks' JavaScript; other threads' order says nothing."""
    address: str | None
    """As text, without brackets; None of a refused name."""
    port: int | None
    """None: a name that DNS refused."""
    names: tuple[str, ...] = ()
    """What was asked of DNS to get the address, newest first; or the refused name."""
    allowed: bool
    reason: str
    """The policy's word: ``public``, ``granted``, ``private``, ``loopback``, ``not_listed``, …"""
    explanation: str = ""
    """A sentence for the author."""
    setting: str | None = None
    """The setting that would allow it, for example ``TENTERHOOK_EGRESS_ALLOW``."""
    entry_to_add: str | None = None
    """What to add to the setting, for example ``10.0.0.1:22``."""
    reported: bool = False
    """Allowed only because the hook's list is in report mode."""
    errno: int = 0
    """What the process was told; 0 or EINPROGRESS where it may go on."""
    established: bool | None = None
    """Whether the connection came about; None where the gate handed it in while it was in progress."""

    def to_json(self) -> dict[str, Any]:
        """Return it as the supervisor sends it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> GateRecord:
        """Read what the supervisor sends of a connection or, recognised by its ``name``, of a refused name.

        The supervisor is ours, but names are as long as strangers made them.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        values = {name: value for name, value in fields.items() if name in known}
        names = fields.get("names", ())
        if "name" in fields:
            names = (fields["name"],)
            marked = fields.get("reason") == Reason.NAME_OK  # else the gate would not tell of it
            values |= {"sequence": 0, "main_thread": False, "address": None, "port": None}
            values |= {"allowed": marked, "reported": marked}
            if fields.get("addresses"):
                values |= _withheld(fields)
        values["names"] = tuple(str(name)[:LONGEST_NAME] for name in names[:_MAX_NAMES])
        return cls(**values)

    def to_attempt(self, *, offset_ms: float, shared: bool = False) -> ConnectionAttempt:
        """Return it as a run shows it."""
        return ConnectionAttempt(
            offset_ms=round(offset_ms, 3),
            address=self.address,
            port=self.port,
            names=self.names,
            allowed=self.allowed,
            reason=self.reason,
            explanation=self.explanation,
            setting=self.setting,
            entry_to_add=self.entry_to_add,
            reported=self.reported,
            error=_errno_name(self.errno),
            established=self.established,
            shared=shared,
        )


def _withheld(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run may say of a name whose addresses were kept back; the operator's log gets the rest.

    The words are the same whatever the address is: its kind, too, would tell a hook's author about the operator's network.
    """
    name = str(fields["name"])[:LONGEST_NAME]
    _log.info(
        "egress_name_withheld",
        name=name,
        addresses=list(fields["addresses"]),
        reason=fields.get("reason"),
        explanation=fields.get("explanation"),
    )
    return {
        "reason": Reason.NOT_PUBLIC.value,
        "explanation": (
            f"{name} leads to an address that is not public, and hooks are not told which; the server's log says it. "
            f"Where such an address can be allowed, the operator does so in {GRANTS_SETTING}."
        ),
        "setting": GRANTS_SETTING,
        "entry_to_add": None,
    }


def _errno_name(number: int) -> str | None:
    if number in {0, errnos.EINPROGRESS}:
        return None
    return errnos.errorcode.get(number, str(number))


@dataclasses.dataclass(kw_only=True)
class _OpenRun:
    opened_at: float
    names: dict[str, float] = dataclasses.field(default_factory=dict)
    """Names it asked for → when; the value is the offset."""
    kept: list[tuple[int, ConnectionAttempt]] = dataclasses.field(default_factory=list)
    allowed: int = 0
    refused: int = 0
    unlisted: int = 0
    claims: int = 0
    lookups: int = 0
    waiting: int = 0
    """Claims whose record has not come."""

    def keep(self, sequence: int, attempt: ConnectionAttempt) -> None:
        if attempt.allowed:
            self.allowed += 1
        else:
            self.refused += 1
        if (self.allowed if attempt.allowed else self.refused) <= MAX_PER_RUN:
            self.kept.append((sequence, attempt))
        else:
            self.unlisted += 1


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Pending:
    """A record of the main thread that nobody has claimed so far."""

    record: GateRecord
    at: float
    open_then: frozenset[int]


_Endpoint = tuple[str | None, int | None]


class ConnectionLedger:
    """The connections of one process. Runs are known by their numbers there; moments are monotonic seconds."""

    def __init__(self, *, gated: bool = True) -> None:
        """``gated`` is False where no gate tells anything: then claims are all there is."""
        self._gated = gated
        self._open: dict[int, _OpenRun] = {}
        self._pending: OrderedDict[int, _Pending] = OrderedDict()
        self._by_endpoint: dict[_Endpoint, deque[int]] = {}
        self._claims: OrderedDict[int, tuple[_Endpoint, int, float]] = OrderedDict()
        self._claims_by_endpoint: dict[_Endpoint, deque[int]] = {}
        self._last_claim = 0
        self._outcomes: OrderedDict[int, bool | None] = OrderedDict()

    def opened(self, run: int, *, at: float) -> None:
        """A run was sent to the process."""
        self._open[run] = _OpenRun(opened_at=at)

    def started(self, run: int, *, at: float) -> None:
        """It begins: offsets count from here."""
        if run in self._open:
            self._open[run].opened_at = at

    def record(self, record: GateRecord, *, at: float) -> None:
        """The gate judged a connection, or DNS refused a name."""
        if record.port is None or record.address is None:
            self._on_refused_name(record, at)
            return
        if not record.main_thread:
            self._share(record, at, self._open)
            return
        endpoint = (_canonical(record.address), record.port)
        claims = self._claims_by_endpoint.get(endpoint)
        if claims:
            number = claims.popleft()
            if not claims:
                del self._claims_by_endpoint[endpoint]
            _, run, offset_ms = self._claims.pop(number)
            self._open[run].waiting -= 1
            self._give(run, record, offset_ms)
            return
        self._pending[record.sequence] = _Pending(record=record, at=at, open_then=frozenset(self._open))
        self._by_endpoint.setdefault(endpoint, deque()).append(record.sequence)
        if len(self._pending) > MAX_PENDING:
            self._give_up(next(iter(self._pending)))

    def outcome(self, sequence: int, established: bool | None, errno: int = 0) -> None:  # noqa: FBT001 - as the gate tells it
        """The gate learnt whether a connection in progress came about."""
        del errno
        self._outcomes[sequence] = established
        if len(self._outcomes) > MAX_PENDING:
            self._outcomes.popitem(last=False)

    def unreported(self, refused: int) -> None:
        """The gate refused so many more, too many in too short a time to tell of each."""
        for known in self._open.values():
            known.unlisted += refused

    def claim(self, run: int, address: str, port: int, *, offset_ms: float) -> bool:
        """Take the runtime's word that the run connected to an address just now; False beyond all bounds."""
        known = self._open.get(run)
        if known is None or known.claims >= MAX_PENDING:
            return False
        known.claims += 1
        address = _canonical(address)
        if not self._gated:
            unjudged = ConnectionAttempt(
                offset_ms=offset_ms, address=address, port=port, allowed=True, reason=UNJUDGED
            )
            known.keep(0, unjudged)
            return True
        endpoint = (address, port)
        if endpoint in self._by_endpoint:
            sequence = self._by_endpoint[endpoint][0]
            # Order holds on the main thread, so what came before was made by native code.
            for earlier in [each for each in self._pending if each < sequence]:
                self._give_up(earlier)
            self._give(run, self._forget_pending(sequence).record, offset_ms)
            return True
        self._last_claim += 1
        self._claims[self._last_claim] = (endpoint, run, offset_ms)
        self._claims_by_endpoint.setdefault(endpoint, deque()).append(self._last_claim)
        known.waiting += 1
        if len(self._claims) > MAX_PENDING:
            self._drop_claim(next(iter(self._claims)))
        return True

    def asks_name(self, run: int, name: str, *, offset_ms: float) -> bool:
        """Take the runtime's word that the run is about to look up a name; False beyond all bounds."""
        known = self._open.get(run)
        if known is None or known.lookups >= MAX_PENDING:
            return False
        known.lookups += 1
        if len(known.names) < MAX_PER_RUN:
            known.names.setdefault(_plain(name), offset_ms)
        return True

    def went_out(self, run: int) -> bool:
        """Whether the run asked for a name or a connection, of which there may be more to hear."""
        known = self._open.get(run)
        return known is not None and (known.lookups > 0 or known.claims > 0)

    def is_complete(self, run: int) -> bool:
        """Whether nothing of the run is still on its way, as far as can be known."""
        known = self._open.get(run)
        if known is None:
            return True
        return known.waiting == 0 and not any(
            run in each.open_then and len(each.open_then) > 1 for each in self._pending.values()
        )

    def take(self, run: int) -> tuple[tuple[ConnectionAttempt, ...], int]:
        """Return what the run did, oldest first, and how many more there were; forget the run."""
        known = self._open.get(run)
        if known is None:
            return (), 0
        for sequence in [each for each, pending in self._pending.items() if run in pending.open_then]:
            pending = self._pending[sequence]
            if len(pending.open_then & self._open.keys()) == 1:
                self._give_up(sequence)  # nobody else is left to claim it
            else:
                self._share_one(run, pending)
        for number in [each for each, (_, owner, _) in self._claims.items() if owner == run]:
            self._drop_claim(number)
        del self._open[run]
        attempts = sorted((self._ended(*kept) for kept in known.kept), key=lambda attempt: attempt.offset_ms)
        return tuple(attempts), known.unlisted

    # -- Inside

    def _ended(self, sequence: int, attempt: ConnectionAttempt) -> ConnectionAttempt:
        if attempt.established is not None or sequence not in self._outcomes:
            return attempt
        return dataclasses.replace(attempt, established=self._outcomes[sequence])

    def _on_refused_name(self, record: GateRecord, at: float) -> None:
        # One look-up asks DNS several times (A, AAAA, again over another server): once in each run is enough.
        names = {_plain(name) for name in record.names}
        askers = [run for run, known in self._open.items() if names & known.names.keys()]
        for run in askers or self._open:
            kept = self._open[run].kept
            if any(
                one.port is None and one.allowed == record.allowed and names & {_plain(n) for n in one.names}
                for _, one in kept
            ):
                continue
            asked = next(
                (self._open[run].names[name] for name in names if name in self._open[run].names), None
            )
            offset_ms = self._offset(run, at) if asked is None else asked
            shared = not askers and len(self._open) > 1
            self._open[run].keep(record.sequence, record.to_attempt(offset_ms=offset_ms, shared=shared))

    def _give(self, run: int, record: GateRecord, offset_ms: float) -> None:
        self._open[run].keep(record.sequence, record.to_attempt(offset_ms=offset_ms))

    def _share(self, record: GateRecord, at: float, runs: Iterable[int]) -> None:
        pending = _Pending(record=record, at=at, open_then=frozenset(runs))
        for run in pending.open_then & self._open.keys():
            self._share_one(run, pending)

    def _share_one(self, run: int, pending: _Pending) -> None:
        attempt = pending.record.to_attempt(
            offset_ms=self._offset(run, pending.at), shared=len(pending.open_then) > 1
        )
        self._open[run].keep(pending.record.sequence, attempt)

    def _offset(self, run: int, at: float) -> float:
        return max(0.0, at - self._open[run].opened_at) * 1000

    def _give_up(self, sequence: int) -> None:
        """Nobody will claim it."""
        pending = self._forget_pending(sequence)
        self._share(pending.record, pending.at, pending.open_then)

    def _forget_pending(self, sequence: int) -> _Pending:
        pending = self._pending.pop(sequence)
        endpoint = (_canonical(pending.record.address or ""), pending.record.port)
        waiting = self._by_endpoint[endpoint]
        waiting.remove(sequence)
        if not waiting:
            del self._by_endpoint[endpoint]
        return pending

    def _drop_claim(self, number: int) -> None:
        endpoint, run, _ = self._claims.pop(number)
        waiting = self._claims_by_endpoint[endpoint]
        waiting.remove(number)
        if not waiting:
            del self._claims_by_endpoint[endpoint]
        self._open[run].waiting -= 1


def _canonical(address: str) -> str:
    """Write an address as the gate does, which reads numbers and not the caller's text."""
    try:
        read = ipaddress.ip_address(address)
    except ValueError:
        return address
    inner = read.ipv4_mapped if isinstance(read, ipaddress.IPv6Address) else None
    return str(inner or read)


def _plain(name: str) -> str:
    return name.rstrip(".").lower()
