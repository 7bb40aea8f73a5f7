"""Generated data sets, the built-in ones of the tasks with rows: the same rows on every machine."""

from lit_transformer.data.generated.multiple_choice import multiple_choice_rows
from lit_transformer.data.generated.numbers import number_rows
from lit_transformer.data.generated.question_answering import question_rows
from lit_transformer.data.generated.sentiment import sentiment_rows

GENERATED = {
    "translation": number_rows,
    "text_to_text": question_rows,
    "classification": sentiment_rows,
    "multiple_choice": multiple_choice_rows,
}
"""`task` -> what makes the rows of each split."""
