"""The predictors behind the verbs that use a trained run."""
