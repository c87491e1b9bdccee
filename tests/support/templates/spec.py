"""How an API file looks in the editor: which of its nodes are shown as one, in which columns, under which note."""

from dataclasses import dataclass, field

NOTE = "note"
NOTE_WIDTH, BOX_WIDTH, PICTURE_WIDTH = 360, 340, 440


def ids(text: str) -> list[str]:
    """The node ids in a text such as "1-3 8"."""
    found = []
    for part in text.split():
        first, _, last = part.partition("-")
        found += [str(i) for i in range(int(first), int(last or first) + 1)]
    return found


@dataclass(frozen=True)
class Box:
    """Nodes that the editor shows as one, a subgraph.

    `widgets` are the inner inputs on its face, label → "id.input"; one that sets several names them all.
    """

    title: str
    nodes: str
    widgets: dict[str, str] = field(default_factory=dict)


Item = Box | str  # a box, the id of a node, or NOTE


@dataclass(frozen=True)
class Column:
    """Items from top to bottom, all of one width in pixels."""

    width: int
    items: tuple[Item, ...]


def note(*items: Item, width: int = NOTE_WIDTH) -> Column:
    """The first column: the note, and what stands below it."""
    return Column(width, (NOTE, *items))


def column(*items: Item, width: int = BOX_WIDTH) -> Column:
    """A column of boxes and nodes."""
    return Column(width, items)


def picture(*items: Item, width: int = PICTURE_WIDTH) -> Column:
    """A wider column, for what shows pictures."""
    return Column(width, items)


@dataclass(frozen=True)
class Template:
    """A workflow of the template browser.

    `api` names its file in workflows/api, `title` the one in workflows/. `aspect` is height by width of the picture
    it saves, `aspects` the same by node id. `links` are entries of the editor's missing-models panel by node id:
    (address, folder under models). `app` are the widgets of boxes that a second file for App mode shows, and `card`
    the sizes and words on the picture of a workflow whose weights are not here.
    """

    api: str
    title: str
    note: str
    columns: tuple[Column, ...]
    aspect: float = 1.0
    aspects: dict[str, float] = field(default_factory=dict)
    links: dict[str, tuple[str, str]] = field(default_factory=dict)
    app: tuple[str, ...] = ()
    card: str = ""

    @property
    def boxes(self) -> list[Box]:
        return [item for column in self.columns for item in column.items if isinstance(item, Box)]


@dataclass(frozen=True)
class Blueprint:
    """A box of the node library: nodes of an API file with `outputs`, the ids of those whose outputs leave it."""

    api: str
    box: Box
    outputs: str
    about: str
    links: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"{self.box.title} (Lumina-Next)"
