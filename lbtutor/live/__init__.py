"""The live shell: a real HTTP/1.1 load balancer on asyncio, and the stage that lessons and labs put around it.

From the outside inwards: `run` (a thread of its own, and the hand of whoever watches), `stage` (what a plan puts up),
`server` (doors), `l7` (a client's connection), `exchange` (one request and its answer), `upstream` (connections to
backends), `heads` (what passes through). Around it: `origin` (lab machines), `clients` (lab traffic), `probes`. All of
them wait by `clock`, and stand still at `gate`; only `shell` speaks to the balancer.
"""
