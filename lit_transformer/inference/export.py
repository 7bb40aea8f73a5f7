"""`export`: a run as a folder that transformers loads, or, of a segmenter, torch alone."""

from pathlib import Path

from lit_transformer.data.specials import Specials
from lit_transformer.inference.load import load_task, open_run
from lit_transformer.inference.text_run import open_text_run
from lit_transformer.interop import export
from lit_transformer.interop.segmenter import GRAPH, export_segmenter
from lit_transformer.records.atomic import read_json
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.tasks.segmentation import Segmentation


def export_run(path: Path, folder: Path) -> str:
    """Write the run in `path` into a new folder; the class that loads it by from_pretrained, or what else does.

    Raises UserError.
    """
    prepared = read_json(open_run(path).prepared_file)
    if "colors" in prepared:
        task = load_task(path)
        assert isinstance(task, Segmentation)
        classes, colors = prepared["classes"], prepared["colors"]
        assert isinstance(classes, list) and isinstance(colors, list)
        export_segmenter(task.network, task.config, folder, classes=classes, colors=colors)
        return f"torch.export.load({str(folder / GRAPH)!r})"
    run = open_text_run(path)
    found = read_json(RunFolder(path).prepared_file).get("labels")
    labels = [str(label) for label in found] if isinstance(found, list) else []
    roles = roles_of(run.specials, run.config.model.kind)
    name = export(run.network, run.config, run.tokenizer, folder, roles=roles, labels=labels)
    return f"{name}.from_pretrained({str(folder)!r})"


def roles_of(specials: Specials, kind: str) -> dict[str, int]:
    """What transformers calls the special tokens -> their ids, for a network of this `model.kind`; raises UserError."""
    found = {"pad": specials.pad, "unk": specials.unk}
    if kind == "bert":
        found |= dict(zip(("cls", "sep", "mask"), specials.required("cls", "sep", "mask", by="export"), strict=True))
    elif kind == "gpt":  # the end of a text also stands before one
        found |= {"bos": specials.eot, "eos": specials.eot}
    elif kind in ("t5", "encoder_decoder"):
        found |= dict(zip(("pad", "eos"), specials.required("pad", "end", by="export"), strict=True))
    return {role: index for role, index in found.items() if index is not None}
