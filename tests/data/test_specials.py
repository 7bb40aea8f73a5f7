"""Which special tokens a run needs, and where a tokenizer has them."""

import pytest
from tokenizers import Tokenizer, models

from lit_transformer.config.errors import UserError
from lit_transformer.config.registry import TASK_OBJECTIVES
from lit_transformer.data.special_names import END, SENTINELS, needed_specials
from lit_transformer.data.specials import NAMES, Specials, specials_of


def tokenizer(*names: str) -> Tokenizer:
    return Tokenizer(models.WordLevel({name: index for index, name in enumerate(names)}))


def test_a_gpt_over_plain_text_has_only_the_end_of_several_texts() -> None:
    for objective in ("causal_lm", "prefix_lm"):
        assert needed_specials("language_model", "gpt", objective, False) == ()
        assert needed_specials("language_model", "gpt", objective, True) == (END,)


@pytest.mark.parametrize(
    ("task", "kind", "objective", "needed"),
    [
        ("language_model", "bert", "masked_lm", ("<pad>", "[CLS]", "[SEP]", "[MASK]", "<eot>")),
        ("language_model", "glm", "blank_infilling", ("<pad>", "[CLS]", "[SEP]", "[MASK]", "<sop>", "<eop>", "<eot>")),
        ("language_model", "t5", "span_corruption", ("<pad>", "</s>", *SENTINELS, "<eot>")),
        ("text_to_text", "t5", "translation", ("<pad>", "</s>", *SENTINELS)),
        ("translation", "encoder_decoder", "translation", ("<pad>", "</s>")),
        ("classification", "bert", "label", ("<pad>", "[CLS]", "[SEP]", "[MASK]")),
        ("multiple_choice", "gpt", "label", ("<pad>", "<start>", "<delimiter>", "<extract>")),
        ("classification", "gpt", "text", ("<pad>", "<eot>")),
    ],
)
def test_what_the_others_need(task: str, kind: str, objective: str, needed: tuple[str, ...]) -> None:
    assert needed_specials(task, kind, objective, task == "language_model") == needed


def test_every_task_finds_what_it_needs() -> None:
    for task, kinds in TASK_OBJECTIVES.items():
        for kind, objectives in kinds.items():
            for objective in objectives:
                names = needed_specials(task, kind, objective, True)
                assert len(set(names)) == len(names)
                assert specials_of(tokenizer("a", *names)).ids or not names


def test_ids_by_name() -> None:
    found = specials_of(tokenizer("a", "[MASK]", "<pad>", "</s>", "<extra_id_0>", "<extra_id_1>", "<extra_id_3>"))
    assert found == Specials(mask=1, pad=2, end=3, sentinels=(4, 5))  # 3 stands behind a gap
    assert sorted(found.ids) == [1, 2, 3, 4, 5]
    assert found.flags(8).tolist() == [False, True, True, True, True, True, False, False]
    every = specials_of(tokenizer(*NAMES.values(), *SENTINELS))
    assert sorted(every.ids) == list(range(len(NAMES) + 100))


def test_names_of_other_people() -> None:
    assert specials_of(tokenizer("[PAD]", "[UNK]", "<|endoftext|>")) == Specials(pad=0, unk=1, eot=2)


def test_all_missing_names_are_told_at_once() -> None:
    specials = Specials(pad=0, cls=1)
    assert specials.required("cls", "pad", by="x") == (1, 0)
    with pytest.raises(UserError, match=r"masked_lm: the tokenizer has no \[SEP\], \[MASK\](.|\n)*fix "):
        specials.required("pad", "cls", "sep", "mask", by="objective.name=masked_lm")
