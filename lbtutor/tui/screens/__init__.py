"""The screens, and the parts of the lesson screen that draw no traffic.

`lesson` is the screen itself; it holds a `watched.WatchedRun` (real traffic and everything read off it) and a
`LessonSession` (the lesson's logic), and asks `cue` what to tell the learner next. The rest is what it shows: `bars`,
`record`, `log`. `home`, `help` and `small` are the other screens.
"""
