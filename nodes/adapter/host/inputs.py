"""Inputs that differ between ComfyUI releases."""

from comfy_api.latest import io

from ....options import Method


def choice(id: str, options: dict[str, list[io.Input]], tooltip: str) -> list[io.Input]:
    """Return a dropdown whose options bring inputs of their own: shown only when chosen where ComfyUI can do that.

    Releases without DynamicCombo (such as 0.3.64) get a plain dropdown and all the inputs, optional. API workflows
    are the same for both: the inputs are keyed "<id>.<input>".
    """
    if hasattr(io, "DynamicCombo"):
        entries = [io.DynamicCombo.Option(key, inputs) for key, inputs in options.items()]
        return [io.DynamicCombo.Input(id, options=entries, tooltip=tooltip)]
    flat = [input for inputs in options.values() for input in inputs]
    for input in flat:
        input.id, input.optional = f"{id}.{input.id}", True
    return [io.Combo.Input(id, options=list(options), tooltip=tooltip), *flat]


def parameter_inputs(method: Method) -> list[io.Input]:
    """Return a float input for each parameter of a method."""
    return [
        io.Float.Input(p.name, default=p.default, min=p.minimum, max=p.maximum, step=p.step, tooltip=p.tooltip)
        for p in method.parameters
    ]


def chosen(id: str, value: str | dict, flat: dict, accepts: dict[str, list[str]]) -> tuple[str, dict]:
    """Return the key that `choice` was set to and the values of its inputs; `accepts` names the inputs of each key.

    `value` is what execute got for `id`, and `flat` its remaining keyword arguments.
    """
    if isinstance(value, dict):
        return value[id], {name: v for name, v in value.items() if name != id}
    return value, {name: flat[f"{id}.{name}"] for name in accepts.get(value, ()) if f"{id}.{name}" in flat}
