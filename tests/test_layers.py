"""The house's order: imports run downwards only, and models know Keras alone."""

import ast
import functools
import importlib
import inspect
import pathlib
import sys

import keras_i3d

PACKAGE = pathlib.Path(__file__).resolve().parents[1] / "keras_i3d"

# From the ground up; a module imports only from lower floors, or from its own package.
FLOORS = (
    {"version", "errors", "paths", "backend", "precision", "probabilities", "markup", "plurals"},
    {
        "lacking_characters",
        "on_first_use",
        "jpeg",
        "average_precision",
        "time_steps",
        "prediction_logs",
        "reading_ahead",
    },
    {"specs", "locks", "stored", "atomic", "progress", "pipelines", "listening"},
    {"models", "recipes", "threshold_files"},
    {"facts", "recipe_files"},
    {"weights", "video", "flow", "visualize", "charts"},
    {"records"},
    {"data", "runs"},
    {"builders", "inputs", "network_cards", "optimize"},
    {"applications", "predictions"},
    {"networks", "beforehand", "runtimes"},
    {"inference", "training", "client", "serving"},
    {"evaluation", "explaining", "export", "features", "frechet", "segments"},
    {"learning", "checkup", "verification", "web"},
    {"cli"},
    {"__init__", "__main__"},
)
FLOOR = {name: height for height, names in enumerate(FLOORS) for name in names}

# What only some modules may import at all, wherever the import stands.
RESERVED = {
    # `features` for its tf.data loader alone.
    "tensorflow": {"backend", "weights", "records", "data", "training", "evaluation", "export", "features"}
    | {"client", "serving", "runtimes", "explaining", "checkup"},
    "openvino": {"runtimes", "export"},
    "onnx": {"export"},
    "tf2onnx": {"export"},
    "onnxruntime": {"export"},
    "ai_edge_litert": {"export"},
    "cv2": {"flow"},
    "numba": {"flow"},
    "av": {"video"},
    "PIL": {"jpeg", "visualize", "frechet", "segments"},
    "apache_beam": {"pipelines"},
    "requests": {"weights", "client"},
    "matplotlib": {"charts"},
    "sklearn": {"evaluation"},
    "kserve": {"serving"},
    "starlette": {"web"},
    "uvicorn": {"web"},
}


@functools.cache
def tree(path):
    """The syntax of a file, which many tests go through: parsed once."""
    return ast.parse(path.read_text())


def imports():
    """Yields (file, part, imported module) for every import in the package, in functions too."""
    for path in sorted(PACKAGE.rglob("*.py")):
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(tree(path)):
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
    for path, name in names.items():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom):
                needs[name] |= {f"{node.module}.{alias.name}" for alias in node.names}
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


# Where a network may be named: its public builder, the original codes whose files are read, what was published, and
# what the features were made with that others' code reads.
NAMES_NETWORKS = {"__init__.py", "applications.py", "weights/originals", "weights/published.py", "weights/registry.py"}
NAMES_NETWORKS |= {"features/presets.py"}


def test_nothing_above_models_decides_by_a_networks_name():
    """No text of the package is a network's name but in those places. Help texts are longer than a name."""
    homes = keras_i3d._HOMES
    builders = {name for name, home in homes.items() if home == "keras_i3d.applications"}
    assert {"I3D", "C3D", "ConvNetLSTM"} < builders
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE)
        if place.parts[0] == "models" or {str(place), str(place.parent)} & NAMES_NETWORKS:
            continue
        for node in ast.walk(tree(path)):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and text.partition("-")[0] in builders:
                wrong.append(f"{place}, line {node.lineno}: {text}")
    assert not wrong


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
    tensorflows = {PACKAGE / name for name in ("records", "data", "training", "evaluation", "export", "checkup")}
    compiled = {
        PACKAGE / f"flow/{name}.py" for name in ("coarse_to_fine", "kernel_cache", "kernels", "lanes", "sweeps")
    }
    for path in set(PACKAGE.rglob("*.py")) - compiled:  # themselves imported where they are used
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


def test_no_public_name_hides_a_module():
    """What a package gives under a name is the same before and after its modules were imported."""
    wrong = []
    for path in PACKAGE.rglob("__init__.py"):
        place = ".".join(path.parent.relative_to(PACKAGE.parent).parts)
        package = importlib.import_module(place)
        for name in sorted(set(package.__all__ if hasattr(package, "__all__") else vars(package))):
            module = importlib.util.find_spec(f"{place}.{name}")
            if module and not inspect.ismodule(getattr(package, name)):
                wrong.append(f"{place}.{name} is a module, and something else")
    assert not wrong


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


