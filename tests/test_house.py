"""The plan of the package: floors, wings and how long a file may be."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "django_audit_fields"
WINGS = {"actors", "carrying", "stamping", "triggers", "drift", "trail"}

#: From the ground up: what stands on a floor imports from lower ones only, or from its own room.
FLOORS = [
    {"conf"},
    {"triggers", "actors"},
    {"carrying", "stamping", "middleware", "people", "fields"},
    {"trail", "filters"},
    {"operations", "models", "admin"},
    {"drift"},
    {"checks", "management", "migrations", "contrib", "templatetags", "testing"},
    {"apps"},
]
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


def imports_of(file: Path) -> list[tuple[str, ...]]:
    """The modules that a file imports from the package, as parts of their paths below it."""
    package = file.relative_to(PACKAGE.parent).with_suffix("").parts[:-1]
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            module = (*above, *(node.module.split(".") if node.module else ()))
            # `from . import room`: the room is among the names.
            is_room = module == ("django_audit_fields",) or not node.module
            names = [(*module, alias.name) for alias in node.names] if is_room else [module]
        else:
            continue
        found += [tuple(parts[1:]) for parts in names if parts[0] == "django_audit_fields"]
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_run_down(file):
    """Nothing imports from a higher floor, nor from another room of its own floor."""
    room = room_of(file)
    if room == "__init__":
        return
    assert room in FLOOR_OF, f"{file} has no place in the plan"
    for parts in imports_of(file):
        if parts and (other := parts[0]) in FLOOR_OF and other != room:
            is_below = FLOOR_OF[other] < FLOOR_OF[room]
            assert is_below or (room, other) in NEIGHBOURS, f"{file} imports {'.'.join(parts)}"


#: One direction between rooms of one floor, where the plan has it.
NEIGHBOURS: set[tuple[str, str]] = {
    ("fields", "stamping"),
    ("stamping", "people"),
    ("admin", "models"),
}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_wings_are_entered_by_the_door(file):
    """From another wing, only what its `__init__` hands on."""
    for parts in imports_of(file):
        if parts and parts[0] in WINGS - {room_of(file)} and len(parts) > 1:
            is_module = (PACKAGE / parts[0] / f"{parts[1]}.py").exists()
            assert not is_module, f"{file} imports {'.'.join(parts)}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_files_are_short(file):
    """A reader understands a file in one sitting."""
    assert len(file.read_text().splitlines()) <= 300


#: The rooms of the trail: each may enter those before it, by their doors.
TRAIL_ROOMS = ["recording", "reading", "evidence"]


@pytest.mark.parametrize(
    "file", sorted((PACKAGE / "trail").rglob("*.py")), ids=lambda file: str(file.name)
)
def test_rooms_of_the_trail_are_entered_by_the_door(file):
    """What records knows nothing of what reads."""
    own, *_ = file.relative_to(PACKAGE / "trail").with_suffix("").parts
    for parts in imports_of(file):
        if parts[0] == "trail" and len(parts) > 1 and own != "__init__" and parts[1] != own:
            assert TRAIL_ROOMS.index(parts[1]) < TRAIL_ROOMS.index(own)
            assert not PACKAGE.joinpath(*parts[:3]).with_suffix(".py").exists(), (
                f"{file} imports {'.'.join(parts)}"
            )
