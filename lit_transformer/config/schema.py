"""Every setting of an experiment: its type, its one default, and what it means.

The text under a field is its help: `lit-transformer config EXPERIMENT` prints it beside the value and its origin.
A default is written here and nowhere else. `None` is a value that something else derives; the help says what.
"""

from dataclasses import dataclass, field
from typing import Literal

from lit_transformer.config.models import MODEL_CONFIGS, GPTConfig, ModelConfig, TextModelConfig

__all__ = ["MODEL_CONFIGS", "ExperimentConfig", "GPTConfig", "ModelConfig", "TextModelConfig"]

TaskName = Literal[
    "language_model",
    "translation",
    "text_to_text",
    "classification",
    "multiple_choice",
    "segmentation",
]
ObjectiveName = Literal[
    "causal_lm",
    "prefix_lm",
    "masked_lm",
    "span_corruption",
    "blank_infilling",
    "translation",
    "label",
    "text",
    "pixels",
]


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """How text becomes ids; trained on the training split alone."""

    kind: Literal["characters", "words", "bpe", "wordpiece", "bytes"] = "bpe"
    """What a token is."""
    vocab_size: int | None = 4096
    """Entries at most, special tokens included; characters and bytes take what they need, words null = all."""
    min_frequency: int = 2
    """A word or merge rarer than this in the training split is not learned (words, bpe, wordpiece)."""
    lowercase: bool = False
    """Lower-case the text first."""


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """How images and their masks are read, and changed while training."""

    height: int | None = None
    """Resize images and masks to this height; null = as they are, or by width."""
    width: int | None = None
    """Resize them to this width; null = as they are, or by height."""
    crop: int | None = None
    """Cut a square of this side out of each training image, at a random place; null = the whole image."""
    scale: float = 1.0
    """Enlarge or shrink each training image by a random factor from 1 / scale to scale."""
    flip: bool = False
    """Mirror every other training image, left to right."""
    brightness: float = 0.0
    """Change of a training image's brightness at most, as a share; contrast, saturation and hue likewise."""
    contrast: float = 0.0
    """Change of its contrast at most."""
    saturation: float = 0.0
    """Change of its saturation at most."""
    hue: float = 0.0
    """Change of its hue at most, as a share of the whole circle, up to 0.5."""
    max_pixels: int = 50_000_000
    """A larger image is refused: decompressed, it might fill the memory."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where data come from, how they are split and batched."""

    source: str = "builtin"
    """`builtin` (the task's own data set), `text`, `jsonl`, `tsv`, `copa` (its XML), or `hub:NAME_OR_FOLDER`; of
    images `images` (folders or lists), `pets` or `voc` (torchvision's, downloaded to path)."""
    path: str | None = None
    """File or glob, .gz too, or a folder of images or a list of them; looked up from the current folder, then under
    LIT_TRANSFORMER_DATA."""
    val_path: str | None = None
    """File or glob of the validation split; null = val_fraction of path."""
    test_path: str | None = None
    """File or glob of the test split; null = test_fraction of path."""
    target_path: str | None = None
    """File whose line i is the target of line i of path (source text, with tasks of source and target)."""
    val_target_path: str | None = None
    """The same for val_path."""
    test_target_path: str | None = None
    """The same for test_path."""
    mask_path: str | None = None
    """Folder or glob of the masks of path's images, by name; null where path is a list, `image mask` in each line."""
    val_mask_path: str | None = None
    """The same for val_path."""
    test_mask_path: str | None = None
    """The same for test_path."""
    classes: str | None = None
    """Names of the classes by commas, or a file with `index name [red green blue]` in each line; null = numbers."""
    ignore_index: int | None = None
    """Value of a mask's pixels that count nowhere; null = every pixel counts."""
    images: ImageConfig = field(default_factory=ImageConfig)
    header: bool = False
    """The first row of a tsv names its columns; else a key is a column's number, from 1."""
    text_key: str = "text"
    """Field that holds the text in jsonl, tsv and hub rows."""
    pair_key: str | None = None
    """Field that holds the second text to classify; null = none."""
    label_key: str = "label"
    """Field that holds the label, a name or a number; of multiple choice, the number of the right choice from 0."""
    source_key: str = "source"
    """Field that holds the text to start from (translation, text_to_text); dots go into nested fields."""
    source_template: str | None = None
    """The source from several fields, such as `question: {question} context: {context}`; null = source_key alone."""
    target_key: str = "target"
    """Field that holds the text to produce."""
    context_key: str = "context"
    """Field that holds what the choices go with (multiple_choice)."""
    choice_keys: str = "choice1, choice2"
    """Fields that hold the choices, separated by commas."""
    prefix: str = ""
    """Put before each source (translation, text_to_text), such as `translate English to German: `."""
    too_long: Literal["truncate", "refuse"] = "truncate"
    """A row, or a text for a verb, that is longer than the context: cut and counted, or an error that names it."""
    empty: Literal["drop", "refuse"] = "drop"
    """A row with an empty text: left out and counted, or an error that names it."""
    hub_config: str | None = None
    """Configuration name of a hub data set, such as wikitext-2-raw-v1."""
    val_fraction: float = 0.1
    """Share held out for validation where val_path is null: whole documents, or the end of a single text."""
    test_fraction: float = 0.1
    """Share held out for testing where test_path is null, after the validation share."""
    max_bytes: int | None = None
    """Read no more than this many bytes of each of path, val_path and test_path; null = everything."""
    batch_size: int = 32
    """Sequences in one optimizer step, over all devices and accumulated micro-batches."""
    max_tokens: int | None = None
    """Padded tokens (of the longer side) in one optimizer step instead, over all devices; null = batch_size rows."""
    loader_workers: int = 0
    """Processes that load batches beside each rank; 0 loads in the rank itself."""
    persistent_workers: bool = True
    """Keep the loader's processes from one validation to the next."""
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What the network is asked to predict."""

    name: ObjectiveName | None = None
    """The objective: a name in the registry of objectives; null = the first that task and model.kind allow."""
    label_smoothing: float = 0.0
    """Share of the target's probability spread over the vocabulary, in the training loss only."""
    mask_rate: float = 0.15
    """Share of tokens that masked_lm, span_corruption and blank_infilling take away."""
    mask_share: float = 0.8
    """Of the tokens that masked_lm takes, the share that becomes [MASK]."""
    random_share: float = 0.1
    """Of the tokens that masked_lm takes, the share that becomes a random token; the rest stays."""
    whole_words: bool = False
    """Let masked_lm take all tokens of a word or none."""
    next_sentence: bool = False
    """Let masked_lm judge if segments follow, too: in train/loss, but not in val/loss (see val/next_sentence_loss)."""
    mean_span: float = 3.0
    """Mean length of the spans that span_corruption and blank_infilling take away."""
    blanks: Literal["spans", "sentences", "document", "mixed"] = "spans"
    """What blank_infilling takes away: short spans, whole sentences, one long end of the text, or each in turn."""
    lm_weight: float = 0.5
    """Weight of the language model's loss beside that of GPT-1's heads."""
    template: str = "{text}\n"
    """With the objective text, the prompt of a row, {names} its fields; the answer follows, after a space in a line."""
    label_words: str | None = None
    """What stands for each label, shown and with the objective text predicted, by commas in order; null = its name."""
    losses: str | None = None
    """Losses of pixels to be added, by commas, each with a weight before it or not, such as `cross_entropy, 0.5 dice`:
    cross_entropy, bce, dice, focal; null = cross_entropy, with one logit bce."""
    class_weights: Literal["none", "inverse", "median_frequency"] = "none"
    """Weight of a class in cross_entropy and focal, from its share of the training pixels."""
    focal_gamma: float = 2.0
    """How much the focal loss turns away from pixels that are right already."""
    cloze: bool = False
    """Let a language model log val/cloze_loss and val/cloze_accuracy: single tokens, the same for every objective."""


