"""SQL over runs, with DuckDB: only the tables and columns that a query names are read.

The query runs in a database in memory that reaches no file and no network: what it may see was read
before (DuckDB, "Securing DuckDB": enable_external_access, lock_configuration).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from expman.errors import ConfigError
from expman.reading.optional import SQL, needs
from expman.reading.query_runs import chosen_by, nodes
from expman.reading.query_tables import TABLES, Wanted, known_names
from expman.reading.row_stream import RowStream
from expman.reading.run import Run
from expman.shown import count_of
from expman.suggestions import did_you_mean

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

__all__ = ["query"]

_CONFIG = {
    "python_enable_replacements": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
_LOCKS = ("SET enable_external_access = false", "SET lock_configuration = true")
_READS = frozenset({"SELECT", "EXPLAIN", "MULTI"})
"""Kinds of statements that only read; a PIVOT is several statements."""
_EVERYTHING = frozenset({"STAR", "SHOW_REF", "PIVOT"})


def query(runs: Sequence[Run], sql: str) -> pa.Table:
    """Runs a query over the tables of runs: see `query_tables.TABLES`.

    Args:
        runs: the runs that the tables are about; live ones are included up to the last written row.
        sql: one SELECT, in the dialect of DuckDB. Names that are not plain words need quotes.

    Raises:
        ConfigError: the query cannot be understood, or does more than read.
        StorageError: a file cannot be read.
        ModuleNotFoundError: DuckDB is not installed.
    """
    with needs("duckdb", SQL):
        import duckdb

    connection = duckdb.connect(":memory:", config=_CONFIG)
    try:
        tree = _tree(connection, sql)
        wanted = _wanted(sql, tree)
        named = {name: chosen_by(tree, name, runs) for name in TABLES if wanted.table(name)}
        try:
            return _answer(sql, {name: TABLES[name](some, wanted) for name, some in named.items()})
        except duckdb.BinderException:  # perhaps for a column that only the other runs have
            if all(some is runs for some in named.values()):
                raise
        return _answer(sql, {name: TABLES[name](runs, wanted) for name in named})
    except duckdb.Error as exc:
        raise ConfigError("sql", sql, _explained(exc, runs)) from exc
    finally:
        connection.close()


def _answer(sql: str, tables: Mapping[str, pa.Table | RowStream]) -> pa.Table:
    """Runs a query where it sees these tables, and nothing else."""
    import duckdb

    connection = duckdb.connect(":memory:", config=_CONFIG)
    try:
        connection.execute("SET TimeZone = 'UTC'").fetchall()
        for name, table in tables.items():
            try:
                connection.register(name, table)
            except duckdb.InvalidInputException:  # DuckDB 1.1 takes no streams
                if not isinstance(table, RowStream):
                    raise
                connection.register(name, table.reader().read_all())
        for lock in _LOCKS:
            connection.execute(lock).fetchall()
        relation = connection.sql(sql)
        if relation is None:
            raise ConfigError("sql", sql, "gives no rows; write a SELECT")
        found: pa.Table = relation.to_arrow_table()
        return found
    finally:
        connection.close()


def _tree(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    """Returns a query as a tree; empty for an EXPLAIN or a PIVOT, of which there is none.

    Raises:
        ConfigError: it is not one statement that only reads.
    """
    import duckdb

    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as exc:
        raise ConfigError("sql", sql, str(exc)) from exc
    if len(statements) != 1:
        raise ConfigError("sql", sql, f"{count_of(len(statements), 'statement')}; write one SELECT")
    kind = statements[0].type.name
    if kind not in _READS:
        raise ConfigError("sql", sql, f"{kind} changes something, or reads files; write a SELECT")
    ((text,),) = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()
    tree = json.loads(text)
    return {} if tree.get("error") else tree


def _wanted(sql: str, tree: Any) -> Wanted:
    """Returns which tables and columns a query names."""
    if not tree:  # everything may be in it
        return Wanted(sql, None)
    names: set[str] = set()
    tables: set[str] = set()
    is_everything = False
    for node in nodes(tree):
        names |= _names(node)
        is_everything |= node.get("type") in _EVERYTHING or node.get("ref_type") == "NATURAL"
        if node.get("type") == "BASE_TABLE":
            tables |= {str(node.get("table_name", "")), str(node.get("alias", ""))}
    # The name of a table where a column is expected is all of its columns.
    is_everything |= not tables.isdisjoint(names)
    return Wanted(sql, None if is_everything else frozenset(names))


def _names(node: dict[str, Any]) -> set[str]:
    """The names of columns in a node; `a.b` may be one name, or a table and its column."""
    found: set[str] = {str(name) for name in node.get("using_columns") or ()}
    parts = node.get("column_names") if node.get("type") == "COLUMN_REF" else None
    if parts:
        found |= {".".join(parts[start:]) for start in range(len(parts))}
    return found


def _explained(exc: Exception, runs: Sequence[Run]) -> str:
    """The message of DuckDB, with the name that may be meant, and a hint at quotes."""
    text = str(exc)
    quoted = text.split('"')
    if "not found in FROM clause" in text and len(quoted) > 2:
        known = [name for name in known_names(runs) if name.lower() != quoted[1].lower()]
        text += did_you_mean([quoted[1]], known)
    if "Referenced table" in text:
        text += '\nNames with dots, slashes or colons need quotes: "params.lr"'
    if "Table with name" in text and "does not exist" in text:
        # DuckDB's own proposal comes from its internal tables, such as duckdb_logs.
        text = re.sub(r'\nDid you mean "[^"]*"\?', "", text)
        text += f"\nTables: {', '.join(TABLES)}"
    return text
