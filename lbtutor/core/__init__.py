"""The core: a balancer that decides but never waits.

Read in this order. `messages` and `events` say what goes in, what comes out and what is told. `backend` is one server
as the balancer sees it; `health` and `ejection` are the tables by which that belief changes; `pool` is a group of
backends and the tuple of those available; `algorithms` choose among these, unless `affinity` brings a client back to
where it was; `retry` says who may try again, and `waiting` what comes due later; `routing` finds the pool, by `paths`
that read one way only, or one of the balancer's own `answers`; `explain` records why; `balancer` is the one object that
a shell holds, `snapshot` its numbers at a moment, and `reload` what changes under it. `workload` describes what a
scenario does to all of this, and `service` how long a machine works on a request.

Whoever holds the balancer is a shell: `lbtutor.live` with sockets, `lbtutor.sim` with a virtual clock. Nothing here
imports asyncio, socket, threading or time: `now` is an argument, and chance is a `random.Random` that was given.
"""

from lbtutor.core.affinity import Sticky
from lbtutor.core.algorithms import ALGORITHMS, Algorithm, Comparison
from lbtutor.core.answers import Redirect, Respond
from lbtutor.core.backend import Backend
from lbtutor.core.balancer import Balancer, PoolSnapshot
from lbtutor.core.ejection import PassiveCheck
from lbtutor.core.errors import ConfigError, ContractError, EnvironmentFault, JournalError, LbtutorError
from lbtutor.core.events import Event
from lbtutor.core.health import HealthCheck
from lbtutor.core.listening import BackendTls, Certificate, ListenerConfig, Tls
from lbtutor.core.messages import (
    Add,
    Answer,
    BackendConfig,
    Command,
    Cut,
    Disable,
    Drain,
    Enable,
    Forward,
    Outcome,
    Probe,
    ProbeResult,
    Reject,
    Remove,
    Request,
    SetWeight,
    Shift,
    Wait,
)
from lbtutor.core.pool import PoolConfig
from lbtutor.core.retry import Retry
from lbtutor.core.routing import Route
from lbtutor.core.service import Service
from lbtutor.core.units import Seconds
from lbtutor.core.workload import (
    Act,
    Arrival,
    BalancerConfig,
    Conversation,
    Dns,
    Fault,
    MachineConfig,
    Plan,
    Traffic,
)

__all__ = [
    "ALGORITHMS",
    "Act",
    "Add",
    "Algorithm",
    "Answer",
    "Arrival",
    "Backend",
    "BackendConfig",
    "BackendTls",
    "Balancer",
    "BalancerConfig",
    "Certificate",
    "Command",
    "Comparison",
    "ConfigError",
    "ContractError",
    "Conversation",
    "Cut",
    "Disable",
    "Dns",
    "Drain",
    "Enable",
    "EnvironmentFault",
    "Event",
    "Fault",
    "Forward",
    "HealthCheck",
    "JournalError",
    "LbtutorError",
    "ListenerConfig",
    "MachineConfig",
    "Outcome",
    "PassiveCheck",
    "Plan",
    "PoolConfig",
    "PoolSnapshot",
    "Probe",
    "ProbeResult",
    "Redirect",
    "Reject",
    "Remove",
    "Request",
    "Respond",
    "Retry",
    "Route",
    "Seconds",
    "Service",
    "SetWeight",
    "Shift",
    "Sticky",
    "Tls",
    "Traffic",
    "Wait",
]
