"""Makes the vectors of the torch stream with the installed torch and Keras.

    python tests/vectors/make_torch_stream.py tensors > tests/vectors/torch_stream.txt
    python tests/vectors/make_torch_stream.py functions > tests/vectors/torch_functions.txt

Runs itself for either kernel of torch: the one for AVX2, which the machine must have, and the one
for all other processors, by the environment variable ATEN_CPU_CAPABILITY.
"""

import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

KERNELS = {"avx2": {}, "default": {"ATEN_CPU_CAPABILITY": "default"}}
DTYPES = ("float32", "float16", "bfloat16", "float64")
# Around the 16 elements that are made together, four of them where truncated, and around pages.
SIZES = (1, 2, 3, 4, 5, 15, 16, 17, 31, 33, 319, 320, 1279, 1282, 1296, 2561, 5135, 40003)
PARAMETERS = {
    "uniform": [(0.0, 1.0), (-0.05, 0.05), (3.0, 1e5)],
    "normal": [(0.0, 1.0), (0.1, 0.37), (-1e4, 2.5e4)],
    "truncated": [(0.0, 1.0), (0.1, 0.37), (7.0, -3e4)],
}

PLACE = np.uint64(0x9E3779B97F4A7C15)


def hashed(values: np.ndarray, start: int = 0) -> int:
    """The sum, modulo 2^64, of SplitMix64's finalizer of each element's bits plus its place."""
    with np.errstate(over="ignore"):
        places = np.arange(start + 1, start + 1 + values.size, dtype=np.uint64) * PLACE
        x = values.view(f"u{values.itemsize}").astype(np.uint64) + places
        x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        return int((x ^ x >> np.uint64(31)).sum(dtype=np.uint64))


def bits(value: float) -> str:
    return f"{np.float64(value).view(np.uint64):016x}"


def tensors() -> Iterator[str]:
    import keras
    import torch

    def array(tensor: Any) -> np.ndarray:
        same = tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor
        return np.ascontiguousarray(same.numpy()).reshape(-1)

    samplers = {
        "uniform": keras.random.uniform,
        "normal": keras.random.normal,
        "truncated": keras.random.truncated_normal,
    }
    for name, sampler in samplers.items():
        for dtype in DTYPES:
            # Another library computes other float64 normal values: of these there are none here.
            if dtype == "float64" and name != "uniform":
                continue
            for size in SIZES:
                seed = zlib.crc32(f"{name} {dtype} {size}".encode())
                for low, high in PARAMETERS[name][: 3 if size in (17, 1282) else 1 + size % 2]:
                    made = array(sampler((size,), low, high, dtype=dtype, seed=seed))
                    given = f"{name} {dtype} {seed} {size} {bits(low)} {bits(high)}"
                    yield f"{given} : {hashed(made):016x}"


# How torch stores a generator (`CPUGeneratorImpl.cpp`, the legacy state): three words of 64 bits,
# then the 624 words, of which one has been put out, in as many bits each.
HEADER, USED, WORDS = 3, 1, 624
BLOCKS = (WORDS - USED) // 16


def untempered(word: np.ndarray) -> np.ndarray:
    """The word of the state that is put out as `word`."""
    word = word ^ word >> 18
    word = word ^ word << 15 & np.uint32(0xEFC60000)
    y = word
    for _ in range(5):
        y = word ^ y << 7 & np.uint32(0x9D2C5680)
    word = y
    for _ in range(3):
        y = word ^ y >> 11
    return y


def functions() -> Iterator[str]:
    """The radius of every number of 24 bits, and cosine and sine times the largest radius, from
    states of the generator that hold the words wanted."""
    import torch

    generator = torch.Generator()
    generator.manual_seed(1)
    torch.rand(1, generator=generator)
    state = generator.get_state().numpy().copy()
    whole = state[: 8 * (HEADER + WORDS)].view(np.uint64)

    def drawn(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """For each of the numbers a pair: its cosine, its sine."""
        words = np.concatenate([first.reshape(-1, 8), second.reshape(-1, 8)], 1)
        words = untempered(words.reshape(-1))
        out = []
        for start in range(0, len(words), 16 * BLOCKS):
            part = words[start : start + 16 * BLOCKS]
            whole[HEADER + USED : HEADER + USED + len(part)] = part
            generator.set_state(torch.from_numpy(state))
            out.append(torch.normal(0.0, 1.0, (len(part),), generator=generator).numpy())
        values = np.concatenate(out).reshape(-1, 2, 8)
        return values.transpose(0, 2, 1)

    numbers = np.arange(1 << 24, dtype=np.uint32)
    radii = drawn(numbers, np.zeros_like(numbers))[..., 0]
    yield f"radii : {hashed(np.ascontiguousarray(radii).reshape(-1)):016x}"
    around = drawn(np.full_like(numbers, (1 << 24) - 1), numbers)
    yield f"around : {hashed(np.ascontiguousarray(around).reshape(-1)):016x}"


def main() -> None:
    what = sys.argv[1]
    if len(sys.argv) > 2:
        lines = {"tensors": tensors, "functions": functions}[what]()
        print("\n".join(f"{sys.argv[2]} {line}" for line in lines))
        return
    import keras
    import torch

    print(
        f"# torch {torch.__version__}, Keras {keras.__version__}: "
        f"made by make_torch_stream.py {what}."
    )
    if what == "tensors":
        print("# kernel sampler dtype seed size parameters : hash of the values")
    else:
        print("# kernel what : hash of the values for all numbers of 24 bits")
    sys.stdout.flush()
    for kernel, setting in KERNELS.items():
        command = [sys.executable, __file__, what, kernel]
        subprocess.run(command, env=os.environ | {"KERAS_BACKEND": "torch"} | setting, check=True)


if __name__ == "__main__":
    main()
