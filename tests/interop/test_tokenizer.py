"""The exported tokenizer gives the ids that ours gives, and with special tokens what the network was trained on."""

import pytest
import transformers

from lit_transformer.config.models import BertConfig, EncoderDecoderConfig, GPTConfig, T5Config
from lit_transformer.data.tokenizers import encode, load_tokenizer, specials_of
from tests.interop.networks import SHAPE, TEXT, export_to, make_config, make_network, make_tokenizer

TEXTS = [
    "", " ", "The animal didn't cross the street.", "  two  spaces,\ttab\nand line  ", "Größe\u00a0und Straße, ŒUVRE ÿ",
    "12 or 13? [CLS-like] <almost>", "it was too tired because", TEXT * 3, "日本語 and 😀", "A.B.C. isn't won't",
]  # fmt: skip
MODELS = {
    "gpt": GPTConfig(**SHAPE),
    "bert": BertConfig(**SHAPE),
    "t5": T5Config(**SHAPE),
    "encoder_decoder": EncoderDecoderConfig(**SHAPE),
}


def exported(tmp_path, model_kind, kind):
    tokenizer = make_tokenizer(model_kind, kind)
    config = make_config(MODELS[model_kind], vocab_size=tokenizer.get_vocab_size())
    export_to(tmp_path / "there", make_network(config), config, tokenizer=tokenizer)
    return tokenizer, transformers.AutoTokenizer.from_pretrained(tmp_path / "there")


@pytest.mark.parametrize("kind", ["characters", "words", "bpe", "wordpiece", "bytes"])
@pytest.mark.parametrize("model_kind", MODELS)
def test_ids_and_texts_agree(tmp_path, model_kind, kind):
    ours, theirs = exported(tmp_path, model_kind, kind)
    assert len(theirs) == ours.get_vocab_size()
    for text in TEXTS:
        ids = encode(ours, text)
        assert theirs(text, add_special_tokens=False)["input_ids"] == ids
        assert theirs.decode(ids, skip_special_tokens=True) == ours.decode(ids, skip_special_tokens=True)
    again = load_tokenizer(tmp_path / "there")
    assert [encode(again, text) for text in TEXTS] == [encode(ours, text) for text in TEXTS]
    assert specials_of(again) == specials_of(ours)


@pytest.mark.parametrize("model_kind", ["gpt", "encoder_decoder"])
def test_a_special_token_that_is_spelled_out_is_text(tmp_path, model_kind):
    ours, theirs = exported(tmp_path, model_kind, "bytes")
    for text in ("The <eot> and </s> <pad>", "<eot>"):
        assert theirs(text, add_special_tokens=False)["input_ids"] == encode(ours, text)


def test_what_the_network_was_trained_on(tmp_path):
    ours, theirs = exported(tmp_path / "bert", "bert", "words")
    special = specials_of(ours)
    first, second = encode(ours, "The animal"), encode(ours, "was tired")
    pair = theirs("The animal", "was tired")
    assert pair["input_ids"] == [special.cls, *first, special.sep, *second, special.sep]
    assert pair["token_type_ids"] == [0] * (len(first) + 2) + [1] * (len(second) + 1)
    assert theirs("The [MASK]")["input_ids"] == [special.cls, first[0], special.mask, special.sep]
    assert theirs.mask_token_id == special.mask and theirs.pad_token_id == special.pad
    ours, theirs = exported(tmp_path / "t5", "t5", "words")
    special = specials_of(ours)
    ids = [encode(ours, "The")[0], special.sentinels[0], special.end]
    assert theirs("The <extra_id_0>")["input_ids"] == ids
    assert theirs.decode(ids, skip_special_tokens=True).strip() == "The"
    ours, theirs = exported(tmp_path / "gpt", "gpt", "words")
    assert theirs("The animal")["input_ids"] == encode(ours, "The animal")
    assert theirs.eos_token_id == theirs.bos_token_id == specials_of(ours).eot
    assert theirs.model_max_length == SHAPE["context_length"]


def test_a_pipeline_of_theirs_fills_a_blank(tmp_path):
    exported(tmp_path, "bert", "words")
    fill = transformers.pipeline("fill-mask", model=str(tmp_path / "there"), device="cpu")
    assert len(fill("The [MASK] didn't cross the street")) == 5
