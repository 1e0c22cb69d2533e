"""A page of HTML as a browser would find it."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """What a browser would find in a page: texts, tables, and every tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}  # by the heading above: rows of cells
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.rows = self.tables[self.texts[-1]] = []
        elif tag == "tr":
            self.rows.append([])

    def handle_data(self, data: str) -> None:
        self.texts += [data.strip()] if data.strip() else []
        if self.tags and self.tags[-1][0] in ("th", "td") and data.strip():
            self.rows[-1].append(data.strip())

    def words(self, title: str) -> str:
        """The alternative text of the figure of this title."""
        return next(
            str(attributes["alt"]) for _, attributes in self.tags if f"{attributes.get('alt')}".startswith(title)
        )
