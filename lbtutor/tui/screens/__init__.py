"""The screens, and the parts of the lesson screen that draw no traffic.

lesson     what keys do while a lesson is open
view       what the lesson screen shows; asks `cue` what the learner is to do, `captions` what to say
theatre    the stage, its charts and its clock; holds a `watched` run (real traffic, and all that is read off it)
bars log record reviews pace scales    the parts of these
exercises exercise    all exercises; one of them, watched while its file is edited elsewhere
home help small commands plain         the other screens, the palette, and terminals without UTF-8
"""
