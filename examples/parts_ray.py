"""One model by Ray's workers, each of which writes its share of the files.

    python examples/parts_ray.py model.toml /shared/model/ --shards 64 --parts 8

A worker that dies is started again by Ray, and resumes what it left. Whichever ends last writes the
index; where workers see each other's files late, as on some network file systems, the last line
here does.
"""

import argparse
import subprocess
import sys

import ray

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("specification")
parser.add_argument("directory", help="where every worker can write; its end is /")
parser.add_argument("--shards", default="64")
parser.add_argument("--parts", type=int, default=8)
parser.add_argument("--cpus", type=int, default=1, help="of each worker")
options = parser.parse_args()

COMMAND = [sys.executable, "-m", "seedbed", "init", options.specification]
COMMAND += ["-o", options.directory, "--shards", options.shards]


@ray.remote(num_cpus=options.cpus, max_retries=3)
def write(part: int) -> str:
    """Write one share, and return what the command says."""
    arguments = ["--part", f"{part}/{options.parts}", "--resume", "--threads", str(options.cpus)]
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stderr


ray.init(log_to_driver=False)
print(*ray.get([write.remote(part) for part in range(1, options.parts + 1)]), sep="", end="")
subprocess.run([*COMMAND, "--finish"], check=True)
