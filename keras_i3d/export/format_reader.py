"""Run as a program of its own: what a runtime makes of clips, where neither Keras nor TensorFlow is imported.

    python - FORMAT FILE PRECISION CLIPS ANSWERS < format_reader.py

CLIPS is an .npz with "0/rgb", "1/rgb", ...: clips of each stream, one after the other. ANSWERS takes "0/logits",
"0/probabilities", ... What is printed is a line of JSON: the runtime's name and version.
"""

import json
import sys

import numpy as np


def main(form, file, precision, clips, answers):
    run, runtime = {"openvino": openvino, "onnx": onnx, "litert": litert}[form](file, precision)
    held, found = dict(np.load(clips)), {}
    for number in sorted({name.partition("/")[0] for name in held}):
        given = {name.partition("/")[2]: held[name] for name in held if name.startswith(f"{number}/")}
        found |= {f"{number}/{name}": np.asarray(value) for name, value in run(given).items()}
    np.savez(answers, **found)
    imported = sorted({"keras", "tensorflow", "keras_i3d"} & set(sys.modules))
    if imported:
        raise SystemExit(f"imported: {', '.join(imported)}")
    print(json.dumps(runtime))


def openvino(file, precision):
    import openvino

    hint = {"float32": "f32", "bfloat16": "bf16"}[precision]
    compiled = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": hint})
    names = [output.get_any_name() for output in compiled.outputs]
    return lambda clips: dict(
        zip(names, compiled(clips).values())
    ), f"openvino {openvino.__version__.partition('-')[0]}"


def onnx(file, precision):
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda clips: dict(zip(names, session.run(names, clips))), f"onnxruntime {onnxruntime.__version__}"


def litert(file, precision):
    import importlib.metadata

    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=file).get_signature_runner()
    return lambda clips: runner(**clips), f"ai-edge-litert {importlib.metadata.version('ai-edge-litert')}"


if __name__ == "__main__":
    main(*sys.argv[1:])
