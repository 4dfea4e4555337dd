"""The zoo: right and wrong implementations of each component, as people write them.

Each file beside this one holds one component's classes as a learner would hand them in. A class whose docstring begins
with "Right:" obeys every law, in a style of its own; one that begins with "Wrong:" has one realistic fault, which the
docstring names, with the product it was seen in where there was one. Two uses: they prove the laws (each kills a wrong
one that no other law kills, and none accuses a right one), and learners write laws of their own against them.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from msgspec import Struct

from lbtutor.testing.sandbox import Submission, submission


class Specimen(Struct, frozen=True):
    """One class of the zoo. `fault` is what is wrong with it, empty for a right one."""

    component: str
    name: str
    says: str
    fault: str
    file: Submission

    def __repr__(self) -> str:
        return f"{self.component}/{self.name}"


@cache
def specimens(component: str) -> tuple[Specimen, ...]:
    """All there are of one component, in the order of the file; none for a component that has no file."""
    path = Path(__file__).with_name(f"{component}.py")
    if not path.is_file():
        return ()
    data = path.read_bytes()
    file = submission(f"{component}.py", data)
    return tuple(
        _specimen(component, node.name, ast.get_docstring(node) or "", file)
        for node in ast.parse(data).body
        if isinstance(node, ast.ClassDef) and (ast.get_docstring(node) or "").startswith(("Right:", "Wrong:"))
    )


def _specimen(component: str, name: str, text: str, file: Submission) -> Specimen:
    verdict, _, says = " ".join(text.split()).partition(": ")
    return Specimen(component, name, says, says if verdict == "Wrong" else "", file)
