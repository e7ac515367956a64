"""Every snippet of docs/keras.md runs as pasted, and its links lead somewhere."""

import contextlib
import re
from pathlib import Path

import keras
import pytest

import seedbed.keras

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "keras.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def runs_here(snippet):
    """Keras shards on JAX alone."""
    return "DeviceMesh" not in snippet or keras.backend.backend() == "jax"


def test_there_are_snippets_and_all_are_python():
    assert len(SNIPPETS) == 8
    assert TEXT.count("```") == 2 * len(SNIPPETS)


@pytest.mark.parametrize("snippet", [s for s in SNIPPETS if runs_here(s)])
def test_a_snippet_runs_as_pasted(snippet):
    try:
        exec(compile(snippet, "docs/keras.md", "exec"), {"__name__": "pasted"})
    finally:
        with contextlib.suppress(RuntimeError):  # what was not installed
            seedbed.keras.uninstall()


def test_keras_own_messages_are_quoted_as_they_are():
    config = {"seed": 1, "input_axes": None, "output_axes": None, "stream": "numpy"}
    with pytest.raises(TypeError) as caught:
        keras.initializers.get({"class_name": "HeNormal", "config": config})
    assert "`HeNormal.__init__() got an unexpected keyword argument 'stream'`" in TEXT
    assert "HeNormal.__init__() got an unexpected keyword argument 'stream'" in str(caught.value)
    unknown = {
        "module": "elsewhere",
        "class_name": "HeNormal",
        "config": {},
        "registered_name": "elsewhere>HeNormal",
    }
    with pytest.raises(TypeError) as caught:
        keras.saving.deserialize_keras_object(unknown)
    quoted = re.search(r"`(Could not locate class 'HeNormal'.*?)` \|", TEXT).group(1)
    assert quoted in str(caught.value).replace("`", "")


def test_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (ROOT / "docs" / link).is_file(), link
