"""Sums of text metrics give sacrebleu's corpus scores."""

import pytest
import sacrebleu

from lit_transformer.tasks.text_metrics import signatures, text_metrics, text_sums, words_f1

TEXTS = ["the cat sat on the mat", "a dog", "", "eine kleine Nachtmusik , bitte", "same words here now ok"]
REFERENCES = [
    "the cat sat on a mat",
    "a small dog barks",
    "nothing",
    "eine kleine Nachtmusik, bitte",
    "same words here now ok",
]


def test_batches_add_up_to_the_corpus():
    sums: dict[str, float] = {}
    for part in (slice(0, 2), slice(2, 3), slice(3, 3), slice(3, 5)):
        for name, value in text_sums(TEXTS[part], REFERENCES[part]).items():
            sums[name] = sums.get(name, 0.0) + value
    found = text_metrics(sums)
    assert found["bleu"] == pytest.approx(sacrebleu.corpus_bleu(TEXTS, [REFERENCES]).score)
    assert found["chrf"] == pytest.approx(sacrebleu.corpus_chrf(TEXTS, [REFERENCES]).score)
    assert found["exact_match"] == 1 / 5


def test_no_texts_give_the_same_names_and_no_metrics():
    assert text_sums([], []).keys() == text_sums(TEXTS, REFERENCES).keys()
    assert text_metrics(text_sums([], [])) == {}


def test_words_f1_by_hand():
    assert words_f1("the red house", "a red house") == pytest.approx(2 / 3)
    assert words_f1("x", "y") == 0 and words_f1("", "") == 1 and words_f1("Red", "red") == 1


def test_signatures_are_sacrebleus():
    found = signatures()
    assert found["bleu"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert found["chrf"].startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:")
