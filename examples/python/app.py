"""The world `csv-summary`. When it builds the guest, componentize-py generates the package `wit_world` from its WIT."""

import csv
import io
from pathlib import Path
from statistics import fmean, median

import wit_world
from componentize_py_types import Err
from wit_world import Column, Numbers


class WitWorld(wit_world.WitWorld):
    """The exports. `Err` is the world's own error; any other exception is a trap, with its traceback on stderr."""

    def summarise(self, table: str) -> list[Column]:
        """Summarise each column of a table."""
        try:
            names, *rows = [row for row in csv.reader(io.StringIO(table), strict=True) if row]
        except ValueError:
            raise Err("the table is empty") from None
        except csv.Error as error:
            raise Err(str(error)) from error
        for number, row in enumerate(rows, 2):
            if len(row) != len(names):
                raise Err(f"row {number} has {len(row)} columns, the first has {len(names)}")
        return [_column(name, cells) for name, *cells in zip(names, *rows)]

    def summarise_file(self, path: str) -> list[Column]:
        """Summarise each column of a table in a file."""
        try:
            table = Path(path).read_text("utf-8")
        except OSError as error:
            raise Err(f"{path}: {error.strerror}") from error
        except ValueError as error:  # not a path, or not UTF-8
            raise Err(f"{path}: {error}") from error
        return self.summarise(table)


def _column(name: str, cells: list[str]) -> Column:
    filled = [cell for cell in cells if cell.strip()]
    return Column(name, len(filled), _numbers(filled))


def _numbers(cells: list[str]) -> Numbers | None:
    try:
        values = [float(cell) for cell in cells]
        return Numbers(min(values), fmean(values), median(values), max(values)) if values else None
    except (ValueError, OverflowError):  # other cells, both infinities, or a sum beyond the largest number
        return None
