"""The data path: image folders in, degraded pairs made, one H5 packed, random patches out."""
