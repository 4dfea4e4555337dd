"""How the stories of each family look on the stage: one module a family, named like it.

Each has `events(program, moments, beat, component)`, which tells what a stage can show of these moments: any of the
core's events, at times in seconds; moment number `n`, counted from 1, begins at `n * beat`. The time of the stage is
that of the telling: where the story says that ten seconds pass, that is one beat. Nothing is told that the story does
not hold: what the code under test answered, and what it was told. A family without a module is told in sentences alone.

Where what stands on the stage is not servers as in any lesson, `LEGEND` says what it is.
"""
