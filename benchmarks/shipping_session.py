"""Times ONNX Runtime in a process of its own, and prints what `shipping.f90` prints.

python benchmarks/shipping_session.py MODEL ROUNDS COLUMNS

Seconds of loading (and of them the processor's), then a line a round: seconds of the call, 0 (no
bare sgemm beside it), and the processor's; at last the largest memory.
"""

import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime


def main(model: str, rounds: int, columns: int) -> None:
    """Load and run a model on one thread, once untimed."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    begin, idle = time.perf_counter(), time.process_time()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    print(time.perf_counter() - begin, time.process_time() - idle)
    count = session.get_inputs()[0].shape[1]
    values = np.random.default_rng(0).random((columns, count), np.float32)
    for _ in range(rounds + 1):
        begin, idle = time.perf_counter(), time.process_time()
        session.run(["tendencies"], {"columns": values})
        print(time.perf_counter() - begin, 0.0, time.process_time() - idle)
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    print(*(line for line in lines if line.startswith("VmHWM:")))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
