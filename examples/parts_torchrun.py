"""One model by the processes of torchrun, each of which writes its share of the files.

    torchrun --nnodes 4 --nproc-per-node 2 examples/parts_torchrun.py model.toml /shared/model/ 64

The processes do not talk: each knows its number, and that says which files are its own. Whichever
ends last writes the index.
"""

import os
import sys

from seedbed._command.main import main

specification, directory, shards = sys.argv[1:]
part = f"{int(os.environ['RANK']) + 1}/{os.environ['WORLD_SIZE']}"
arguments = [specification, "-o", directory, "--shards", shards, "--part", part, "--resume"]
sys.exit(main(["init", *arguments]))
