"""Exercises: one sentence and one gap each, judged by the laws.

manifest    what exercises there are, in their order, with hints and what judges them
judging     a learner's file becomes a judgement: per law a verdict, one cause and one next action
workspace   the learner's own files, and what was passed, asked for and tried, in one small record
"""
