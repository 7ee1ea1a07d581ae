import pytest

from pytest_airssys_wasm import Err, Ok, OutOfFuel, OutOfMemory, Record

# Component.toml grants the guest WASI, and the folder `data` as `/data`.
pytestmark = pytest.mark.component("../csv-summary.wasm", world="../wit/world.wit#csv-summary")


def test_a_column_of_numbers_and_one_of_words(component):
    assert component.summarise("name,size\nant,3\nbee,5\nfly,7\n") == Ok(
        [
            Record(name="name", filled=3, numbers=None),
            Record(name="size", filled=3, numbers=Record(least=3.0, mean=5.0, median=5.0, greatest=7.0)),
        ]
    )


def test_an_empty_cell_is_not_counted(component):
    (column, _) = component.summarise('size,"a, b"\n3,\n,\n5,x\n').value
    assert (column.filled, column.numbers.mean) == (2, 4.0)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("", "the table is empty"),
        ("a,b\n1\n", "row 2 has 1 columns, the first has 2"),
        ('a\n"x', "unexpected end of data"),
    ],
)
def test_what_is_no_table_is_refused(component, table, reason):
    assert component.summarise(table) == Err(reason)


def test_it_reads_a_file_that_it_was_granted(component):
    assert [column.name for column in component.summarise_file("/data/cities.csv").value] == [
        "city",
        "inhabitants",
        "area",
    ]


def test_a_path_that_is_not_one_is_refused(component):
    """Found by fuzzing: Python raises a ValueError, which trapped."""
    assert "embedded null" in component.summarise_file("\0").error


@pytest.mark.parametrize("cells", [["inf", "-inf"], ["1e308", "1e308"]])
def test_numbers_without_a_mean_are_no_numbers(component, cells):
    (column,) = component.summarise("\n".join(["a", *cells])).value
    assert column.numbers is None


@pytest.mark.wasi  # links WASI and grants nothing
@pytest.mark.parametrize("path", ["/data/cities.csv", "/etc/passwd"])
def test_it_reads_no_file_that_it_was_not_granted(component, path):
    assert component.summarise_file(path) == Err(f"{path}: No such file or directory")


def test_most_of_the_fuel_goes_into_the_instantiation(component, limited_store):
    component.summarise("a\n1\n")
    assert limited_store.usage.fuel.consumed < 500_000
    assert limited_store.total.fuel.consumed > 10_000_000


@pytest.mark.fuel(1_000_000)
def test_the_default_budget_does_not_start_cpython(component):
    with pytest.raises(OutOfFuel):
        component.summarise("a\n1\n")


@pytest.mark.memory("16 MiB")
@pytest.mark.fuel(2_000_000_000)
@pytest.mark.timeout_ms(20_000)
def test_a_table_that_does_not_fit_is_a_memory_error_in_the_guest(component, limited_store):
    with pytest.raises(OutOfMemory):
        component.summarise("a,b\n" + "1,2\n" * 50_000)
    assert b"MemoryError" in limited_store.stderr
