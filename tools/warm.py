"""Make the public starts that the package ships, and print their digests for `mlmguard/train/warm.py`.

    python tools/warm.py nano tiny

Each is trained on the documentation of Python that comes with the interpreter, with one thread and seed 0; another
version of Python or torch gives other bytes, which is why the digests are pinned and the files committed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_model

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from mlmguard.artifacts import sha256_file
from mlmguard.train import warm
from mlmguard.training.text.tokenizer import Tokenizer

torch.set_num_threads(1)
for size in sys.argv[1:]:
    with tempfile.TemporaryDirectory() as scratch:
        model = warm.made(size, Tokenizer.load(None), warm.WINDOW, 0, Path(scratch))
    file = warm.FOLDER / f"{size}.safetensors"
    file.parent.mkdir(exist_ok=True)
    save_model(model, str(file))
    print(f'    "{size}": "{sha256_file(file)}",')
