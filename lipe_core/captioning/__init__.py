"""The texts of a training: captions of the references and prompts for the class."""
