"""The course: lessons as files, and a learner's way through them, without any screen.

Read in this order. `lesson` is what a lesson is made of; `goals` are the conditions that the trace must meet, `watches`
the folds that see whether it does. `loader` makes a lesson of a folder, with `manuscript`, `steps` and `questions` for
its parts; `catalog` finds the folders. `session` is one learner in one lesson. `progress` keeps what they did in a
file, as a `record` that merges; `spacing` and `review` bring questions back. `plain` tells a lesson as text, `prose`
makes text of Markdown. `challenge` is the chapter's design challenge: a design, its day, and what is judged.
"""
