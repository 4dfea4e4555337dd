"""Labs: scenario files, the shells they run on, and the verdict on what was expected.

`scenario` reads a file into a `Scenario` and tells its author what is wrong with it; `timeline` and `checks` are its
two last tables, what happens and what is expected; `run` plays it on a shell and judges it, `seeds` many times over
with a `crowd` (`processes`, or a `cluster`), `compare` with two algorithms; `proxy` serves its doors and pools alone,
for real; `reading` turns TOML text into records with errors that name file, line, key and the nearest known name;
`library` knows where lessons lie.
"""
