"""The sizes that every system is measured at."""

from dataclasses import dataclass, replace

from ceiling import Product


@dataclass(frozen=True)
class Shape:
    """A Transformer's size and its batch."""

    name: str
    d_model: int
    num_layers: int
    num_heads: int
    vocab_size: int
    context_length: int
    batch: int

    @property
    def tokens(self) -> int:
        """Of one step, on one side."""
        return self.batch * self.context_length

    @property
    def d_ff(self) -> int:
        """Width inside the feed-forward layer."""
        return 4 * self.d_model

    @property
    def product(self) -> Product:
        """That of a feed-forward layer."""
        return Product(self.tokens, self.d_model, self.d_ff)

    def sized(self) -> dict[str, int]:
        """As our configurations name it."""
        return {name: getattr(self, name) for name in SIZES}


SIZES = ("d_model", "num_layers", "num_heads", "vocab_size", "context_length", "d_ff")
DEMO = Shape("demo", 64, 2, 2, 1024, 64, 16)
MIDDLE = Shape("d 256", 256, 4, 4, 8192, 256, 8)
LARGE = Shape("d 512", 512, 4, 8, 8192, 256, 4)


def rows_of(context: int, *, demo: int = 16, middle: int, large: int) -> tuple[Shape, ...]:
    """The three shapes with rows of `context` tokens but for the demo's, and these many rows."""
    return (
        replace(DEMO, batch=demo),
        replace(MIDDLE, context_length=context, batch=middle),
        replace(LARGE, context_length=context, batch=large),
    )


DROPOUTS = (0.0, 0.1)
