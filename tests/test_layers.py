"""The house's order: imports run downwards only, and models know Keras alone."""

import ast
import pathlib
import sys

PACKAGE = pathlib.Path(__file__).resolve().parents[1] / "keras_i3d"

# From the ground up; a module imports only from lower floors, or from its own package.
FLOORS = (
    {"version", "errors", "paths", "backend", "precision", "probabilities", "markup"},
    {"on_first_use", "jpeg"},
    {"specs", "locks", "stored", "atomic", "progress"},
    {"models", "recipes"},
    {"facts"},
    {"weights", "video", "flow", "visualize"},
    {"records"},
    {"data", "runs"},
    {"applications", "optimize"},
    {"networks", "beforehand"},
    {"inference", "training", "client"},
    {"evaluation", "export"},
    {"cli"},
    {"__init__", "__main__"},
)
FLOOR = {name: height for height, names in enumerate(FLOORS) for name in names}

# What only some modules may import at all, wherever the import stands.
RESERVED = {
    "tensorflow": {"backend", "weights", "records", "data", "training", "evaluation", "export", "client"},
    "cv2": {"flow"},
    "numba": {"flow"},
    "av": {"video"},
    "PIL": {"jpeg", "visualize"},
    "apache_beam": {"records"},
    "requests": {"weights", "client"},
    "matplotlib": {"evaluation"},
    "sklearn": {"evaluation"},
}


def imports():
    """Yields (file, part, imported module) for every import in the package, in functions too."""
    for path in sorted(PACKAGE.rglob("*.py")):
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((path, part, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative import"
                if node.module == "keras_i3d":
                    yield from ((path, part, f"keras_i3d.{alias.name}") for alias in node.names)
                else:
                    yield path, part, node.module


def test_imports_run_downwards():
    wrong = []
    for path, part, module in imports():
        if module.startswith("keras_i3d."):
            imported = module.split(".")[1]
            if imported != part and FLOOR[imported] >= FLOOR[part]:
                wrong.append(f"{path.name} imports {module}")
    assert not wrong


def test_every_module_has_a_floor():
    parts = {p.relative_to(PACKAGE).parts[0].removesuffix(".py") for p in PACKAGE.rglob("*.py")}
    assert parts <= set(FLOOR)


def test_no_circles():
    """No module needs, through whatever others, a module that needs it: each can be understood by those below it."""
    names = {path: ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in PACKAGE.rglob("*.py")}
    needs = {name: set() for name in names.values()}
    for path, _, module in imports():
        needs[names[path]].add(module)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                needs[names[path]] |= {f"{node.module}.{alias.name}" for alias in node.names}
    needs = {name: {other for other in others if other in needs} - {name} for name, others in needs.items()}
    while ground := [name for name, others in needs.items() if not others]:
        needs = {name: others - set(ground) for name, others in needs.items() if name not in ground}
    assert not needs


def test_models_know_keras_alone():
    files_and_network = {"io", "os", "pathlib", "shutil", "socket", "subprocess", "tempfile", "urllib"}
    allowed = {"keras", "keras_i3d"} | (sys.stdlib_module_names - files_and_network)
    for path, part, module in imports():
        if part == "models":
            assert module.split(".")[0] in allowed, f"{path.name} imports {module}"


def test_heavy_packages_are_imported_in_their_places():
    for path, part, module in imports():
        root = module.split(".")[0]
        assert part in RESERVED.get(root, {part}), f"{path.name} imports {module}"


def test_text_files_are_utf_8():
    """Whatever the locale: every call that opens a file as text, or reads a process as text, says its encoding."""
    wrong = []
    for path in [*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "tools").glob("*.py"), PACKAGE.parent / "setup.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _is_text(node) and "encoding" not in {k.arg for k in node.keywords}:
                wrong.append(f"{path.name}, line {node.lineno}: {ast.unparse(node)}")
    assert not wrong


def _is_text(call):
    """Whether a call opens a file as text, by the names that this package uses."""
    if isinstance(call.func, ast.Name):
        mode = ast.unparse(call.args[1]) if len(call.args) > 1 else "'r'"
        return call.func.id == "open" and "b" not in mode
    method = isinstance(call.func, ast.Attribute) and call.func.attr
    if method in ("read_text", "write_text"):
        return ast.unparse(call.func.value) != "atomic"  # which is this package's own
    return bool({"text", "universal_newlines"} & {k.arg for k in call.keywords}) and method in ("run", "Popen")


def test_heavy_packages_are_imported_where_they_are_used():
    """At the top of no module, but for TensorFlow in the packages that are TensorFlow's: nobody pays for the rest."""
    tensorflows = {PACKAGE / name for name in ("records", "data", "training", "evaluation", "export")}
    for path in set(PACKAGE.rglob("*.py")) - {PACKAGE / "flow/kernels.py"}:  # itself imported where it is used
        heavy = {*RESERVED, "tqdm", "filelock"} - ({"tensorflow"} if path.parent in tensorflows else set())
        for node in ast.parse(path.read_text()).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", None)]
            for name in names:
                assert name is None or name.split(".")[0] not in heavy, path


# A verb's module in `cli` is named after its verb, and so may be called as a package is.
NAMED_TWICE = {"__init__", "evaluation"}


def test_no_two_modules_of_one_name():
    stems = [path.stem for path in PACKAGE.rglob("*.py") if path.parent.name != "cli"]
    stems += [path.parent.name for path in PACKAGE.rglob("*/__init__.py")]
    assert {stem for stem in stems if stems.count(stem) > 1} <= NAMED_TWICE


VAGUE = {"utils", "core", "common", "configs", "keeper", "board", "fast", "plan", "tables", "reading", "source"}
VAGUE |= {"files", "pictures", "helpers", "misc"}


def test_modules_are_named_after_what_they_hold():
    assert not {path.stem for path in PACKAGE.rglob("*")} & VAGUE


def test_no_argument_hides_a_module():
    """Nor is a module imported under another name because an argument is called like it."""
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        modules = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "keras_i3d":
                for alias in node.names:
                    if (PACKAGE.parent / node.module.replace(".", "/") / f"{alias.name}.py").is_file() or (
                        PACKAGE.parent / node.module.replace(".", "/") / alias.name
                    ).is_dir():
                        modules.add(alias.asname or alias.name)
                        if alias.asname:
                            wrong.append(f"{path.name} imports {alias.name} as {alias.asname}")
        hidden = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)} & modules
        wrong += [f"{path.name} has an argument {name}, and imports a module of that name" for name in hidden]
    assert not wrong, "\n".join(wrong)
