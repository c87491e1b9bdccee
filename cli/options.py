"""Options of the form NAME,key=number,…."""


def named_values(option: str, text: str) -> tuple[str, dict[str, float]]:
    """Return the name and the numbers of NAME,key=number,…; ValueError, naming the option, if it has another form."""
    name, *pairs = text.split(",")
    values = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        try:
            values[key] = float(value)
        except ValueError:
            raise ValueError(f"{option} wants NAME,key=number,…; got {pair!r} in {text!r}") from None
    return name, values
