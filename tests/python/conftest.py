"""Settings that hold for every test: which backend the reference library runs on."""

import os

# Read by Keras when it is first imported, by whichever test comes first.
os.environ["KERAS_BACKEND"] = "numpy"
