"""Any text in, any text out (Raffel et al. 2020): questions and answers, prefixes that name what to do."""

from lit_transformer.tasks.translation import Translation


class TextToText(Translation):
    """A T5 or an encoder-decoder trained on pairs of texts, judged by exact match and words' F1."""

    reported = ("exact_match", "f1", "bleu")
