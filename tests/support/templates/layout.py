"""Where nodes stand: in columns, with room for what either renderer needs."""

from .spec import NOTE, Box, Template

GAP, ROW_GAP = 60, 60  # between columns, and between the title of a node and the node above it
TITLE = 30  # a node's title stands above its position
TALLEST = 1090  # pixels of a workflow that a window of 1600 × 900 shows at 0.6 of its size
SLOT = 24  # from one input or output to the next
# What a node draws once it has run, in pixels below its widgets.
DRAWN = {
    "LuminaNextScaledRope": 250,
    "LuminaNextFlowSchedule": 220,
    "LuminaNextGridMask": 220,
    "KSampler": 300,
    "SamplerCustomAdvanced": 300,
}
PICTURES = {"SaveImage", "PreviewImage", "SaveAnimatedWEBP", "SaveVideo"}
AROUND_PICTURE = 90  # widgets above a picture and its size in pixels below it


def place(graph: dict, template: Template, heights: dict[int, float]) -> None:
    """Set positions and sizes of a folded graph's nodes; `heights` are those measured, without what is drawn later."""
    by_title = {node["title"]: node for node in graph["nodes"] if node.get("title")}
    by_id = {str(node["id"]): node for node in graph["nodes"]}
    columns = [
        [by_title["Note"] if i == NOTE else by_title[i.title] if isinstance(i, Box) else by_id[i] for i in column.items]
        for column in template.columns
    ]
    if left := {node["id"] for node in graph["nodes"]} - {node["id"] for nodes in columns for node in nodes}:
        raise ValueError(f"no column holds {[(i, by_id[str(i)]['type']) for i in left]}")
    beside_the_note = fill(graph, template, columns, heights, beside=True)
    if beside_the_note > TALLEST:
        columns[0].reverse()  # the note below its neighbour
        fill(graph, template, columns, heights, beside=False)


def fill(graph: dict, template: Template, columns: list[list[dict]], heights: dict[int, float], beside: bool) -> float:
    """Place the columns, all but the first beside what is below the note or all from the top; returns the height."""
    x, top, bottom = 0, TITLE, 0.0
    for number, (column, nodes) in enumerate(zip(template.columns, columns, strict=True)):
        y = top + passing(graph, columns, number)
        for place_in_column, node in enumerate(nodes):
            aspect = template.aspects.get(str(node["id"]), template.aspect)
            node["pos"], node["size"] = [x, y], [column.width, height(node, column.width, heights, aspect)]
            bottom = max(bottom, y + node["size"][1])
            if number == 0 and place_in_column == 1 and beside:
                top = y
            y += node["size"][1] + ROW_GAP + TITLE
        x += column.width + GAP
    return bottom


def passing(graph: dict, columns: list[list[dict]], number: int) -> int:
    """How far a column stands lower, so that links between the heads of its neighbours pass above it."""
    heads = {next((n["id"] for n in nodes if n["type"] != "MarkdownNote"), None): i for i, nodes in enumerate(columns)}
    slots = [
        max(link[2], link[4])
        for link in graph["links"]
        if heads.get(link[1], number) < number < heads.get(link[3], number)
    ]
    return SLOT * (max(slots) + 1) + TITLE + 20 if slots else 0


def height(node: dict, width: int, heights: dict[int, float], aspect: float) -> int:
    """The pixels that a node takes below its title."""
    if node["type"] in PICTURES:
        return round(width * aspect) + AROUND_PICTURE
    return round(heights.get(node["id"], 100)) + DRAWN.get(node["type"], 0)


def place_inside(definition: dict, heights: dict[int, float]) -> None:
    """Columns by distance from the inputs, for the nodes of a subgraph."""
    depth: dict[int, int] = {}
    sources: dict[int, list[int]] = {}
    for link in definition["links"]:
        sources.setdefault(link["target_id"], []).append(link["origin_id"])

    def deep(node: int) -> int:
        if node not in depth:
            depth[node] = 1 + max((deep(i) for i in sources.get(node, []) if i > 0), default=-1)
        return depth[node]

    columns: dict[int, list[dict]] = {}
    for node in definition["nodes"]:
        columns.setdefault(deep(node["id"]), []).append(node)
    x = 0
    for _, nodes in sorted(columns.items()):
        y = TITLE
        for node in nodes:
            node["size"] = [BOX_INSIDE, height(node, BOX_INSIDE, heights, 1.0)]
            node["pos"] = [x, y]
            y += node["size"][1] + ROW_GAP + TITLE
        x += BOX_INSIDE + GAP
    definition["inputNode"]["bounding"] = [-220, TITLE, 120, 40 + 20 * len(definition["inputs"])]
    definition["outputNode"]["bounding"] = [x + GAP, TITLE, 120, 40 + 20 * len(definition["outputs"])]


BOX_INSIDE = 320
