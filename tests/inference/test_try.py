from lit_transformer.inference.fill import fill
from lit_transformer.inference.spaces import *


def test_all(runs):
    for kind in ("t5", "glm"):
        m = runs(kind)
        for top in (3, 6, 10, 20, 40):
            f = fill(m.run, "the [MASK] learns", top=top)
            print(kind, top, len(f), [(x.fills, round(x.probability, 4)) for x in f[:6]], sum(x.probability for x in f))
    m = runs("bert characters")
    f = fill(m.run, "the [MASK] learns", top=30)
    print(len(f), f[:25])
    f = fill(m.run, "the hea[MASK] le[MASK]rns", top=3)
    print(f)
    f = fill(runs("bert bpe").run, "the head [MASK] from", top=4)
    print(f)
    f = fill(runs("bert wordpiece").run, "the head [MASK] from", top=4)
    print(f)
    from lit_transformer.config.schema import TokenizerConfig
    from lit_transformer.data.tokenizers import train_tokenizer

    TEXT = "the cat sat on the mat, the cats sat ## on the mats " * 9
    for kind in ("bpe", "wordpiece"):
        for size in range(15, 330):
            try:
                t = train_tokenizer(
                    TokenizerConfig(kind=kind, vocab_size=size, min_frequency=1), [TEXT], specials=("[MASK]",)
                )
            except Exception:
                continue
            v = t.get_vocab()
            print(kind, size, [x for x in ("Ġcat", "s", "##s", "cat", "Ġthe", "(", "##") if x in v])
