"""COPA's XML: a premise, two alternatives, and which of them is the likelier cause or effect (Roemmele et al. 2011)."""

import xml.sax
from collections.abc import Iterator
from pathlib import Path
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl, Locator

from lit_transformer.config.errors import UserError
from lit_transformer.config.suggest import did_you_mean
from lit_transformer.data.files import opened
from lit_transformer.data.rows.row import Row

CONNECTORS = {"cause": "because", "effect": "so"}
"""`asks-for` -> the word between premise and alternative."""

TEXTS = ("p", "a1", "a2")
"""Elements of an item: premise and alternatives."""


def with_connector(premise: str, question: str) -> str:
    """What the alternatives go with: a premise without its full stop, and the word for its `cause` or `effect`.

    Of a blank premise nothing.
    """
    return f"{premise.strip().rstrip('.')} {CONNECTORS[question]}" if premise.strip() else ""


def read_copa(paths: list[Path]) -> Iterator[Row]:
    """`context` (the premise with its connector), `choice1`, `choice2`, `label` (from 0), `premise` and `question`.

    Raises UserError with file and line where the XML is broken or an item is incomplete.
    """
    for path in paths:
        handler = _Items(path)
        with opened(path) as file:
            try:
                xml.sax.parse(file, handler)
            except xml.sax.SAXParseException as error:
                raise UserError(
                    f"{path}:{error.getLineNumber()}: broken XML ({error.getMessage()})\n"
                    "  allowed  COPA's XML: items with p, a1 and a2, asks-for and most-plausible-alternative"
                ) from error
        yield from handler.rows


class _Items(ContentHandler):
    """Collects the items of a file; a parser that knows its line, which xml.etree does not."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self._path = path
        self._locator = Locator()
        self._place = ""
        self._attributes: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._within: str | None = None

    def setDocumentLocator(self, locator: Locator) -> None:
        self._locator = locator

    def startElement(self, name: str, attrs: AttributesImpl) -> None:
        if name == "item":
            self._place = f"{self._path}:{self._locator.getLineNumber()}"
            self._attributes, self._texts = dict(attrs), {}
        self._within = name if name in TEXTS else None

    def characters(self, content: str) -> None:
        if self._within:
            self._texts[self._within] = self._texts.get(self._within, "") + content

    def endElement(self, name: str) -> None:
        self._within = None
        if name == "item":
            self.rows.append(Row(self._fields(), self._place))

    def _fields(self) -> dict[str, str]:
        question = self._one_of("asks-for", tuple(CONNECTORS))
        right = self._one_of("most-plausible-alternative", ("1", "2"))
        missing = [name for name in TEXTS if name not in self._texts]
        if missing:
            raise UserError(f"{self._place}: this item has no {' and no '.join(missing)}\n  allowed  p, a1 and a2")
        premise, first, second = (self._texts[name].strip() for name in TEXTS)
        return {
            "context": with_connector(premise, question),
            "choice1": first,
            "choice2": second,
            "label": str(int(right) - 1),
            "premise": premise,
            "question": question,
        }

    def _one_of(self, attribute: str, allowed: tuple[str, ...]) -> str:
        got = self._attributes.get(attribute)
        if got in allowed:
            return got
        near = did_you_mean(got or "", allowed)
        raise UserError(
            f"{self._place}: {attribute}: got {got!r}\n  allowed  {', '.join(allowed)}"
            + (f"\n  fix      did you mean {near}?" if near else "")
        )
