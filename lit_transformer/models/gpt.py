"""GPT: a decoder-only Transformer (Radford et al. 2018, 2019)."""

from torch import Tensor, nn
from torch.nn import functional as F

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import GPTConfig
from lit_transformer.nn.blocks import EncoderBlock
from lit_transformer.nn.cache import KVCache, new_positions
from lit_transformer.nn.dropout import Dropout
from lit_transformer.nn.initialisation import initialise
from lit_transformer.nn.losses import linear_cross_entropy
from lit_transformer.nn.norms import build_norm
from lit_transformer.nn.positions import RotaryPositions, SinusoidalPositions


class GPT(nn.Module):
    """Token ids (batch, time) -> logits of the next token (batch, time, vocab_size)."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        if config.vocab_size is None:
            raise UserError("model.vocab_size is null: give a number, or let `prepare` take the tokenizer's")
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.position_embedding: nn.Module | None = None
        self.rotary: RotaryPositions | None = None
        if config.positions == "learned":
            self.position_embedding = nn.Embedding(config.context_length, config.d_model)
        elif config.positions == "sinusoidal":
            self.position_embedding = SinusoidalPositions(d_model=config.d_model)
        else:
            self.rotary = RotaryPositions(head_dim=config.d_model // config.num_heads)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            EncoderBlock(
                d_model=config.d_model,
                num_heads=config.num_heads,
                num_kv_heads=config.num_kv_heads,
                d_ff=config.d_ff,
                dropout=config.dropout,
                activation=config.activation,
                norm=config.norm,
                pre_norm=config.norm_position == "pre",
                bias=config.bias,
            )
            for _ in range(config.num_layers)
        )
        pre_norm = config.norm_position == "pre"  # post-norm blocks end with a norm of their own
        self.norm = build_norm(config.norm, config.d_model, bias=config.bias) if pre_norm else nn.Identity()
        self.head = None if config.tie_embeddings else nn.Linear(config.d_model, config.vocab_size, bias=False)
        initialise(self, std=config.init_std, num_layers=config.num_layers)

    @property
    def output_weight(self) -> Tensor:
        """Weights of the output layer, (vocab_size, d_model)."""
        return self.token_embedding.weight if self.head is None else self.head.weight

    def forward(self, ids: Tensor, *, cache: KVCache | None = None) -> Tensor:
        """Logits (batch, time, vocab_size); with a cache, ids are the tokens after those that it holds."""
        return self.logits(self.hidden_states(ids, cache=cache))

    def hidden_states(self, ids: Tensor, *, cache: KVCache | None = None) -> Tensor:
        """Output of the last block after the final norm: (batch, time, d_model)."""
        positions = new_positions(ids.shape[1], cache, ids.device)  # (1, time)
        x = self.token_embedding(ids)  # (batch, time, d_model)
        if self.position_embedding is not None:
            x = x + self.position_embedding(positions).to(x.dtype)
        x = self.dropout(x)
        rotary = self.rotary(positions) if self.rotary is not None else None
        for index, block in enumerate(self.blocks):
            x = block(x, causal=True, rotary=rotary, cache=cache.layers[index] if cache is not None else None)
        return self.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states (..., d_model) -> logits (..., vocab_size)."""
        return F.linear(hidden, self.output_weight)

    def loss(self, ids: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """Summed cross-entropy in nats and the number of targets (batch, time) that counted; never holds all logits."""
        hidden = self.hidden_states(ids)
        return linear_cross_entropy(hidden, self.output_weight, targets, label_smoothing=label_smoothing)

    def new_cache(self) -> KVCache:
        """An empty cache for generation; it holds context_length tokens."""
        return KVCache(self.config.num_layers, self.config.context_length)

    def num_parameters(self) -> int:
        """Numbers to be learned; shared ones count once."""
        return sum(parameter.numel() for parameter in self.parameters())