# What is tested under another name: {module: test file}. All others have tests/PACKAGE/test_MODULE.py.
COVERED_BY = {
    "backend": "cli/test_quiet.py",
    "beforehand": "inference/test_classifier.py",
    "errors": "data/test_pipeline.py",
    "jpeg": "records/test_sequence_example.py",
    "listening": "serving/test_kserve_server.py",
    "lacking_characters": "test_charts.py",
    "locks": "training/test_resuming.py",
    "networks": "models/test_contract.py",
    "on_first_use": "test_package.py",
    "applications": "weights/test_sources.py",
    "builders": "weights/test_sources.py",
    "inputs": "test_specs.py",
    "paths": "cli/test_cli.py",
    "predictions": "weights/test_sources.py",
    "precision": "models/test_contract.py",
    "probabilities": "test_facts.py",
    "stored": "weights/test_hostile_files.py",
    "network_cards": "cli/test_models.py",
    "checkup/colour_order": "checkup/test_record_contents.py",
    "checkup/findings": "checkup/test_examination.py",
    "checkup/flow_agreement": "checkup/test_record_contents.py",
    "checkup/near_duplicates": "checkup/test_record_relations.py",
    "checkup/network_fit": "checkup/test_record_relations.py",
    "checkup/optional_parts": "checkup/test_environment.py",
    "checkup/record_sample": "checkup/test_record_contents.py",
    "checkup/video_sample": "checkup/test_video_checks.py",
    "cli/ask": "export/test_serving.py",
    "cli/classify": "cli/test_cli.py",
    "cli/columns": "cli/test_models.py",
    "cli/explain": "explaining/test_explanations.py",
    "cli/doctor": "checkup/test_examination.py",
    "cli/export": "export/test_saving.py",
    "cli/network_flags": "cli/test_cli.py",
    "cli/filters": "explaining/test_filter_bank.py",
    "cli/records": "cli/test_failures.py",
    "cli/serve": "serving/test_kserve_server.py",
    "cli/show": "cli/test_cli.py",
    "cli/train": "training/test_finetuning.py",
    "cli/videos": "cli/test_cli.py",
    "cli/web": "web/test_page_server.py",
    "data/clips": "data/test_pipeline.py",
    "data/order": "data/test_pipeline.py",
    "data/record_files": "records/test_building.py",
    "data/settings": "data/test_pipeline.py",
    "evaluation/fusion": "evaluation/test_metrics.py",
    "evaluation/label_report": "evaluation/test_label_evaluation.py",
    "evaluation/measuring": "evaluation/test_label_evaluation.py",
    "evaluation/protocols": "evaluation/test_evaluation.py",
    "evaluation/reading_errors": "evaluation/test_evaluation.py",
    "evaluation/report": "evaluation/test_evaluation.py",
    "evaluation/scores": "evaluation/test_metrics.py",
    "evaluation/scoring": "evaluation/test_evaluation.py",
    "evaluation/truths": "evaluation/test_label_evaluation.py",
    "explaining/explanation_page": "explaining/test_explanations.py",
    "explaining/explanation_pictures": "explaining/test_explanations.py",
    "explaining/filter_sheets": "explaining/test_filter_bank.py",
    "explaining/saving_explanations": "explaining/test_explanations.py",
    "explaining/seen_clips": "explaining/test_explanations.py",
    "export/archive": "export/test_saving.py",
    "export/exported_networks": "export/test_saving.py",
    "export/format_reader": "export/test_runtime_files.py",
    "export/image_headers": "export/test_hostile_requests.py",
    "export/preprocessing": "export/test_signatures.py",
    "export/request_checks": "export/test_hostile_requests.py",
    "export/server_files": "export/test_saving.py",
    "export/version_folder": "export/test_saving.py",
    "export/warmup": "export/test_signatures.py",
    "flow/coarse_to_fine": "flow/test_engine.py",
    "flow/kernel_cache": "flow/test_engine.py",
    "flow/kernels": "flow/test_engine.py",
    "flow/opencv": "flow/test_layer.py",
    "inference/classification": "inference/test_classifier.py",
    "inference/chunks": "models/test_contract.py",
    "inference/stage_times": "inference/test_classifier.py",
    "frechet/fvd_card": "frechet/test_fvd.py",
    "frechet/fvd_checks": "frechet/test_fvd.py",
    "frechet/saved_sides": "frechet/test_fvd.py",
    "learning/budgeting": "learning/test_choosing.py",
    "learning/choices": "learning/test_choosing.py",
    "models/blocks": "models/test_s3d.py",
    "models/families": "models/test_contract.py",
    "models/family": "models/test_contract.py",
    "models/layer_views": "models/test_receptive_fields.py",
    "models/nonlocal_block": "models/test_resnet.py",
    "records/annotation_files": "records/test_annotations.py",
    "records/build_state": "records/test_building.py",
    "records/checking": "records/test_damage.py",
    "records/distribute": "test_kills.py",
    "records/framing": "records/test_damage.py",
    "records/listing": "records/test_annotations.py",
    "records/published_sets": "records/test_annotations.py",
    "records/shards": "records/test_building.py",
    "records/video_files": "records/test_annotations.py",
    "training/checkpoints": "training/test_resuming.py",
    "training/confusions": "training/test_run_pictures.py",
    "training/example_clips": "training/test_run_pictures.py",
    "training/data_warnings": "training/test_run_plan.py",
    "training/fit_checking": "training/test_run.py",
    "training/compiling": "training/test_optimizing.py",
    "training/objective": "training/test_run.py",
    "training/rate_range": "training/test_data_checks.py",
    "training/run_progress": "training/test_run.py",
    "training/run_errors": "training/test_resuming.py",
    "training/run_summary": "training/test_run.py",
    "training/run_folder": "training/test_run.py",
    "training/run_start": "training/test_resuming.py",
    "training/run_writer": "training/test_run.py",
    "training/tensorboard": "training/test_run.py",
    "video/codec_names": "video/test_reader.py",
    "video/pixels": "video/test_reader.py",
    "video/truncation": "video/test_decoding.py",
    "weights/by_name": "models/test_contract.py",
    "weights/cache": "weights/test_made_weights.py",
    "weights/h5_files": "weights/test_made_weights.py",
    "weights/inflation": "weights/test_conversion.py",
    "weights/keras_files": "weights/test_hostile_keras.py",
    "weights/labels": "weights/test_sources.py",
    "weights/originals/catalogue": "weights/test_originals.py",
    "weights/originals/resnets": "models/test_resnet.py",
    "weights/originals/deepmind": "weights/test_conversion.py",
    "weights/originals/inceptions": "weights/test_inceptions.py",
    "weights/originals/inception_v1": "models/test_baselines.py",
    "weights/originals/original": "weights/test_originals.py",
    "weights/originals/residuals": "models/test_residual.py",
    "weights/pickles": "weights/test_torch_files.py",
    "weights/remote": "weights/test_download.py",
    "weights/tensorflow_files": "weights/test_conversion.py",
    "cli/verify": "verification/test_verifying.py",
    "verification/accuracy_checks": "verification/test_verifying.py",
    "verification/distance_checks": "verification/test_verifying.py",
    "verification/file_checks": "verification/test_verifying.py",
    "verification/machine_facts": "verification/test_verifying.py",
    "verification/needed_files": "verification/test_verifying.py",
    "verification/published_values": "verification/test_verifying.py",
    "verification/sample_answers": "verification/test_verifying.py",
    "evaluation/nearest_videos": "evaluation/test_prediction_browser.py",
    "evaluation/record_clips": "evaluation/test_prediction_browser.py",
    "features/feeding": "features/test_video_extractor.py",
    "features/stream_clips": "features/test_video_extractor.py",
    "features/video_features": "features/test_layouts.py",
}


def test_the_test_of_a_module_is_found_by_its_name():
    """Or by the table, which names no module whose test is found without it."""
    tests = pathlib.Path(__file__).parent
    modules = {path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py")}
    modules = {module for module in modules if module.name not in ("__init__", "__main__", "version")}
    found = {str(m) for m in modules if [*(tests / m.parent).glob(f"test_{m.name}*.py")]}
    assert {str(module) for module in modules} - found == set(COVERED_BY)
    for module, test in COVERED_BY.items():
        assert (tests / test).is_file(), module


def test_the_longest_test_files_are_there():
    """Those that `conftest.py` hands out first."""
    tests = pathlib.Path(__file__).parent
    tree = ast.parse((tests / "conftest.py").read_text(encoding="utf-8"))
    (longest,) = [node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "LONGEST"]
    assert [name for name in ast.literal_eval(longest) if not (tests / name).is_file()] == []
