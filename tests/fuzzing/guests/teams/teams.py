"""Three planted faults: a text with an empty word, a division by zero, and a default argument that is kept."""

import wit_world


class WitWorld(wit_world.WitWorld):
    """The exports."""

    def initials(self, name: str) -> str:
        """Return the first letters of the words of a name."""
        # Fault: two spaces, or one at an end, have an empty word between them.
        return "".join(word[0] for word in name.split(" ")) if name else ""

    def share(self, points: int, members: int | None) -> int:
        """Return the points of each member; without members, those of all."""
        # Fault: there may be 0 members.
        return points if members is None else points // members

    def enrol(self, name: str, enrolled: list[str] = []) -> int:  # noqa: B006
        """Return the length of the name with which somebody is enrolled."""
        # Fault: the list is made once, and keeps the name of each call.
        enrolled.append(name + " " * 65_536)
        return len(enrolled[-1])