@dataclass(frozen=True, kw_only=True)
class DecodingConfig:
    """How text is generated for metrics and, unless they are told otherwise, by the verbs."""

    beam_size: int = 1
    """Hypotheses kept; 1 = greedy."""
    length_penalty: float = 1.0
    """Exponent of the length that a hypothesis' log-probability is divided by; 0 = none, more favours long ones."""
    max_length: int | None = None
    """Tokens generated at most; null = context_length."""
    val_rows: int | None = 200
    """Rows of the validation split that are decoded for BLEU and the like; null = all, 0 = none. Testing takes all."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """The optimizer; matrices and embeddings decay, biases and norms do not."""

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    """The optimizer; AdamW and Adam run fused where torch can."""
    lr: float = 1e-3
    """Peak learning rate."""
    weight_decay: float = 0.1
    """Decay of matrices and embeddings: decoupled in adamw, an L2 term in adam and sgd."""
    beta1: float = 0.9
    """Adam's decay of the mean gradient."""
    beta2: float = 0.99
    """Adam's decay of the mean squared gradient."""
    eps: float = 1e-8
    """Adam's term against division by zero."""
    momentum: float = 0.9
    """Momentum of sgd."""


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """The learning rate over the run's steps."""

    name: Literal["constant", "linear", "cosine", "inverse_sqrt"] = "cosine"
    """Shape after warm-up; inverse_sqrt is Noam's, peaking at warmup_steps with the optimizer's lr."""
    warmup_steps: int = 100
    """Steps of linear warm-up from 0."""
    min_lr_ratio: float = 0.1
    """Share of lr left at the last step (linear, cosine)."""


