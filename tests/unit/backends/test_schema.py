"""The tables follow the attribute table."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from vesalius.backends.schema import TABLE_OF, metadata
from vesalius.model.attributes import columns
from vesalius.model.entities import Level


def test_every_column_of_the_attribute_table_is_a_column_of_its_level() -> None:
    for level in Level:
        assert {column.name for column in columns(level)} <= set(TABLE_OF[level].columns.keys())


def test_every_attribute_called_indexed_leads_an_index() -> None:
    for level in Level:
        table = TABLE_OF[level]
        leading = {next(iter(index.columns)).name for index in table.indexes}
        leading |= {
            next(iter(constraint.columns)).name
            for constraint in table.constraints
            if isinstance(constraint, sa.UniqueConstraint)
        }
        assert {column.name for column in columns(level) if column.indexed} <= leading


def test_text_compares_by_code_point_on_postgresql() -> None:
    for table in metadata.sorted_tables:
        statement = str(CreateTable(table).compile(dialect=postgresql.dialect()))
        for line in statement.splitlines():
            assert (" TEXT" in line) == ('COLLATE "C"' in line), line


def test_every_reference_has_an_index_to_find_what_refers() -> None:
    for table in metadata.sorted_tables:
        leading = {next(iter(index.columns)).name for index in (*table.indexes, table.primary_key)}
        assert {key.parent.name for key in table.foreign_keys} <= leading
