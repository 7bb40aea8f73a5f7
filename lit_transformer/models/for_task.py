"""The whole network of an experiment: the one that `model` describes, with the heads that its task asks for."""

from lit_transformer.config.models import BertConfig, ModelConfig, TextModelConfig
from lit_transformer.config.schema import ExperimentConfig, ObjectiveConfig
from lit_transformer.models import Network, build_model
from lit_transformer.models.bert import Bert
from lit_transformer.models.heads import Chooser, Classifier, body_of

FEWEST_CLASSES = 2
"""Of a head whose data were not prepared yet: enough to count its FLOPs."""


def build_network(config: ExperimentConfig) -> Network:
    """The network that an experiment trains, with fresh weights from torch's global generator; raises UserError."""
    return network_for(config.model, config.task, config.objective)


def network_for(model: ModelConfig, task: str, objective: ObjectiveConfig) -> Network:
    """The same, from the parts of the settings that shape it."""
    if objective.name == "label":
        body = body_of(model)
        if task == "multiple_choice":
            return Chooser(body, lm_weight=objective.lm_weight)
        assert isinstance(model, TextModelConfig)
        return Classifier(body, model.num_classes or FEWEST_CLASSES, lm_weight=objective.lm_weight)
    if isinstance(model, BertConfig) and objective.next_sentence:
        return Bert(model, next_sentence=True)
    return build_model(model)
