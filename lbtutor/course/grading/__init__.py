"""Grading: what others handed in is run again, by somebody who can be trusted, and gets its points.

    supervisor  -- starts -->  grader, a process for each learner  -- asks -->  worker, with the learner's code
    keeps the records          model, laws, chances, verdict                    confined; knows nothing

handed      what was handed in: folders and archives become learners with files
record      what is kept of it: a record for each learner, a mark for each exercise
marking     one file and one exercise become a mark, with the points
looks       which wrong idea a failed file looks like, as a remark
grader      the process that marks one learner's files and says what comes of it
supervise   starts graders, waits with a limit, and calls what went wrong with them our fault
canary      what must fail and what must pass before anything is believed
lanes       several learners at once, each grader on a core of its own
run         a class: what is known already, what is left to do, what comes of it
formats     the same for a spreadsheet, for Gradescope and for programs
"""
