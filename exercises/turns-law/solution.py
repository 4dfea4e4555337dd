"""A law for round robin: nobody who is up all the while is passed over."""


def holds(story):
    """Whether, between two turns of a server, everyone who was up all the while had a turn too."""
    last = {}  # the row in which a server last had a turn
    for number, row in enumerate(story):
        if row["what"] != "pick" or not row["up"]:
            continue
        chosen = row["chosen"]
        between = story[last[chosen] + 1 : number] if chosen in last else []
        waited = [name for name in row["up"] if all(name in other["up"] for other in between)]
        served = {other["chosen"] for other in between if other["what"] == "pick"}
        if chosen in last and chosen in waited and set(waited) - served - {chosen}:
            return False
        last[chosen] = number
    return True
