"""The stages of pretraining. Each stage is one training loop with a budget of minutes."""
