"""How the stories of each family look on the stage: one module a family, named like it.

Each has `events(program, moments, beat, component)`, which tells what a stage can show of these moments: any of the
core's events, at times in seconds; moment number `n`, counted from 1, begins at `n * beat`. A family without a module
is told in sentences alone.
"""
