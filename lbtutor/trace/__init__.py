"""The trace: what is made of the events that a balancer reports.

`feed` carries them from the thread where they happen to whoever reads; `journal` writes them to a file and reads them
back; `metrics` folds them into numbers (over the sketch in `histogram` and the buckets of time in `window`); `ledger`
accounts for each failure of a machine; `access` is the access log, one entry a request; `narrate` says each
event as one sentence (why a backend was picked: `reasons`), and `transcript` as one line.

Nothing here decides or draws. Everything a person sees of a run is made of these folds.
"""
