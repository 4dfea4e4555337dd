"""The chapter's design challenge: a learner writes a design, Black Friday happens to it, each requirement is judged.

Read in this order. `design` is DESIGN.toml, key for key; `day` is what happens, as data, and makes a design a world of
the simulator; `judge` holds the requirements, and `exact` what the exact simulation says of the peak; `run` puts them
together for one design and seed or several; `record` knows who has passed.
"""
