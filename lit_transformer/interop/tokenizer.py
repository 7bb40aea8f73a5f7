"""A tokenizer's files as transformers reads them: the ids of a text stay the same."""

import json
from collections.abc import Mapping
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

ROLES = ("pad", "unk", "bos", "eos", "cls", "sep", "mask")
"""What transformers calls the special tokens that it knows of."""


def write_tokenizer(tokenizer: Tokenizer, folder: Path, *, roles: Mapping[str, int], kind: str, length: int) -> None:
    """Write tokenizer.json, tokenizer_config.json and special_tokens_map.json for a network of this `model.kind`.

    roles: of ROLES, each with the token's id. With its special tokens, as transformers adds them by default, a text
    becomes what the network was trained on: [CLS] text [SEP] (bert), text </s> (t5, encoder_decoder). Special tokens
    that are spelled out in a text are text, as they are here, but for those that people write: [MASK] and sentinels.
    """
    names = {role: str(tokenizer.id_to_token(index)) for role, index in roles.items()}
    copy = Tokenizer.from_str(tokenizer.to_str())
    template = _template(kind, names, roles)
    if template is not None:
        copy.post_processor = template
    copy.save(str(folder / "tokenizer.json"))
    tokens = {f"{role}_token": names[role] for role in ROLES if role in names}
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": length,
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": kind in ("gpt", "encoder_decoder"),
        "model_input_names": ["input_ids", *(["token_type_ids"] if kind == "bert" else []), "attention_mask"],
        **tokens,
    }
    for name, value in (("tokenizer_config.json", config), ("special_tokens_map.json", tokens)):
        (folder / name).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _template(kind: str, names: Mapping[str, str], roles: Mapping[str, int]) -> TemplateProcessing | None:
    if kind == "bert":
        cls, sep = names["cls"], names["sep"]
        return TemplateProcessing(
            single=f"{cls} $A {sep}",
            pair=f"{cls} $A {sep} $B:1 {sep}:1",
            special_tokens=[(cls, roles["cls"]), (sep, roles["sep"])],
        )
    if kind in ("t5", "encoder_decoder"):
        end = names["eos"]
        pair = f"$A {end} $B:0 {end}:0"
        return TemplateProcessing(single=f"$A {end}", pair=pair, special_tokens=[(end, roles["eos"])])
    return None
