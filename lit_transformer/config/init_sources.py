"""What `model.init_from` names, a run's folder or a Hugging Face one, and the settings that lie in it. Torch-free."""

import json
from dataclasses import dataclass
from pathlib import Path

from lit_transformer.config.errors import UserError
from lit_transformer.config.hugging_face import from_hugging_face
from lit_transformer.config.layers import flatten
from lit_transformer.config.schema import MODEL_CONFIGS
from lit_transformer.config.suggest import did_you_mean
from lit_transformer.config.yaml_lines import read_yaml

KEY = "model.init_from"
HUGGING_FACE = "hf:"
TOKENIZER = "data.tokenizer."
TOKENIZER_KINDS = {"BPE": "bpe", "WordPiece": "wordpiece", "WordLevel": "words"}
"""Type of the model in a tokenizer.json -> `data.tokenizer.kind`."""


class SourceError(UserError):
    """`model.init_from` names nothing that weights can be taken from."""

    def __init__(self, got: str, allowed: str, fix: str) -> None:
        self.got, self.allowed, self.fix = got, allowed, fix
        super().__init__(f"{KEY}\n  got      {got}\n  allowed  {allowed}\n  fix      {fix}")


@dataclass(frozen=True)
class Source:
    """What `model.init_from` names."""

    text: str
    folder: Path
    is_hugging_face: bool

    @property
    def tokenizer_file(self) -> Path:
        """Where its tokenizer lies."""
        return self.folder / "tokenizer.json"


def find_source(text: str) -> Source:
    """The run or the Hugging Face folder of a `model.init_from`, looked up from the current folder.

    Raises SourceError where there is none.
    """
    is_hugging_face = text.startswith(HUGGING_FACE)
    source = Source(text, Path(text.removeprefix(HUGGING_FACE)).expanduser(), is_hugging_face)
    config = "config.json" if is_hugging_face else "config.yaml"
    if (source.folder / config).is_file():
        return source
    what = f"{text}, a folder without {config}" if source.folder.is_dir() else f"{text}, and there is no such folder"
    raise SourceError(what, "a run's folder, or hf:FOLDER with a config.json", _near(source))


def source_settings(source: Source) -> dict[str, object]:
    """Dotted key -> value of everything that can be taken over, `model.kind` included; raises UserError."""
    if source.is_hugging_face:
        kind, settings = from_hugging_face(_read_json(source.folder / "config.json"), f"{source.text}/config.json")
        model = {f"model.{name}": value for name, value in settings.items()}
        return {"model.kind": kind, **model, **_tokenizer_settings(source)}
    plain = read_yaml(source.folder / "config.yaml").plain()
    values = flatten(plain) if isinstance(plain, dict) else {}
    if values.get("model.kind") not in MODEL_CONFIGS:
        raise SourceError(
            f"{source.text}, whose config.yaml names no model.kind",
            ", ".join(MODEL_CONFIGS),
            "restore its config.yaml from a copy",
        )
    return {key: value for key, value in values.items() if key.startswith(("model.", TOKENIZER))}


def _tokenizer_settings(source: Source) -> dict[str, object]:
    """What a tokenizer.json says of `data.tokenizer`; nothing where there is none, which whoever needs it says."""
    if not source.tokenizer_file.is_file():
        return {}
    model = _read_json(source.tokenizer_file).get("model")
    kind = TOKENIZER_KINDS.get(str(model.get("type"))) if isinstance(model, dict) else None
    settings: dict[str, object] = {f"{TOKENIZER}vocab_size": None}
    return settings | ({f"{TOKENIZER}kind": kind} if kind else {})


def _read_json(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON ({error})") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no JSON object")
    return value


def _near(source: Source) -> str:
    """What may have been meant instead of a folder that is no source."""
    folder, prefix = source.folder, HUGGING_FACE if source.is_hugging_face else ""
    if (folder / "config.json").is_file():
        return f"did you mean {HUGGING_FACE}{folder}?"
    if (folder / "config.yaml").is_file():
        return f"did you mean {folder}?"
    config = "config.json" if source.is_hugging_face else "config.yaml"
    inside = sorted(path.parent for path in folder.glob(f"*/{config}"))[-3:]
    if not inside:
        beside = did_you_mean(folder.name, [path.name for path in folder.parent.glob("*") if path.is_dir()])
        inside = [folder.with_name(beside)] if beside else []
    names = " or ".join(f"{prefix}{path}" for path in inside)
    return f"did you mean {names}?" if names else f"correct {KEY}; a relative path starts at the current folder"
