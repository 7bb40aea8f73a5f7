"""GPT: a decoder-only Transformer (Radford et al. 2018, 2019)."""

from torch import Tensor, nn

from lit_transformer.config.models import GPTConfig
from lit_transformer.models.base import TextNetwork, known_vocabulary
from lit_transformer.models.stack import build_blocks, build_last_norm, build_positions, run_blocks
from lit_transformer.nn.cache import KVCache, new_positions
from lit_transformer.nn.dropout import Dropout
from lit_transformer.nn.initialisation import initialise
from lit_transformer.nn.masks import prefix_mask


class GPT(TextNetwork):
    """Token ids (batch, time) -> logits of the next token (batch, time, vocab_size)."""

    config: GPTConfig

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        vocab_size = known_vocabulary(config)
        self.config = config
        self.token_embedding = nn.Embedding(vocab_size, config.d_model)
        self.position_embedding, self.rotary = build_positions(config)
        self.dropout = Dropout(config.dropout)
        self.blocks = build_blocks(config, num_kv_heads=config.num_kv_heads)
        self.norm = build_last_norm(config)
        self.head = None if config.tie_embeddings else nn.Linear(config.d_model, vocab_size, bias=False)
        initialise(self, std=config.init_std, num_layers=config.num_layers)

    @property
    def output_weight(self) -> Tensor:
        """Weights of the output layer, (vocab_size, d_model)."""
        return self.token_embedding.weight if self.head is None else self.head.weight

    def forward(self, inputs: Tensor, *, cache: KVCache | None = None, prefix_length: Tensor | None = None) -> Tensor:
        """Logits (batch, time, vocab_size); with a cache, inputs are the tokens after those that it holds."""
        return self.logits(self.hidden_states(inputs, cache=cache, prefix_length=prefix_length))

    def hidden_states(  # type: ignore[override]  # its options by name
        self, inputs: Tensor, *, cache: KVCache | None = None, prefix_length: Tensor | None = None
    ) -> Tensor:
        """Output of the last block after the final norm: (batch, time, d_model).

        With prefix_length (batch), the first tokens of each row see one another in both directions (prefix LM); with a
        cache, the first call holds every row's whole prefix.
        """
        positions = new_positions(inputs.shape[1], cache, inputs.device)  # (1, time)
        x = self.token_embedding(inputs)  # (batch, time, d_model)
        if self.position_embedding is not None:
            x = x + self.position_embedding(positions).to(x.dtype)
        x = self.dropout(x)
        rotary = self.rotary(positions) if self.rotary is not None else None
        filled = cache is not None and cache.length > 0  # what follows a prefix sees it anyway
        mask = None if prefix_length is None or filled else prefix_mask(prefix_length, inputs.shape[1])
        x = run_blocks(self.blocks, x, mask=mask, causal=mask is None, rotary=rotary, cache=cache)
        return self.norm(x)

    def new_cache(self) -> KVCache:
        """An empty cache for generation; it holds context_length tokens."""
        return KVCache(self.config.num_layers, self.config.context_length)
