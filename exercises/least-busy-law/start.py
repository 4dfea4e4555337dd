"""A law for least connections: it holds in every story of a right balancer, and not in one of a wrong one."""


def holds(story):
    """Whether the law was kept in this story: a list of rows, each a dictionary.

    row["what"]    "pick", "start", "finish", "down" or "up"
    row["up"]      the servers that were up just before, such as ["a", "b"]
    row["open"]    how many requests each server had open just before, such as {"a": 2, "b": 0}
    row["chosen"]  of a "pick": the server that was chosen, or None when nobody is up
    """
    for row in story:
        if row["what"] == "pick" and row["up"]:
            if row["chosen"] not in row["up"]:
                return False
            # the gap: what must be true of the server that was chosen?
    return True
