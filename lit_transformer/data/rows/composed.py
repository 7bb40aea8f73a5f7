"""Sources that a template makes of several fields of a row: `data.source_template`."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import DataConfig
from lit_transformer.data.rows.row import Row, RowSource
from lit_transformer.data.rows.template import Template

SETTING = "data.source_template"


@dataclass(frozen=True)
class ComposedRows:
    """The rows of a source with one field more, named as the template itself: what that makes of the others.

    Raises UserError for a wrong template, and with the row's place for a field that it does not have.
    """

    given: RowSource
    data: DataConfig

    def __post_init__(self) -> None:
        if not self._template.names:
            raise UserError(
                f"{SETTING}: got {self.data.source_template!r}, which is the same for every row\n"
                "  allowed  {names} of fields, such as question: {question} context: {context}"
            )

    @cached_property
    def _template(self) -> Template:
        return Template(self.data.source_template or "", SETTING)

    def digest(self) -> str:
        """Hash of the given rows; the template belongs to the settings."""
        return self.given.digest()

    def rows(self) -> Iterator[Row]:
        """The rows in their order; the new field is empty where all that the template names are."""
        for row in self.given.rows():
            yield row if not row.fields else self._with_source(row)

    def _with_source(self, row: Row) -> Row:
        seen = {
            name: text for name, text in row.fields.items() if name != self.data.target_key
        }  # it would be given away
        source = self._template.fill(seen, row.place)
        blank = not any(seen[name].strip() for name in self._template.names)
        return Row({**row.fields, str(self.data.source_template): "" if blank else source}, row.place)
