"""What saved workflows hang on: ids, input names and their order, widget order, defaults, options, outputs.

`python -m lumina_next.tests.nodes.write_interface` writes interface.json anew.
"""

from pathlib import Path

FILE = Path(__file__).with_name("interface.json")
COMMAND = "python -m lumina_next.tests.nodes.write_interface"
# Dropdowns that list a user's files, or what torchvision calls things, and so are different everywhere.
LISTS_OF_FILES = {"model_name", "vocoder", "text_encoder", "lora_name", "file", "imagenet_class"}


def describe() -> dict[str, dict]:
    """Return every node's interface by node id."""
    from lumina_next.nodes import NODES

    return {schema.node_id: _node(schema) for schema in (node.define_schema() for node in NODES)}


def breaks(old: dict[str, dict], new: dict[str, dict]) -> list[str]:
    """Return, in sentences, what of workflows saved with `old` would no longer open or mean the same with `new`."""
    found = []
    for node, was in old.items():
        if node not in new:
            found.append(f"{node} is gone")
            continue
        now = new[node]
        found += [f"{node}: {problem}" for problem in _inputs(was["inputs"], now["inputs"])]
        if now["outputs"][: len(was["outputs"])] != was["outputs"]:
            found.append(f"{node}: outputs were {was['outputs']}, are {now['outputs']}")
    return found


def _node(schema) -> dict:
    return {
        "inputs": [_input(entry) for entry in schema.inputs],
        "outputs": [{"type": output.io_type, "name": output.display_name} for output in schema.outputs],
    }


def _input(entry) -> dict:
    said = {"id": entry.id, "type": entry.io_type}
    if entry.optional:
        said["optional"] = True
    if getattr(entry, "default", None) is not None:
        said["default"] = entry.default
    options = getattr(entry, "options", None)
    if options and hasattr(options[0], "inputs"):
        said["options"] = {option.key: [_input(child) for child in option.inputs] for option in options}
    elif options is not None and entry.id not in LISTS_OF_FILES:
        said["options"] = list(options)
    return said


def _inputs(old: list[dict], new: list[dict]) -> list[str]:
    found = []
    names, now = [entry["id"] for entry in old], [entry["id"] for entry in new]
    if now[: len(names)] != names:
        return [f"inputs were {names}, are {now}; saved widget values go by position, so these must stay in front"]
    found += [f"the new input {e['id']} is not optional" for e in new[len(old) :] if not e.get("optional")]
    for was, entry in zip(old, new, strict=False):
        for what in ("type", "default"):
            if was.get(what) != entry.get(what):
                found.append(f"{was['id']}: {what} was {was.get(what)}, is {entry.get(what)}")
        if entry.get("optional", False) < was.get("optional", False):
            found.append(f"{was['id']} was optional")
        found += _options(was["id"], was.get("options"), entry.get("options"))
    return found


def _options(name: str, old, new) -> list[str]:
    gone = [option for option in old or [] if option not in (new or [])]
    found = [f"{name} no longer offers {', '.join(map(str, gone))}"] if gone else []
    if isinstance(old, dict) and isinstance(new, dict) and not gone:
        found += [f"{name}.{key}: {problem}" for key in old for problem in _inputs(old[key], new[key])]
    return found
