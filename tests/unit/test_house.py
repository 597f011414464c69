"""The house: which room knows which, what an import brings, what is public."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from conftest import StartProgram

import expman

PACKAGE = Path(expman.__file__).parent

# Room -> what it may import of the package, as in docs/design.md, "Where code lives". A room is
# a folder or a module. A new one needs a line here.
LEAVES = {
    *("checks", "errors", "failpoints", "fixed_columns", "metadata", "models"),
    *("forwarding", "notices", "preemption", "process_start", "setting", "settings", "shown"),
    *("job_map", "late_imports", "suggestions", "version"),
}
TRAINER = {
    "annotations",
    "attaching",
    "capture",
    "current_run",
    "durability",
    "ended_run",
    "engine",
    "experiment",
    "functions",
    "launch",
    "losses",
    "media",
    "media_arrays",
    "media_functions",
    "media_grid",
    "media_sending",
    "media_values",
    "open_engines",
    "record_calls",
    "status_lines",
    "timeouts",
}
LIGHT_STORAGE = {"storage.artifacts", "storage.media_spool", "storage.paths", "storage.stacks"}
MAY_KNOW: dict[str, set[str]] = {
    "errors": {"shown"},
    "failpoints": set(),
    "fixed_columns": {"models"},
    "interpreter": {"errors"},
    "checks": {"errors"},
    "setting": {"checks"},
    "settings": {"checks", "errors", "setting"},
    "models": {"checks", "errors", "settings", "shown", "suggestions"},
    "metadata": {"models"},
    "late_imports": set(),
    "notices": {"late_imports"},
    "preemption": {"errors"},
    "process_start": set(),
    "forwarding": set(),
    "job_map": set(),
    "shown": set(),
    "suggestions": set(),
    "version": set(),
    "transport": LEAVES,
    "storage": LEAVES,
    "capture": LEAVES | {"interpreter", "transport"} | LIGHT_STORAGE,
    "launch": LEAVES | {"interpreter", "transport"} | LIGHT_STORAGE,
    "annotations": LEAVES | {"transport"},
    "record_calls": LEAVES | {"annotations", "media_sending", "transport"},
    "media_arrays": LEAVES,
    "media_values": LEAVES | {"media_arrays"},
    "media_grid": LEAVES | {"media_values"},
    "media": LEAVES | {"media_grid", "media_values", "storage.table_bytes"},
    "media_sending": LEAVES | {"media", "media_values", "transport"} | LIGHT_STORAGE,
    "media_functions": LEAVES | {"functions"},
    "sweep": set(),
    "timeouts": LEAVES,
    "ended_run": LEAVES,
    "durability": LEAVES | {"launch", "transport"},
    "losses": LEAVES | {"transport"},
    "open_engines": LEAVES | {"capture"},
    "status_lines": LEAVES | LIGHT_STORAGE,
    "engine": LEAVES
    | {"capture", "durability", "ended_run", "launch", "losses", "open_engines"}
    | {"record_calls", "status_lines", "timeouts", "transport"}
    | LIGHT_STORAGE,
    "attaching": LEAVES | {"engine"},
    "relay": LEAVES | {"capture", "launch", "transport"},
    "recorded_command": LEAVES | {"attaching", "experiment"},
    "current_run": LEAVES | {"engine", "experiment"},
    "experiment": LEAVES | {"annotations", "attaching", "engine", "media", "media_values"},
    "functions": LEAVES | {"attaching", "current_run", "experiment"},
    "integrations": LEAVES | {"current_run", "engine", "experiment", "transport", "media_sending"},
    "integrations.tensorboard_run": LEAVES
    | {"current_run", "engine", "experiment", "integrations", "media_sending", "transport"}
    | LIGHT_STORAGE,
    # What SummaryWriter is asked to write of the run's rows.
    "integrations.tensorboard_scalars": LEAVES | {"reading"},
    # A run that goes on knows what its earlier attempts have recorded.
    "compat.wandb.resuming": LEAVES | {"compat", "reading"},
    "compat": LEAVES
    | {"current_run", "engine", "integrations", "media_values", "storage.yamlfile"},
    "writer": LEAVES | {"interpreter", "transport", "storage"},
    "reading": LEAVES | {"storage"},
    "reading.peek": LEAVES | {"storage", "transport"},
    "formats": set(),
    "exporters": LEAVES | {"formats", "reading", "storage"},
    "importers": LEAVES | {"formats", "reading", "storage"},
    "sweeping": LEAVES | {"reading", "storage"},
    "catalog": LEAVES | {"reading", "storage"},
    # Both change run.yaml of runs that have ended, and may go on at the same moment.
    "catalog.mirror": LEAVES | {"reading", "storage", "transport.recovery_lock"},
    "dashboard.changes_api": LEAVES
    | {"dashboard", "deletion", "reading", "storage", "transport.recovery_lock"},
    "scale": LEAVES | {"catalog", "importers", "reading", "storage", "sweeping"},
    "deletion": LEAVES | {"reading", "storage"},
    "dashboard": LEAVES | {"catalog", "deletion", "reading", "storage"},
    "cli": LEAVES
    | TRAINER
    | {"catalog", "dashboard", "deletion", "exporters", "formats", "importers"}
    | {"reading", "scale", "storage", "sweeping", "transport", "writer"},
}
# What a trainer imports with a run: these may bring neither pyarrow nor yaml.
HEAVY = {"pyarrow", "yaml"}
HEAVY_ROOMS = {"catalog", "importers", "reading", "scale", "storage"}


class Modules(Mapping[str, ast.Module]):
    """Every module of the package by its dotted name below `expman`; the package is ''.

    Parsed when it is asked for: each process of xdist collects these tests.
    """

    def __init__(self) -> None:
        self._paths: dict[str, Path] = {}
        self._trees: dict[str, ast.Module] = {}
        for path in sorted(PACKAGE.rglob("*.py")):
            parts = path.relative_to(PACKAGE).with_suffix("").parts
            self._paths[".".join(part for part in parts if part != "__init__")] = path

    def __getitem__(self, name: str) -> ast.Module:
        if name not in self._trees:
            path = self._paths[name]
            self._trees[name] = ast.parse(path.read_text(), str(path))
        return self._trees[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


MODULES = Modules()


def imports(tree: ast.Module) -> Iterator[str]:
    """Full names of what a module imports, inside functions and for type checkers too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(name: str) -> str:
    return name.split(".")[0]


