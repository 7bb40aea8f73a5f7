"""Names of the special tokens, and which of them a run needs. Imports no torch."""

PAD, UNKNOWN, END = "<pad>", "<unk>", "<eot>"
CLS, SEP, MASK = "[CLS]", "[SEP]", "[MASK]"
BLANK_START, BLANK_END = "<sop>", "<eop>"
SEQUENCE_END = "</s>"
START, DELIMITER, EXTRACT = "<start>", "<delimiter>", "<extract>"
SENTINELS = tuple(f"<extra_id_{index}>" for index in range(100))

ALIASES: dict[str, tuple[str, ...]] = {PAD: ("[PAD]",), UNKNOWN: ("[UNK]",), END: ("<|endoftext|>",)}
"""What other people's tokenizers call them."""

_OF_KIND: dict[str, tuple[str, ...]] = {
    "bert": (PAD, CLS, SEP, MASK),
    "glm": (PAD, CLS, SEP, MASK, BLANK_START, BLANK_END),
    "encoder_decoder": (PAD, SEQUENCE_END),
    "t5": (PAD, SEQUENCE_END, *SENTINELS),
}


def needed_specials(task: str, model_kind: str, objective: str, several_documents: bool) -> tuple[str, ...]:
    """Special tokens of a run's tokenizer in order, beside `<unk>`, which the kind of tokenizer decides on.

    A GPT over a single text needs none; its heads have GPT-1's, and as text each answer is ended. Of several
    documents of plain text each is ended, whatever the network.
    """
    names = _OF_KIND.get(model_kind, ())
    if task == "language_model":
        return (*names, END) if several_documents else names
    if model_kind == "gpt":
        return (PAD, START, DELIMITER, EXTRACT) if objective == "label" else (PAD, END)
    return names
