"""Forecast with an exported model, NumPy and ONNX Runtime alone: no torch, no framecast.

    framecast export runs/x forecast.onnx
    python examples/onnx_forecast.py forecast.onnx past.npy future.npy

past.npy: (M, H, W) or (M, C, H, W), uint8 or floats in [0, 1]; of a longer film, the last M frames.
"""

import sys

import numpy as np
import onnxruntime

model, source, target = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
facts = session.get_modelmeta().custom_metadata_map
past = np.load(source)[-int(facts["framecast.past"]) :]
if past.dtype == np.uint8:
    past = past / 255
past = past.reshape(len(past), int(facts["framecast.channels"]), *past.shape[-2:])
(future,) = session.run(None, {"past": past[None].astype(np.float32)})
np.save(target, future[0].clip(0, 1))
