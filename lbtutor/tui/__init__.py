"""The terminal: a lesson on one screen, with real traffic moving through it.

    app        the program: which screen, which glyphs, which theme
    keymap     every key, as one table
    screens    what a person sees, and what keys do there
    widgets    the stage and the charts, which draw

Everything drawn is a fold over the trace of a run on real sockets; nothing here makes anything up.
"""
