"""A law for least connections: it holds in every story of a right balancer, and not in one of a wrong one."""


def holds(story):
    """Whether every choice fell on a server that was up, and than which none that was up had fewer requests open."""
    for row in story:
        if row["what"] == "pick" and row["up"]:
            if row["chosen"] not in row["up"]:
                return False
            if row["open"][row["chosen"]] > min(row["open"][name] for name in row["up"]):
                return False
    return True
