"""The laws, one function each; the docstring is the sentence that a learner reads."""
