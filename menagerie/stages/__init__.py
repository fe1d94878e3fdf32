"""The stages of pretraining, in order: vae, text, unet, decoder, probe. Each is one loop under a budget of minutes."""
