"""Installation of jsnas: three top-level packages (jsnas, search_spaces, trainers) and nothing else."""

from pathlib import Path

from setuptools import Extension, setup

setup(
    name="jsnas",
    version="0.1.0",
    description="Neural architecture search for lightweight image restoration, on Microsoft NNI (JSNet)",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11,<3.13",
    packages=[
        "jsnas",
        "jsnas.data",
        "jsnas.fast",
        "jsnas.fast.inference",
        "jsnas.fast.training",
        "jsnas.native",
        "jsnas.report",
        "jsnas.strategy",
        "jsnas.strategy.fast",
        "jsnas.tiles",
        "search_spaces",
        "trainers",
        "trainers.commands",
        "trainers.experiment",
        "trainers.tournament",
    ],
    ext_modules=[
        Extension(
            "jsnas.native._loops",
            [
                "jsnas/native/common.c",
                "jsnas/native/convolution_sum.c",
                "jsnas/native/esa.c",
                "jsnas/native/gated_sum.c",
                "jsnas/native/depthwise.c",
                "jsnas/native/octets.c",
                "jsnas/native/operation_edges.c",
                "jsnas/native/pixel_gates.c",
                "jsnas/native/quads.c",
                "jsnas/native/quad_points.c",
                "jsnas/native/quad_sums.c",
            ],
            depends=sorted(str(path) for path in Path("jsnas/native").glob("*.h")),
            extra_compile_args=["-std=gnu11", "-O3", "-Wno-psabi"],
            optional=True,  # without a C compiler torch's operations do the same
        )
    ],
    package_data={
        "jsnas": ["py.typed", "genotypes/*.json", "paper_tables/*.csv"],
        "search_spaces": ["py.typed"],
        "trainers": ["py.typed", "configs/*.yaml", "experiment/*.js"],
    },
    entry_points={"console_scripts": ["jsnas=trainers.start:main"]},
    # NNI 3.0 is the last NNI, so the ranges say what was tested with it. It declares neither torch nor
    # pytorch-lightning, a filelock of 3.12 or newer hangs it, and a typeguard of 4.1.3 or newer breaks it.
    install_requires=[
        "nni==3.0",
        "filelock<3.12",
        "typeguard<4.1.3",
        "setuptools<82",
        "torch>=2.11,<2.14",
        "pytorch-lightning>=2.6,<2.7",
        "numpy>=1.26,<3",
        "h5py>=3.10,<4",
        "pillow>=10.3",
        "scikit-image>=0.24,<0.27",
        "scipy>=1.11,<2",
        "safetensors>=0.4.3,<1",
        "pyyaml>=6.0,<7",
        "jsonargparse>=4.49,<5",
        "docstring-parser>=0.16,<1",
        "tensorboard>=2.16,<3",
        "tqdm>=4.66,<5",
        "psutil>=5.9",
    ],
    extras_require={
        "draw": ["typst>=0.13,<1"],  # for `jsnas draw` as PNG and PDF
        "docs": ["sphinx>=8.2,<10", "furo>=2025.7.19", "myst-parser>=4,<6"],
        "rl": ["tianshou>=0.4.11,<1", "gym>=0.26,<0.27"],  # for the strategies enas and rl
        "onnx": ["onnx>=1.18", "onnxscript>=0.5", "onnxruntime>=1.22"],  # for `jsnas export` to ONNX, `--backend onnx`
        "spandrel": ["spandrel>=0.4.1,<1"],  # for tools that open checkpoints by spandrel
        "bench": ["scikit-learn>=1.5,<2", "pyarrow>=16"],  # for the surrogate of JSNet-Bench, and its table as Parquet
        "dev": [
            "scikit-learn>=1.5,<2",
            "pyarrow>=16",
            "pytest>=8.2",
            "pytest-xdist>=3.6",
            "hypothesis>=6.100",
            "ruff>=0.6",
            "mypy>=1.11",
            "types-PyYAML",
            "types-tqdm",
            "types-psutil",
            "typst>=0.13,<1",
            "import-linter>=2.1",
            "build>=1.2",
            # To interpret the kernels of GPUs; torch brings it where there is one.
            "triton>=3.2; platform_system == 'Linux' and platform_machine == 'x86_64'",
        ],
    },
)
