"""Time of `import snn_gan_ext` over that of `import snntorch`, in pairs of fresh interpreters.

Usage: python -m benchmarks.import_time [pairs]
"""

import statistics
import subprocess
import sys
import time


def seconds(module: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
    return time.perf_counter() - started


def main(pairs: int) -> None:
    for module in ("snntorch", "snn_gan_ext"):
        seconds(module)  # warms the disk cache
    ratios = [seconds("snn_gan_ext") / seconds("snntorch") for _ in range(pairs)]
    print(f"import snn_gan_ext / import snntorch over {pairs} pairs:")
    print(f"median {statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
