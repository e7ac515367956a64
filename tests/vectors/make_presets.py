"""Measure what transformers draws for small models: `python make_presets.py > presets.txt`."""

import warnings

import torch
import transformers as t

WIDTH = {"hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 4}
LAYERS = {"num_hidden_layers": 4, **WIDTH}
VOCABULARY = {"vocab_size": 2000}

# Preset, its variables, the model.
MODELS = [
    (
        "gpt2",
        "layers=4",
        lambda: t.GPT2LMHeadModel(
            t.GPT2Config(n_layer=4, n_embd=256, n_head=4, n_positions=512, **VOCABULARY)
        ),
    ),
    (
        "llama",
        "-",
        lambda: t.LlamaForCausalLM(t.LlamaConfig(num_key_value_heads=2, **LAYERS, **VOCABULARY)),
    ),
    (
        "mixtral",
        "-",
        lambda: t.MixtralForCausalLM(
            t.MixtralConfig(
                num_hidden_layers=2,
                num_local_experts=4,
                num_key_value_heads=2,
                **WIDTH,
                **VOCABULARY,
            )
        ),
    ),
    (
        "t5",
        "head_width=32,width=256",
        lambda: t.T5ForConditionalGeneration(
            t.T5Config(
                d_model=256,
                d_kv=32,
                num_heads=4,
                d_ff=512,
                num_layers=2,
                num_decoder_layers=2,
                feed_forward_proj="gated-gelu",
                tie_word_embeddings=False,
                **VOCABULARY,
            )
        ),
    ),
    ("bert-hf", "-", lambda: t.BertForMaskedLM(t.BertConfig(**LAYERS, **VOCABULARY))),
    ("vit-hf", "-", lambda: t.ViTForImageClassification(t.ViTConfig(num_labels=100, **LAYERS))),
    (
        "gemma",
        "-",
        lambda: t.GemmaForCausalLM(
            t.GemmaConfig(num_key_value_heads=1, head_dim=64, **LAYERS, **VOCABULARY)
        ),
    ),
    (
        "mamba-hf",
        "-",
        lambda: t.MambaForCausalLM(
            t.MambaConfig(num_hidden_layers=2, hidden_size=128, state_size=16, vocab_size=1000)
        ),
    ),
]


def main() -> None:
    warnings.simplefilter("ignore")
    t.logging.set_verbosity_error()
    torch.manual_seed(0)
    print(f"# transformers {t.__version__}, torch {torch.__version__.partition('+')[0]}")
    print("# preset variables tensor shape rms greatest")
    for preset, variables, build in MODELS:
        seen = set()
        for name, parameter in build().named_parameters():
            if id(parameter) in seen:
                continue
            seen.add(id(parameter))
            values = parameter.detach().double()
            shape = "x".join(map(str, values.shape))
            rms, greatest = values.square().mean().sqrt().item(), values.abs().max().item()
            print(preset, variables, name, shape, f"{rms:.9g}", f"{greatest:.9g}")


if __name__ == "__main__":
    main()