def below(name: str, rooms: set[str]) -> bool:
    return any(name == room or name.startswith(room + ".") for room in rooms)


def test_imports_go_one_way() -> None:
    """A room knows itself and what docs/design.md lets it know, and nobody knows the package."""
    wrong = []
    for module, tree in MODULES.items():
        if not module:
            continue
        allowed = MAY_KNOW.get(module, MAY_KNOW[room_of(module)]) | {room_of(module)}
        for name in imports(tree):
            if room_of(name) == "expman" and not below(name.removeprefix("expman."), allowed):
                wrong.append(f"{module} imports {name}")
    assert [] == wrong


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def runtime_imports(tree: ast.AST) -> Iterator[str]:
    """Full names of what a module imports when it runs, inside functions, too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imports(ast.Module([node], []))
        elif is_type_checking(node):
            assert isinstance(node, ast.If)
            yield from runtime_imports(ast.Module(node.orelse, []))
        else:
            yield from runtime_imports(node)


def file_of(name: str) -> str | None:
    """The module of the package that an imported name is, or is in; None if it is another's."""
    if room_of(name) != "expman":
        return None
    below_package = name.removeprefix("expman").lstrip(".")
    return below_package if below_package in MODULES else below_package.rpartition(".")[0]


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """A circle of arrows, its first name at both ends; empty if there is none."""
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        found = next(filter(None, (walk(one, [*way, name]) for one in sorted(arrows[name]))), [])
        done.add(name)
        return found

    return next(filter(None, (walk(name, []) for name in sorted(arrows))), [])


def test_no_files_import_each_other_in_a_circle() -> None:
    """An import inside a function hides no circle; one for type checkers alone makes none."""
    arrows: dict[str, set[str]] = {
        module: {file for name in runtime_imports(tree) if (file := file_of(name)) is not None}
        for module, tree in MODULES.items()
    }
    assert arrows["reading.run"] >= {"reading.summary", "reading.html"}
    assert [] == circle(arrows)
    assert ["reading.run", "reading.html", "reading.run"] == circle(
        arrows | {"reading.html": {"reading.run"}}
    )


def test_no_room_of_the_trainer_imports_pyarrow_and_yaml() -> None:
    """What the trainer runs stays light."""
    users = {
        room_of(module)
        for module, tree in MODULES.items()
        if HEAVY & {room_of(name) for name in imports(tree)}
    }
    assert users <= HEAVY_ROOMS
    assert "storage" in users


