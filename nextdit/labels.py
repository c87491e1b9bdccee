"""Names and numbers of classes."""

from difflib import get_close_matches

SHOWN, MANY = 12, 40
"""How many near classes an error lists, and up to how many classes it lists all."""


def numbers_or_names(text: str | None, classes: int) -> tuple[str, ...]:
    """Return the names in a file's metadata, none if it has none. Raises ValueError if they are not as many."""
    names = () if text is None else tuple(text.split(", "))
    if names and len(names) != classes:
        raise ValueError(f"its metadata has {len(names)} labels, its weights {classes}: download it again")
    return names


def find_label(label: str | int, known: int | tuple[str, ...]) -> int:
    """Return the number of a class, given by name or number, among `known` names or so many numbers.

    "207: golden retriever", as lists show it, is both; a part of a name will do if only one name has it. Raises
    ValueError, naming what is near, for all else.
    """
    names = () if isinstance(known, int) else known
    count = known if isinstance(known, int) else len(known)
    text, plain = str(label).strip().casefold(), [name.casefold() for name in names]
    if plain.count(text) == 1:
        return plain.index(text)
    number, _, name = text.partition(":")
    if number.isascii() and number.isdecimal() and int(number) < count:
        if not names or name.strip() in ("", plain[int(number)]):
            return int(number)
    found = [i for i, each in enumerate(plain) if text == each]
    found = found or [i for i, each in enumerate(plain) if text and text in each]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"{label!r} could be {len(found)} classes: {_listed(found, names)}; give the number of one")
    near = [plain.index(each) for each in get_close_matches(text, plain, SHOWN)]
    if not near:  # than in the whole, in one of its words
        words = get_close_matches(text, {word for each in plain for word in each.split()}, SHOWN)
        near = [i for i, each in enumerate(plain) if set(words) & set(each.split())]
    hint = f"; did you mean {_listed(near, names)}?" if near else ""
    if names and not near and count <= MANY:
        hint = f"; they are {', '.join(names)}"
    expected = f"{'a name or ' if names else ''}a number from 0 to {count - 1}"
    raise ValueError(f"unknown class {label!r}, expected {expected}{hint}")


def _listed(numbers: list[int], names: tuple[str, ...]) -> str:
    more = ", …" if len(numbers) > SHOWN else ""
    return ", ".join(f"{i}: {names[i]}" for i in numbers[:SHOWN]) + more
