"""How good a model is: metrics, automatic and interactive protocols, baselines, reports."""
