"""Networks on tiles of an image, for ONNX Runtime and exported files; ``jsnas.strips`` is what torch does instead."""
