"""A line of text on a node in the editor, also while a later node runs."""


def running_node() -> str | None:
    """Return the id of the node that is being executed, None outside of a run and where ComfyUI does not tell."""
    try:
        from comfy_execution.utils import get_executing_context
    except ImportError:  # releases before 0.3.5x
        return None
    context = get_executing_context()
    return None if context is None else context.node_id


def tell(text: str) -> None:
    """Show a text on the node that is being executed."""
    say(running_node(), text)


def say(node: str | None, text: str) -> None:
    """Show a text on a node; does nothing without one, and where ComfyUI has no such texts."""
    if node is None:
        return
    from server import PromptServer

    send = getattr(getattr(PromptServer, "instance", None), "send_progress_text", None)
    if send is not None:
        send(text, node)