@dataclass(frozen=True, kw_only=True)
class EarlyStoppingConfig:
    """Stop a run whose validation metric no longer improves."""

    patience: int | None = None
    """Validations without improvement before the run stops; null = never."""
    min_delta: float = 0.0
    """An improvement smaller than this does not count."""


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """How long, on what and how precisely a run trains."""

    max_steps: int | None = 1000
    """Optimizer steps; null = as many as max_epochs has."""
    max_epochs: int | None = None
    """Passes over the training split; null = as many as max_steps needs."""
    max_time: str | None = None
    """Stop after this long, such as 30s, 10min or 2h; the run ends complete, validated and saved."""
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """What trains; auto = cuda, else mps, else cpu."""
    devices: int = 1
    """Ranks on each node: one GPU each, or one process each on a CPU."""
    num_nodes: int = 1
    """Machines that train together."""
    threads: int | None = None
    """CPU threads of each rank; null = the machine's cores shared among the ranks (and a sweep's workers)."""
    strategy: Literal["auto", "ddp"] = "auto"
    """How ranks work together; auto = ddp when there are several."""
    precision: Literal["32", "bf16-mixed", "16-mixed", "bf16-true"] = "32"
    """Number format of the computation."""
    accumulate: int = 1
    """Micro-batches whose gradients make one optimizer step; batch_size is split among them."""
    gradient_clip: float | None = 1.0
    """Largest norm of the gradient; null = no clipping."""
    average_checkpoints: int = 0
    """At the end, keep the mean of this many newest checkpoints as best.ckpt, even where one did better; 0 = none."""
    ema_decay: float | None = None
    """Decay of an exponential average of the weights, which is then validated and kept as best; null = none."""
    non_finite: Literal["stop", "skip", "rollback"] = "stop"
    """At a NaN or infinity in loss or gradients: stop, leave out the step, or take the newest checkpoint's weights."""
    activation_checkpointing: bool = False
    """Keep each block's input alone and compute the rest again in the backward pass: less memory, a third more time."""
    deterministic: bool = False
    """Use deterministic kernels alone, which bitwise resume on a GPU needs; a CPU's are."""
    compile: bool = False
    """Compile the network with torch.compile."""
    val_every: int = 250
    """Steps between validations; the last step is always validated."""
    checkpoint_every: int | str = 1000
    """Steps between checkpoints, or minutes such as 10min; the last step is always saved."""
    keep_checkpoints: int = 2
    """Resumable checkpoints kept while training, the newest as last.ckpt; the others serve where that is damaged."""
    hang_timeout: str | None = "30min"
    """End the run, naming the rank, when one makes no progress for this long; null = wait for ever."""
    keep: Literal["auto", "best", "last", "all"] = "auto"
    """Checkpoints left when a run completes: best, last (with those before it), or all; auto = all, in a sweep best."""
    early_stopping: EarlyStoppingConfig = field(default_factory=EarlyStoppingConfig)
    fast_dev_run: bool = False
    """One training and one validation batch, to see that everything works."""
    limit_train_batches: int | float | None = None
    """Training batches (or share of them) in an epoch; null = all."""
    limit_val_batches: int | float | None = None
    """Validation batches (or share of them); null = the whole split."""
    overfit_batches: int | float = 0
    """Train on the same few batches (or share of them), unshuffled, and validate on them; 0 = off."""
    profile: bool = False
    """Write Lightning's profile of the run to fit-profile.txt in the run folder."""


@dataclass(frozen=True, kw_only=True)
class TrackingConfig:
    """Where metrics go, beside the run folder."""

    project: str = "lit-transformer"
    """W&B project."""
    wandb: Literal["auto", "online", "offline", "off"] = "auto"
    """W&B mode; auto = WANDB_MODE, else online when logged in, else offline."""
    log_every: int = 20
    """Steps between rows of metrics.jsonl."""
    attention: bool = False
    """At each validation, save who attends to whom in its first row: samples/attention-STEP.npz."""


@dataclass(frozen=True, kw_only=True)
class BudgetConfig:
    """What a network may cost: widths and length are solved for it, within 2 %, before the run is frozen.

    What a budget decides gives way where a lower layer says it (an experiment's d_model under a sweep's budget), and is
    refused beside the budget or above it: a width of one's own and a size to be met contradict each other.
    """

    parameters: int | None = None
    """Parameters of the network; sets model.d_model and model.d_ff, or model.base_channels. null = as given."""
    flops_per_token: int | None = None
    """FLOPs of a training step for each token, or pixel of an image; sets the same instead. null = as given."""
    total_flops: int | None = None
    """FLOPs of all training steps together; sets trainer.max_steps. null = as given."""


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """One training run, whole."""

    experiment: str = "custom"
    """Name of the experiment: the file's name without .yaml, set by the loader; names the folder of its runs."""
    task: TaskName = "language_model"
    """What is trained: a name in the registry of tasks."""
    model: ModelConfig = field(default_factory=GPTConfig)
    data: DataConfig = field(default_factory=DataConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    seed: int = 0
    """Seed of initial weights, sample order and dropout."""