def test_no_work_of_arrow_goes_on_after_a_read() -> None:
    """The readers of Arrow that leave work to its threads may abort the interpreter at its end."""
    calls = {
        (module, ast.unparse(node.func))
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func.value) in ("pq", "pyarrow.parquet", "pyarrow.dataset", "ds")
    }
    assert ("storage.arrowfile", "pq.ParquetFile") in calls
    assert [] == [call for call in calls if call[1].rpartition(".")[2] in ("read_table", "dataset")]


def test_what_the_trainer_imports_of_storage_is_light() -> None:
    """The modules of storage that the client uses import nothing heavy, nor one that does."""
    light = {"storage", *LIGHT_STORAGE, "storage.copying"}
    for module in light:
        names = set(imports(MODULES[module]))
        assert not HEAVY & set(map(room_of, names))
        ours = {name for name in names if name.startswith("expman.storage.")}
        assert {name.removeprefix("expman.").rpartition(".")[0] for name in ours} <= light


# Ways to reach shared memory, and who may use them.
MAY_OPEN = {
    "_posixshmem": {"transport.segment"},
    "multiprocessing": set(),
    # transport.exit_record calls libc's mmap() to cut a forked child off.
    "mmap": {"transport.exit_record", "transport.owned", "transport.segment"},
    "shm_open": {"transport.segment"},
    # cli.doctor reports how large the file system is, the samples of the machine how full.
    "/dev/shm": {"storage.examine", "transport.places", "cli.doctor", "writer.samplers.host"},
    # The samples of the machine have the number of open files.
    "/proc/PID/fd": {"storage.stacks", "transport.nameless", "writer.samplers.process_tree"},
}


