"""A law for round robin: nobody who is up all the while is passed over."""


def holds(story):
    """Whether the law was kept in this story: a list of rows, each a dictionary.

    row["what"]    "pick", "start", "finish", "down" or "up"
    row["up"]      the servers that were up just before, such as ["a", "b", "c"]
    row["chosen"]  of a "pick": the server that was chosen, or None when nobody is up
    """
    last = {}  # the row in which a server last had a turn
    for number, row in enumerate(story):
        if row["what"] != "pick" or not row["up"]:
            continue
        chosen = row["chosen"]
        if chosen in last:
            between = story[last[chosen] + 1 : number]  # all that happened since its last turn
            # the gap: who must have had a turn in these rows, before `chosen` has another?
        last[chosen] = number
    return True