def docstrings(tree: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value


def ways_to_shared_memory(tree: ast.Module) -> Iterator[str]:
    """How a module opens or maps shared memory: by import, by call, by path."""
    yield from ({"_posixshmem", "multiprocessing"} & set(map(room_of, imports(tree))))
    documentation = set(docstrings(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from {"mmap", "shm_open"} & {ast.unparse(node.func).rpartition(".")[2]}
        if isinstance(node, ast.ClassDef):
            yield from {"mmap"} & {ast.unparse(base).rpartition(".")[2] for base in node.bases}
        if isinstance(node, ast.Constant) and node not in documentation:
            text = node.value if isinstance(node.value, str) else ""
            if text.startswith("/dev/shm"):
                yield "/dev/shm"
            if re.match("/fd(/|$)", text):  # the end of an f-string
                yield "/proc/PID/fd"


def test_only_transport_touches_shared_memory() -> None:
    """Whatever opens or maps it is in few modules, and multiprocessing is not there at all."""
    found: dict[str, set[str]] = {way: set() for way in MAY_OPEN}
    for module, tree in MODULES.items():
        for way in ways_to_shared_memory(tree):
            found[way].add(module)
    assert MAY_OPEN == found


@pytest.mark.parametrize(
    ("code", "way"),
    [
        ("import _posixshmem", "_posixshmem"),
        ("from multiprocessing.shared_memory import SharedMemory", "multiprocessing"),
        ("import mmap; mmap.mmap(3, 0)", "mmap"),
        ("from mmap import mmap; mmap(3, 0)", "mmap"),
        ("class Mapping(mmap.mmap): ...", "mmap"),
        ("open('/dev/shm/expman-1')", "/dev/shm"),
        ("open(f'/dev/shm/{name}')", "/dev/shm"),
        ("os.open(f'/proc/{pid}/fd/{fd}', 0)", "/proc/PID/fd"),
    ],
)
def test_each_way_to_shared_memory_is_seen(code: str, way: str) -> None:
    """The test before this one would find it in any module."""
    assert {way} == set(ways_to_shared_memory(ast.parse(code)))


def raw_words(tree: ast.Module) -> Iterator[str]:
    """Where a module looks at words of shared memory by number, and not by name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in {"words", "_words"}:
            yield f"line {node.lineno}: .{node.attr}"
        if isinstance(node, ast.Call) and ast.unparse(node).endswith(".cast('Q')"):
            yield f"line {node.lineno}: .cast"


def test_only_transport_knows_where_a_word_stands() -> None:
    """Other rooms read and store words of shared memory through LaneControl and AddressControl."""
    wrong = []
    for module, tree in MODULES.items():
        if room_of(module) == "transport":
            continue
        wrong += [f"{module}, {found}" for found in raw_words(tree)]
        names = set(imports(tree))
        wrong += [f"{module} imports layout" for name in names if "transport.layout" in name]
    assert [] == wrong
    assert list(raw_words(MODULES["transport.lane_control"]))


def test_import_is_light_and_starts_nothing(program: StartProgram) -> None:
    """`import expman` brings neither pyarrow nor yaml, and starts no thread and no process."""
    found = json.loads(program("what_a_trainer_loads.py").succeed())
    assert {"heavy": [], "threads": 1, "children": 0} == found["import"]


def test_a_run_is_light(program: StartProgram, run_base: Path) -> None:
    """Nor does a whole run bring them into the trainer; its one child is the writer."""
    found = json.loads(program("what_a_trainer_loads.py", run_base).succeed())
    assert {"heavy": [], "threads": 2, "children": 1} == found["run"]


def isort_order(name: str) -> tuple[int, str]:
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def declared(tree: ast.Module) -> list[str] | None:
    """The literal `__all__` of a module."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return None


@pytest.mark.parametrize("module", sorted(MODULES))
def test_public_names_are_declared_and_sorted(module: str) -> None:
    """`__all__` is a literal in order, without a name twice, and has every public definition."""
    tree = MODULES[module]
    defined = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    }
    names = declared(tree)
    if names is None:
        assert set() == defined
        return
    assert sorted(set(names), key=isort_order) == names
    assert set() == defined - set(names)


def test_everything_public_can_be_imported() -> None:
    """Each name of the package's `__all__` is there, and nothing else is public but modules."""
    public = {
        name
        for name, value in vars(expman).items()
        if not name.startswith("_") and not inspect.ismodule(value) and name != "annotations"
    }
    assert set() == public - set(expman.__all__)
    assert [] == [name for name in expman.__all__ if not hasattr(expman, name)]


def test_no_two_classes_have_one_name() -> None:
    """One name means one thing in the whole package."""
    places: dict[str, list[str]] = {}
    for module, tree in MODULES.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(module)
    assert {} == {name: found for name, found in places.items() if len(found) > 1}


def is_setter(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    return any(ast.unparse(found).endswith(".setter") for found in node.decorator_list)


MOST_LINES = 400
MOST_ATTRIBUTES = 12
# Records that mirror a file, a header or the table of settings have as many fields as that has.
PLAIN_DATA = {"ExperimentConfig", "Hello", "PostMortem", "RunMetadata", "SweepConfig"}


def attributes(node: ast.ClassDef) -> set[str]:
    """What a class declares, and what its methods assign to `self`."""
    found = {
        item.target.id
        for item in node.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    }
    for item in ast.walk(node):
        is_set = isinstance(item, ast.Attribute) and isinstance(item.ctx, ast.Store)
        if is_set and isinstance(item.value, ast.Name) and item.value.id == "self":
            found.add(item.attr)
    return found


def classes() -> Iterator[ast.ClassDef]:
    for tree in MODULES.values():
        yield from (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def test_no_class_has_many_attributes() -> None:
    """A class with much state is several objects."""
    counts = {node.name: len(attributes(node)) for node in classes()}
    assert counts["RunMetadata"] > MOST_ATTRIBUTES
    many = {name for name, count in counts.items() if count > MOST_ATTRIBUTES}
    assert set() == many - PLAIN_DATA


def test_no_file_is_long() -> None:
    """A file has one subject."""
    lines = {path: path.read_text().count("\n") for path in PACKAGE.rglob("*.py")}
    assert [] == [path for path, count in lines.items() if count > MOST_LINES]


def undocumented(tree: ast.AST, where: str) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if node.name.startswith("_") or is_setter(node):
            continue
        if not ast.get_docstring(node):
            yield f"{where}.{node.name}"
        if isinstance(node, ast.ClassDef) and where.startswith("expman"):
            yield from undocumented(node, f"{where}.{node.name}")


def test_everything_public_has_a_docstring() -> None:
    """Modules, and public classes, functions and methods in them."""
    missing = [name for name, tree in MODULES.items() if not ast.get_docstring(tree)]
    for name, tree in MODULES.items():
        missing += undocumented(tree, f"expman.{name}")
    assert [] == missing


def test_the_page_and_the_test_agree_on_the_rooms() -> None:
    """docs/design.md draws every folder and module of the package."""
    page = (PACKAGE.parent / "docs" / "design.md").read_text()
    drawing = page.split("## Where code lives", 1)[1].split("```")[1]
    rooms = {room_of(module) for module in MODULES if module}
    assert [] == [room for room in sorted(rooms) if f"  {room}" not in drawing]
